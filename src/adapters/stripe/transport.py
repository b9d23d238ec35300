"""The way to Stripe, on which nothing is waited for beyond a deadline, however slowly it comes."""

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2
import stripe

# Whoever asks has an answer within 12 seconds, in a crowd too.
BUDGET = 10.0
# Seconds that one byte, or a connection, is waited for.
PATIENCE = 8.0
CONNECT = 3.0
CONNECTIONS = 100
LOOPBACK = ("127.0.0.1", "localhost", "::1")
BROKEN = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.TimeoutException,
    UnicodeDecodeError,
)


class Deadline(threading.local):
    """When what this thread is doing must be over, by the monotonic clock: within `budget` seconds of its beginning."""

    def __init__(self, budget: float = BUDGET) -> None:
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


class Transport(stripe.HTTPClient):
    """stripe's HTTP with an end: no try goes on after the deadline, nor waits longer than `PATIENCE` for a byte."""

    name = "httpcore2"

    def __init__(self, deadline: Deadline, base_url: str) -> None:
        super().__init__()
        self._deadline = deadline
        self._pool = httpcore2.ConnectionPool(
            httpcore2.default_ssl_context(),
            proxy_for(base_url),
            max_connections=CONNECTIONS,
            keepalive_expiry=5.0,
            network_backend=_Network(deadline),
        )

    def request(
        self, method: str, url: str, headers: Any, post_data: Any = None, *, _usage: list[str] | None = None
    ) -> tuple[str, int, Any]:
        """One try. Raises `stripe.APIConnectionError`."""
        content = post_data.encode() if isinstance(post_data, str) else post_data
        try:
            waits = {"pool": self._deadline.within(None), "connect": CONNECT, "read": PATIENCE, "write": PATIENCE}
            answer = self._pool.request(
                method.upper(), url, headers=headers, content=content, extensions={"timeout": waits}
            )
            told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            return answer.content.decode(), answer.status, told
        except BROKEN as error:
            what = type(error).__name__
            raise stripe.APIConnectionError(what, should_retry=True) from None  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


def proxy_for(base_url: str) -> httpcore2.Proxy | None:
    """The environment's; none has any business between us and a sandbox on this machine."""
    where = urlsplit(base_url)
    host = where.hostname or ""
    address = getproxies().get(where.scheme) or getproxies().get("all")
    if not address or host in LOOPBACK or proxy_bypass(host):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpcore2.Proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", auth=auth)


class _Network(httpcore2.NetworkBackend):
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
