"""Server-sent events: a reply while it is written, as an answer that goes on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import falcon
import structlog

from adapters.http import bodies
from adapters.http.context import request_id

log = structlog.get_logger()

MEDIA_TYPE: Final = "text/event-stream"
HEARTBEAT_SECONDS: Final = 15.0
_HEARTBEAT: Final = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `data` becomes JSON. A client that comes back with `id` goes on after it. Neither has line breaks."""

    id: str
    name: str
    data: Any


def wanted(req: falcon.Request) -> bool:
    """The client asked for a stream of events by name."""
    accepted = req.accept.lower()
    try:
        return MEDIA_TYPE in accepted and falcon.mediatypes.quality(MEDIA_TYPE, accepted) > 0
    except falcon.InvalidMediaRange:
        return False


def send(
    req: falcon.Request,
    resp: falcon.Response,
    source: Iterator[Event | None],
    stopping: threading.Event,
    share: ExitStack | None = None,
) -> None:
    """Answer with the events of `source`, until it ends, the client leaves, or the process is `stopping`.

    `source` yields None at least once a second while nothing happens: only then can leaving and stopping be seen in
    time. Its `close()`, if it has one, and that of the `share` that the stream holds, is called in every case.
    """
    resp.content_type = MEDIA_TYPE
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("X-Accel-Buffering", "no")
    resp.stream = EventStream(source, stopping, request_id(req), share=share)


def drop(resp: falcon.Response) -> None:
    """Let go of a stream that was to be the answer and is not sent. The answer has no body then, of unknown length."""
    if resp.stream is not None:
        release(resp.stream)
        resp.stream = ()


def release(source: object) -> None:
    """Close whatever can be closed."""
    close = getattr(source, "close", None)
    if close is not None:
        close()


class EventStream:
    """The bytes of an event stream, as a WSGI iterable. The server calls `close` when the client has left."""

    def __init__(
        self,
        source: Iterator[Event | None],
        stopping: threading.Event,
        asked_by: str,
        now: Callable[[], float] = monotonic,
        share: ExitStack | None = None,
    ) -> None:
        self._source = source
        self._stopping = stopping
        self._asked_by = asked_by
        self._share = share or ExitStack()
        self._now = now
        self._spoken = now()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self._stopping.is_set():
            event = self._next()
            if event is not None:
                return self._said(encode(event))
            if self._now() - self._spoken >= HEARTBEAT_SECONDS:
                return self._said(_HEARTBEAT)
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Let go of the source, and of what is held."""
        release(self._source)
        self._share.close()

    def _next(self) -> Event | None:
        try:
            return next(self._source)
        except StopIteration:
            pass
        except Exception:
            # The status line is long gone. The client comes back with its Last-Event-ID and gets the rest.
            log.exception("event stream broke", request_id=self._asked_by)
        self.close()
        raise StopIteration

    def _said(self, line: bytes) -> bytes:
        self._spoken = self._now()
        return line


def encode(event: Event) -> bytes:
    """An event on the wire. JSON has no raw line breaks, so `data` is one line."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), event.name.encode(), bodies.write(event.data))
