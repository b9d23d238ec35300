"""The network, on which nothing is waited for beyond a deadline, however slowly it comes."""

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore2

# What a try ends in that comes to nothing.
BROKEN = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.TimeoutException,
    UnicodeDecodeError,
)


class Deadline(threading.local):
    """When what this thread is doing must be over, by the monotonic clock: within `budget` seconds of its beginning."""

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._shared = False
        self.at = 0.0

    def begin(self) -> None:
        """From now on; inside of `shared` it has begun already."""
        if not self._shared:
            self.at = time.monotonic() + self._budget

    @contextmanager
    def shared(self) -> Iterator[None]:
        """All that this thread begins inside has one deadline, which begins now."""
        self.begin()
        self._shared = True
        try:
            yield
        finally:
            self._shared = False

    def left(self) -> float:
        """Seconds that are left; below 0 if it is over."""
        return self.at - time.monotonic()

    def within(self, patience: float | None) -> float:
        """Seconds that one thing may be waited for. Raises `httpcore2.ReadTimeout` if it is over."""
        left = self.left()
        if left <= 0:
            raise httpcore2.ReadTimeout("the deadline is over")
        return left if patience is None else min(patience, left)


class Network(httpcore2.NetworkBackend):
    """The network: a host's addresses are tried one after the other, all of them before the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._network = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Raises one of `BROKEN`."""
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in _addresses(host, port):
            try:
                patience = self._deadline.within(timeout)
                stream = self._network.connect_tcp(address, port, patience, local_address, socket_options)
                return _Stream(stream, self._deadline)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


def _addresses(host: str, port: int) -> list[str]:
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise httpcore2.ConnectError(str(error)) from None


class _Stream(httpcore2.NetworkStream):
    """A connection, on which whoever uses it waits for every single answer up to their own deadline only."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.within(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        secure = self._stream.start_tls(ssl_context, server_hostname, self._deadline.within(timeout))
        return _Stream(secure, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
