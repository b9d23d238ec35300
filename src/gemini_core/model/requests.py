"""What requests of every topic have in common: pages, "do this once", and that there is no such user."""

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from gemini_core.errors import FieldError, Invalid, NotFound

T = TypeVar("T")

MAX_KEY_LENGTH = 255
# How long the first answer is kept for a key.
KEY_LIVES = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a longer list. `next` is where the following page starts; None at the end.

    The position is a tuple of plain values (the sort key of the last item); adapters make it opaque and tamper-evident.
    """

    items: tuple[T, ...]
    next: tuple[str, ...] | None = None


def page_of(limit: int, field: str = "limit") -> int:
    """The length of a page. Raises `Invalid` where nothing is on it: whoever went on from there would never arrive."""
    if limit < 1:
        raise Invalid.field(field, "must be at least 1", "out_of_range")
    return limit


@dataclass(frozen=True, slots=True)
class Once:
    """Do the deed once for this key: `key` is the caller's, `fingerprint` a digest of what was asked (32 bytes).

    The same key with the same fingerprint gets the first outcome again; with another fingerprint it is refused.
    """

    key: str
    fingerprint: bytes

    @classmethod
    def of(cls, key: str | None, deed: str, **arguments: Any) -> "Once | None":
        """The key bound to the deed's name and JSON-able arguments; None without a key. Raises `Invalid`."""
        if key is None:
            return None
        if not 1 <= len(key) <= MAX_KEY_LENGTH or not all("!" <= character <= "~" for character in key):
            message = f"must be 1 to {MAX_KEY_LENGTH} visible ASCII characters"
            raise Invalid(f"Idempotency-Key {message}.", FieldError("Idempotency-Key", message, "invalid"))
        asked = json.dumps([deed, arguments], sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
        # Whatever is no text is refused later, by the name of its field.
        return cls(key, hashlib.sha256(asked.encode(errors="surrogatepass")).digest())


def key_reused() -> Invalid:
    """The failure for a key that was used before with another request."""
    return Invalid("This Idempotency-Key was used with another request.", code="idempotency-key-reused")


class NoUser(NotFound):
    """There is no such user, or no longer."""


def no_user() -> NoUser:
    """The failure for a user that is not there."""
    return NoUser("There is no such user.")
