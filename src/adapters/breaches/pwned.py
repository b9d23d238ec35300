"""Passwords known from breaches, asked of a service that never learns the password (k-anonymity)."""

import hashlib

import httpcore2
import structlog

from adapters.deadlines import BROKEN, Deadline, Network

log = structlog.get_logger()

# Seconds for all of it. A password is not worth a longer wait: without an answer it passes.
PATIENCE = 2.0
CONNECTIONS = 100
PREFIX = 5


class PwnedPasswords:
    """`BreachedPasswords`: five characters of the SHA-1 are sent, hundreds of endings come back (HIBP's range API)."""

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        self._url = url.rstrip("/")
        self._deadline = Deadline(patience)
        self._pool = httpcore2.ConnectionPool(
            httpcore2.default_ssl_context(),
            max_connections=CONNECTIONS,
            keepalive_expiry=5.0,
            network_backend=Network(self._deadline),
        )

    def holds(self, password: str) -> bool:
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        try:
            answer = self._range(digest[:PREFIX])
        except BROKEN as error:
            log.warning("breached passwords cannot be asked", error=type(error).__name__)
            return False
        # `ENDING:COUNT`; padding has the count 0.
        endings = (line.partition(":") for line in answer.splitlines())
        return any(ending == digest[PREFIX:] and count.strip() not in {"", "0"} for ending, _, count in endings)

    def check(self) -> None:
        """The list is there. Raises httpcore2's errors."""
        self._range("0" * PREFIX)

    def _range(self, prefix: str) -> str:
        self._deadline.begin()
        answer = self._pool.request(
            "GET",
            f"{self._url}/range/{prefix}",
            headers={"Add-Padding": "true", "User-Agent": "gemini-backend"},
            extensions={"timeout": {"pool": self._deadline.within(None)}},
        )
        if answer.status != 200:
            raise httpcore2.RemoteProtocolError(f"answered {answer.status}")
        return answer.content.decode()
