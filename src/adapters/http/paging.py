"""Lists, page by page: cursors that tell nothing, cannot be forged, and fit only the list they were made for."""

import base64
import binascii
import hmac
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Generic, TypeVar

import falcon
from msgspec import Struct

from adapters.http import queries
from gemini_core.errors import Refused
from gemini_core.model.requests import Page

T = TypeVar("T")
U = TypeVar("U")

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
_MAC_BYTES: Final = 16
_MAX_LENGTH: Final = 1024


class Listing(Struct, Generic[T]):
    """A page of a list. `next_cursor` leads to the following page; null at the end."""

    items: list[T]
    next_cursor: str | None


class Cursors:
    """Makes and reads cursors under `keys` (32 random bytes each), newest first; older ones are still read.

    A list is named by `scope`: what it lists, for whom, and with which filters (`("rooms", user_id)`). A cursor
    given out for one scope is none for any other.
    """

    def __init__(self, *keys: bytes) -> None:
        self._keys = keys

    def asked(self, req: falcon.Request, *scope: object) -> tuple[int, tuple[str, ...] | None]:
        """The page that is asked for: how many items, and after which position. Raises `Refused`, `Invalid`."""
        limit = queries.whole_number(req, "limit", least=1, most=MAX_LIMIT, default=DEFAULT_LIMIT)
        cursor = req.params.get("cursor")
        return limit, None if cursor is None else self._read(cursor, scope)

    def listing(self, page: Page[T], show: Callable[[T], U], *scope: object) -> Listing[U]:
        """A page as it is answered."""
        after = None if page.next is None else self._make(page.next, scope)
        return Listing([show(item) for item in page.items], after)

    def _make(self, position: tuple[str, ...], scope: tuple[object, ...]) -> str:
        payload = json.dumps(position, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(_mac(self._keys[0], scope, payload) + payload).rstrip(b"=").decode()

    def _read(self, cursor: str | list[str], scope: tuple[object, ...]) -> tuple[str, ...]:
        signed = _decoded(cursor)
        mac, payload = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, _mac(key, scope, payload)) for key in self._keys):
            raise _bad_cursor()
        return tuple(json.loads(payload))


def _decoded(cursor: str | list[str]) -> bytes:
    if isinstance(cursor, list) or len(cursor) > _MAX_LENGTH or not cursor.isascii():
        raise _bad_cursor()
    try:
        signed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise _bad_cursor() from None
    # One position has one cursor: spare bits in the last character, padding and a second alphabet are refused.
    if base64.urlsafe_b64encode(signed).rstrip(b"=").decode() != cursor:
        raise _bad_cursor()
    return signed


def _mac(key: bytes, scope: tuple[object, ...], payload: bytes) -> bytes:
    named = json.dumps([str(part) for part in scope]).encode()
    return hmac.digest(key, len(named).to_bytes(4, "big") + named + payload, sha256)[:_MAC_BYTES]


def _bad_cursor() -> Refused:
    return Refused("The cursor is not one of this list.", code="bad-cursor")
