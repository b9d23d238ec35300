"""Programs that the supervisor keeps running, with their output on ours, each line under its name."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Protocol

from adapters.local.processes import LocalFault, spawn, stop, until

PATIENCE = 60.0


class Part(Protocol):
    """Something that runs as a process of its own."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def process(self) -> "subprocess.Popen[bytes] | None":
        """None: it is down."""
        ...

    def start(self) -> None:
        """Returns when it does its work; raises `LocalFault`."""
        ...

    def stop(self) -> None:
        """Returns when it is gone."""
        ...


def always() -> bool:
    """Ready as soon as it runs."""
    return True


class Program:
    """One of our own programs. It is asked to end by SIGTERM, and made to `grace` seconds later."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        ready: Callable[[], bool] = always,
        grace: float = 15.0,
        last_word: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None
        self._command = command
        self._environ = environ
        self._ready = ready
        self._grace = grace
        self._last_word = last_word

    def start(self) -> None:
        """Returns once it is ready."""
        process = self._spawn()
        spoke = until(lambda: process.poll() is not None or self._ready(), within=PATIENCE, every=0.05)
        if not spoke or process.poll() is not None:
            self.stop()
            raise LocalFault(f"{self.name} does not start; its last words are above.")

    def run(self) -> None:
        """Returns once it has done its work and ended well."""
        if self._spawn().wait():
            raise LocalFault(f"`gemini-backend {self.name}` failed; its last words are above.")

    def stop(self) -> None:
        """Ends it, and whatever it started."""
        if self.process is not None:
            stop(self.process, signal.SIGTERM, within=self._grace)
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process = None

    def _spawn(self) -> "subprocess.Popen[bytes]":
        self.process = spawn(self._command, last_word=self._last_word, output=subprocess.PIPE, environ=self._environ)
        assert self.process.stdout is not None
        threading.Thread(target=_pass_on, args=(self.name, self.process.stdout), daemon=True).start()
        return self.process


def answers(host: str, port: int, path: str) -> bool:
    """An HTTP server says 200 there."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def listens(host: str, port: int) -> bool:
    """Somebody takes connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _pass_on(name: str, lines: IO[bytes]) -> None:
    """Reads on even where nobody listens any more, lest the program stop at a full pipe."""
    with lines:
        for line in lines:
            with suppress(OSError, ValueError):
                sys.stdout.write(f"{name:<8} | {line.decode(errors='replace').rstrip()}\n")
                sys.stdout.flush()
