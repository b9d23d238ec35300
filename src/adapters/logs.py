"""Logs: one line per fact on standard output, for people or as JSON, with nothing secret in it.

Everything in the process ends up here: our own `structlog.get_logger()` lines and whatever libraries say through
`logging`. Facts that hold for a whole request or job (`request_id`, `job_id`) are bound once with
`structlog.contextvars` and appear in every line until they are cleared.
"""

import contextlib
import logging
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import lru_cache
from threading import Lock
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

Format = Literal["console", "json"]

REDACTED = "[redacted]"

_SECRET_KEY = re.compile(
    r"(?:^|[_-])(?:authorization|cookie|otp|pass(?:word|wd)?|pepper|secret|token|api[_-]?key|secret[_-]?key)$"
    r"|^(?:access|refresh)$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"(?<=Bearer )\S+"  # an Authorization header
    r"|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # a JWT
    r"|\b(?:sk|rk|pk)_(?:live|test)_\w+|\bwhsec_[\w+/=]+"  # Stripe
    r"|\bAIza[\w-]{20,}"  # Google
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user:password in a URL
    r"|(?<=[?&]key=)[^&\s]+"
)
_SHORTEST_SECRET = 12
_TALKATIVE = (
    "httpx", "httpx2", "httpcore", "httpcore2", "urllib3", "stripe", "google_genai", "kombu", "amqp",
    "celery.app.trace", "celery.worker.strategy", "alembic",
)  # fmt: skip


def setup(fmt: Format, level: str, stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (standard output) from `level` (`debug`, `info`, ...) upwards."""
    out = stream or sys.stdout
    severity = logging.getLevelNamesMapping()[level.upper()]
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if fmt == "json"
        else structlog.dev.ConsoleRenderer(colors=out.isatty(), timestamp_key="at")
    )
    structlog.configure(
        processors=[*chain, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(severity),
        logger_factory=_Lines.into(out),
        cache_logger_on_first_use=True,
    )
    _route_stdlib(out, severity, chain, renderer)


def _route_stdlib(out: TextIO, severity: int, chain: list[Processor], renderer: Processor) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *chain],
            # The chain runs again after the exception was rendered from the record, so that its text is redacted too.
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(severity)
    logging.captureWarnings(capture=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(severity, logging.WARNING))


class _Lines:
    """Writes whole lines, and nobody waits for anybody: who finds another one writing leaves the line to that one."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._waiting: deque[bytes] = deque()
        self._turn = Lock()

    @classmethod
    def into(cls, out: TextIO) -> Callable[..., Any]:
        """Makes structlog's loggers; of the usual kind where there is no file behind `out`."""
        try:
            lines = cls(out.fileno())
        except OSError:
            return structlog.WriteLoggerFactory(out)
        return lambda *_: lines

    def msg(self, line: str) -> None:
        self._waiting.append(f"{line}\n".encode(errors="backslashreplace"))
        while self._waiting and self._turn.acquire(blocking=False):
            try:
                rest = b"".join(self._taken())
                while rest:
                    rest = rest[os.write(self._file, rest) :]
            finally:
                self._turn.release()

    def _taken(self) -> Iterator[bytes]:
        """What waits by now."""
        with contextlib.suppress(IndexError):
            while True:
                yield self._waiting.popleft()

    debug = info = warning = error = critical = exception = msg


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Black out whatever is secret by its name or by its looks, at any depth."""
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


@lru_cache(1024)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _clean(key: str, value: Any) -> Any:
    if value and _is_secret(key):
        return REDACTED
    if isinstance(value, str):
        return value if len(value) < _SHORTEST_SECRET else _SECRET_VALUE.sub(REDACTED, value)
    if isinstance(value, Mapping):
        return {name: _clean(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", inner) for inner in value]
    return value
