"""Keyed seals, and the opaque tokens made with them: refresh tokens, reset tokens, challenge ids, code digests.

All keys are derived from the roots of one ring; each carries its root's key id, so that a root can be followed by
another one while what the old one sealed still holds.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from uuid import UUID

from gemini_core.model.ids import SessionId

MAC_BYTES = 32
REFRESH, RESET = 1, 2


class SealRing:
    """Root secrets, newest first: the first one seals, all of them verify. Raises `ValueError` for a bad ring."""

    def __init__(self, *roots: bytes) -> None:
        if not roots or min(map(len, roots)) < 32:
            raise ValueError("a root secret has at least 32 bytes")
        self._roots = {hashlib.sha256(b"key id:" + root).digest()[0]: root for root in reversed(roots)}
        if len(self._roots) < len(roots):
            raise ValueError("two of the root secrets have the same key id; make a new one")
        self.newest = next(reversed(self._roots))

    def seal(self, use: str, message: bytes, kid: int | None = None) -> bytes:
        """The seal on a message, 32 bytes, under the key for this use. An unknown `kid` gives one that fits nothing."""
        root = self._roots.get(self.newest if kid is None else kid)
        if root is None:
            return secrets.token_bytes(MAC_BYTES)
        key = hmac.digest(root, b"use:" + use.encode(), "sha256")
        return hmac.digest(key, message, "sha256")

    def seals(self, use: str, message: bytes) -> tuple[bytes, ...]:
        """The seal on a message under every root, newest first."""
        return tuple(self.seal(use, message, kid) for kid in reversed(self._roots))

    def holds(self, use: str, message: bytes, seal: bytes, kid: int) -> bool:
        """The seal is ours. Takes the same time wherever it differs."""
        return hmac.compare_digest(self.seal(use, message, kid), seal)

    def blind(self, word: str) -> str:
        """A name for a word (a phone number) that does not tell it: for keys in stores that are not the database."""
        return self.seal("blind", word.encode())[:16].hex()

    def derived(self, use: str) -> tuple[bytes, ...]:
        """A 32-byte key per root for another use, newest first."""
        return tuple(hmac.digest(root, b"use:" + use.encode(), "sha256") for root in reversed(self._roots.values()))


@dataclass(frozen=True, slots=True)
class RefreshClaims:
    """What a refresh token says: the session, and how often it had been renewed when this token was made."""

    session_id: SessionId
    counter: int


def new_challenge_id(ring: SealRing, purpose: int) -> str:
    """24 characters: key id, purpose, 128 random bits."""
    return _text(bytes([ring.newest, purpose]) + secrets.token_bytes(16))


def code_seal(ring: SealRing, challenge_id: str, code: str) -> bytes:
    """What is kept of a code for whoever names its challenge. The id is unique, and fixes purpose and phone."""
    raw = _bytes(challenge_id)
    return ring.seal("otp", raw + b"|" + code.encode(), raw[0] if len(raw) == 18 else -1)


def number_seals(ring: SealRing, number: str, network: str, code: str) -> tuple[bytes, ...]:
    """What is kept of a code for whoever names the number it went to, from the network it was asked from.

    A seal per root, newest first: a number does not say under which one its code was sealed.
    """
    return ring.seals("otp of number", f"{number}|{network}|{code}".encode())


def refresh_token(ring: SealRing, claims: RefreshClaims) -> str:
    """The opaque token for these claims; the same one every time."""
    return _sealed(ring, REFRESH, claims.session_id.bytes + claims.counter.to_bytes(4))


def read_refresh_token(ring: SealRing, token: str) -> RefreshClaims | None:
    """What the token says, if we made it."""
    body = _opened(ring, REFRESH, token)
    if body is None or len(body) != 20:
        return None
    return RefreshClaims(SessionId(UUID(bytes=body[:16])), int.from_bytes(body[16:]))


def reset_token(ring: SealRing, challenge_id: str) -> str:
    """The opaque token that lets whoever redeemed this challenge set a new password."""
    return _sealed(ring, RESET, _bytes(challenge_id))


def read_reset_token(ring: SealRing, token: str) -> str | None:
    """The challenge the token was made for, if we made it."""
    body = _opened(ring, RESET, token)
    return None if body is None else _text(body)


def _sealed(ring: SealRing, kind: int, body: bytes) -> str:
    head = bytes([kind, ring.newest]) + body
    return _text(head + ring.seal("token", head))


def _opened(ring: SealRing, kind: int, token: str) -> bytes | None:
    raw = _bytes(token)
    head, seal = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    # One token has one spelling: base64 would let the last character vary.
    if len(head) < 2 or head[0] != kind or _text(raw) != token or not ring.holds("token", head, seal, head[1]):
        return None
    return head[2:]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """The bytes of a base64url text; empty if it is none."""
    try:
        return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        return b""
