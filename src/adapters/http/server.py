"""Serving the API with Granian: one worker process per `processes`, each answering up to `threads` calls at once."""

import contextlib
import importlib
import logging
import os
import resource
import signal
import socket
import sys
import threading
from errno import EACCES, EADDRINUSE
from typing import Any, Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from gemini_core.errors import Failure, Unavailable

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 10
_IDLE_SECONDS: Final = 75  # more than the minute after which load balancers give up a connection
_HEADER_BYTES: Final = 64 * 1024
_BACKLOG: Final = 2048
# Granian counts connections here, idle ones too. More than threads, so that idle connections keep nobody waiting.
_CONNECTIONS_PER_THREAD: Final = 16


def serve(target: str, *, host: str, port: int, processes: int, threads: int) -> None:
    """Serve until SIGTERM or SIGINT, then end within `STOP_SECONDS` whatever is still going on.

    `target` names a function without parameters (`package.module:function`) that makes the WSGI application; it is
    called in each worker process. A worker that dies is replaced. Raises `Unavailable` where it cannot
    listen, and `SystemExit` when the workers die again and again.
    """
    address = _free_address(host, port)
    _raise_open_files(threads * _CONNECTIONS_PER_THREAD)
    log.info("serving", extra={"host": host, "port": port, "processes": processes})
    Server(
        target,
        address=address,
        port=port,
        interface=Interfaces.WSGI,
        workers=processes,
        blocking_threads=threads,
        backpressure=threads * _CONNECTIONS_PER_THREAD,
        backlog=_BACKLOG,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_IDLE_SECONDS * 1000, max_buffer_size=_HEADER_BYTES),
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels.error,
        log_dictconfig=_LOGS,
    ).serve(target_loader=_load)


def stop_signal() -> threading.Event:
    """An event that is set as soon as this process is told to end. To be called in the main thread.

    Granian puts its own handlers in place after the application was made, and goes on serving streams that are open;
    so the signal is read from the pipe that Python writes every signal's number to, whoever handles it.
    """
    stopping = threading.Event()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        while not {signal.SIGTERM, signal.SIGINT} & set(os.read(reader, 64)):
            pass
        stopping.set()

    threading.Thread(target=watch, name="stop-signal", daemon=True).start()
    return stopping


def _load(target: str) -> Any:
    module, _, function = target.partition(":")
    try:
        return getattr(importlib.import_module(module), function)()
    except Failure as failure:
        sys.exit(failure.detail)


def _free_address(host: str, port: int) -> str:
    """The host's IP address, if nobody listens there yet.

    Granian shares its port (SO_REUSEPORT): a second server would silently take half of the first one's calls.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        at_fault = "PORT" if error.errno in {EADDRINUSE, EACCES} else "HOST"
        raise Unavailable(f"{at_fault}: the API cannot listen on {host}:{port}: {error.strerror}.") from None
    return str(address[0])


def _raise_open_files(wanted: int) -> None:
    """Every connection is an open file, and many systems start with 1,024 of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted + 1024 if hard == resource.RLIM_INFINITY else min(wanted + 1024, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


_LOGS: Final[dict[str, Any]] = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"propagate": True, "handlers": []}},
}
