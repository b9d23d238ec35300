"""The ring of signing keys: kept by a repository, sealed, and read again by every process while it runs."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from threading import Lock
from time import monotonic

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gemini_core.errors import Conflict, NotFound, Unavailable
from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.keys import KeyState, SigningKey
from gemini_core.ports.accounts.keys import SigningKeys
from gemini_core.ports.clock import Clock

NONCE = 12
TOO_SOON = "rotated-already"
# How often a process reads the ring again, and how soon at the earliest for a key id it does not know; in seconds.
READ_EVERY, READ_AGAIN = 15.0, 1.0
# How long a key is published before it may sign: until every process, and whoever caches the key set, knows it.
PUBLISHED_FOR = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys at one moment."""

    signer: tuple[str, Ed25519PrivateKey]
    verifiers: Mapping[str, Ed25519PublicKey]


class FixedRing:
    """Keys that the operator sets: private Ed25519 keys of 32 raw bytes, newest first. The first one signs."""

    def __init__(self, *seeds: bytes) -> None:
        private = [Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds]
        named = {hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]: key for key in private}
        self._ring = Ring(next(iter(named.items())), {kid: key.public_key() for kid, key in named.items()})

    def current(self, kid: str | None = None) -> Ring:
        return self._ring

    def keys(self) -> Sequence[SigningKey]:
        signer, now = self._ring.signer[0], datetime.fromtimestamp(0, UTC)
        return [
            SigningKey(
                kid=kid,
                state=KeyState.ACTIVE if kid == signer else KeyState.RETIRED,
                public=key.public_bytes_raw(),
                sealed=b"",
                changed_at=now,
            )
            for kid, key in self._ring.verifiers.items()
        ]

    def rotate(self, note: AuditEvent, *, now: datetime) -> Sequence[SigningKey]:
        raise _fixed()

    def retire(self, kid: str, note: AuditEvent, *, now: datetime) -> None:
        raise _fixed()


def _fixed() -> Conflict:
    return Conflict("The keys are those of JWT_KEYS: change them there, newest first.", code="keys-are-fixed")


class StoredRing:
    """`KeyRing`, and where `JwtTokens` gets its keys. `secrets` (32 bytes each, newest first) seal the private halves.

    The next key is published long before it signs, so that whoever meets a token of it knows it already; a process
    that has not read of a rotation yet signs with the former key a little longer, which still verifies.
    """

    def __init__(self, store: SigningKeys, secrets: tuple[bytes, ...], clock: Clock, *, verify_for: timedelta) -> None:
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._verify_for = verify_for
        self._lock = Lock()
        self._ring: Ring | None = None
        self._read_at = 0.0

    def current(self, kid: str | None = None) -> Ring:
        """The keys; read again if they are old, or lack this one. Raises `Unavailable` if they never were read."""
        ring, age = self._ring, monotonic() - self._read_at
        known = ring is not None and (kid is None or kid in ring.verifiers)
        if ring is not None and age < (READ_EVERY if known else READ_AGAIN):
            return ring
        # One thread reads; the others go on with what there is, if there is something.
        if not self._lock.acquire(blocking=ring is None or not known):
            assert ring is not None
            return ring
        try:
            return self._refreshed()
        finally:
            self._lock.release()

    def _refreshed(self) -> Ring:
        """Read anew, unless another thread has just done so; while the store is away, what was read last."""
        if self._ring is None or monotonic() - self._read_at >= READ_AGAIN:
            try:
                self._ring = self._read()
            except Unavailable:
                if self._ring is None:
                    raise
            self._read_at = monotonic()
        return self._ring

    def keys(self) -> Sequence[SigningKey]:
        return self._stored()

    def rotate(self, note: AuditEvent, *, now: datetime) -> Sequence[SigningKey]:
        following = next(key for key in self._stored() if key.state is KeyState.NEXT)
        known_from = following.changed_at + PUBLISHED_FOR
        if now < known_from:
            raise Conflict(
                f"Not everybody knows the next key yet: rotate after {known_from:%H:%M:%S} UTC.", code=TOO_SOON
            )
        if not self._store.rotate(self._new(KeyState.NEXT, now), note, now=now):
            raise Conflict("The keys were rotated by somebody else this moment.", code=TOO_SOON)
        return self._store.keys()

    def retire(self, kid: str, note: AuditEvent, *, now: datetime) -> None:
        key = next((key for key in self._stored() if key.kid == kid), None)
        if key is None:
            raise NotFound("There is no such key.")
        if key.state is not KeyState.RETIRED:
            raise Conflict("This key signs, or is about to: rotate first.", code="key-in-use")
        if now - key.changed_at < self._verify_for:
            until = key.changed_at + self._verify_for
            raise Conflict(f"Tokens signed by this key are good until {until:%H:%M:%S} UTC.", code="key-in-use")
        self._store.remove(kid, note)

    def _stored(self) -> Sequence[SigningKey]:
        """The keys in the store; the first two are made by whoever comes first."""
        keys = self._store.keys()
        if not keys:
            now = self._clock.now()
            self._store.begin(self._new(KeyState.ACTIVE, now), self._new(KeyState.NEXT, now))
            keys = self._store.keys()
        return keys

    def _read(self) -> Ring:
        keys = self._stored()
        active = next(key for key in keys if key.state is KeyState.ACTIVE)
        verifiers = {key.kid: Ed25519PublicKey.from_public_bytes(key.public) for key in keys}
        return Ring((active.kid, Ed25519PrivateKey.from_private_bytes(self._opened(active))), verifiers)

    def _new(self, state: KeyState, now: datetime) -> SigningKey:
        private, kid = Ed25519PrivateKey.generate(), token_hex(8)
        nonce = os.urandom(NONCE)
        sealed = nonce + AESGCM(self._secrets[0]).encrypt(nonce, private.private_bytes_raw(), kid.encode())
        return SigningKey(
            kid=kid, state=state, public=private.public_key().public_bytes_raw(), sealed=sealed, changed_at=now
        )

    def _opened(self, key: SigningKey) -> bytes:
        for secret in self._secrets:
            try:
                return AESGCM(secret).decrypt(key.sealed[:NONCE], key.sealed[NONCE:], key.kid.encode())
            except InvalidTag:
                continue
        raise Unavailable("The signing key was sealed under another SECRET_KEY.", retry_after=60)
