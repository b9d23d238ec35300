"""The way to Stripe."""

from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2
import stripe

from adapters.deadlines import BROKEN, Deadline, Network

# Whoever asks has an answer within 12 seconds, in a crowd too.
BUDGET = 10.0
# Seconds that one byte, or a connection, is waited for.
PATIENCE = 8.0
CONNECT = 3.0
CONNECTIONS = 100
LOOPBACK = ("127.0.0.1", "localhost", "::1")


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
            network_backend=Network(deadline),
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
