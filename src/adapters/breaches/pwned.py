"""Passwords known from breaches, asked of a service that never learns the password (k-anonymity)."""

import hashlib

import httpx2
import structlog

log = structlog.get_logger()

# Seconds. A password is not worth a longer wait: without an answer it passes.
PATIENCE = 2.0
PREFIX = 5


class PwnedPasswords:
    """`BreachedPasswords`: five characters of the SHA-1 are sent, hundreds of endings come back (HIBP's range API)."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = httpx2.Client(timeout=PATIENCE, trust_env=False, headers={"Add-Padding": "true"})

    def holds(self, password: str) -> bool:
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        try:
            answer = self._range(digest[:PREFIX])
        except httpx2.HTTPError as error:
            log.warning("breached passwords cannot be asked", error=type(error).__name__)
            return False
        # `ENDING:COUNT`; padding has the count 0.
        endings = (line.partition(":") for line in answer.text.splitlines())
        return any(ending == digest[PREFIX:] and count.strip() not in {"", "0"} for ending, _, count in endings)

    def check(self) -> None:
        """The list is there. Raises httpx2's errors."""
        self._range("0" * PREFIX)

    def _range(self, prefix: str) -> httpx2.Response:
        return self._http.get(f"{self._url}/range/{prefix}").raise_for_status()
