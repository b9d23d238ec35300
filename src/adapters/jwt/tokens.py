"""Access tokens: JSON Web Tokens (RFC 9068) signed with Ed25519, read as strictly as they are written."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Protocol
from uuid import UUID

import jwt

from adapters.jwt.ring import Ring
from gemini_core.errors import Unauthenticated
from gemini_core.model.accounts.sessions import AccessClaims
from gemini_core.model.ids import SessionId, UserId

ALGORITHM: Final = "EdDSA"
TYPE: Final = "at+jwt"
HEADER: Final = {"alg", "kid", "typ"}
CLAIMS: Final = ("iss", "sub", "aud", "exp", "iat", "jti", "sid", "cv", "auth_time")
LONGEST: Final = 4096
# Signatures are checked once per token, for so many tokens: a client shows the same one with every call.
KEPT: Final = 4096


class Keys(Protocol):
    """Where the keys come from."""

    def current(self, kid: str | None = None) -> Ring:
        """The keys; they are looked up again where `kid` is not among them."""
        ...


class JwtTokens:
    """`AccessTokens`. `issuer` and `audience` are checked exactly."""

    def __init__(self, keys: Keys, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._kept = lru_cache(KEPT)(self._verified)

    def issue(self, claims: AccessClaims) -> str:
        kid, key = self._keys.current().signer
        payload = {
            "iss": self._issuer,
            "sub": str(claims.user_id),
            "aud": self._audience,
            "exp": int(claims.expires_at.timestamp()),
            "iat": int(claims.issued_at.timestamp()),
            "jti": str(claims.token_id),
            "sid": str(claims.session_id),
            "cv": claims.version,
            "auth_time": int(claims.signed_in_at.timestamp()),
        }
        return jwt.encode(payload, key, ALGORITHM, {"kid": kid, "typ": TYPE})

    def read(self, token: str, *, now: datetime) -> AccessClaims:
        kid, claims = self._kept(token)
        # What time and the ring may have changed since is checked every time.
        if now >= claims.expires_at or kid not in self._keys.current(kid).verifiers:
            raise _refused()
        return claims

    def _verified(self, token: str) -> tuple[str, AccessClaims]:
        """Which key of ours signed the token, and what it says. Raises `Unauthenticated`."""
        try:
            kid = self._named_key(token)
            payload = self._payload(token, kid)
            return kid, AccessClaims(
                user_id=UserId(UUID(payload["sub"])),
                session_id=SessionId(UUID(payload["sid"])),
                version=_whole(payload["cv"]),
                token_id=UUID(payload["jti"]),
                issued_at=_instant(payload["iat"]),
                expires_at=_instant(payload["exp"]),
                signed_in_at=_instant(payload["auth_time"]),
            )
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError, OverflowError):
            raise _refused() from None

    @staticmethod
    def _named_key(token: str) -> str:
        """The id of the key that a token claims to be signed with; its header says that and no more."""
        if len(token) > LONGEST:
            raise ValueError("too long")
        header = jwt.get_unverified_header(token)
        if header.keys() != HEADER or header["alg"] != ALGORITHM or header["typ"] != TYPE:
            raise ValueError(ALGORITHM)
        kid: str = header["kid"]
        return kid

    def _payload(self, token: str, kid: str) -> dict[str, Any]:
        """The payload of a token that is signed by this key of ours and says all that it must."""
        key = self._keys.current(kid).verifiers.get(kid)
        if key is None:
            raise ValueError("kid")
        # Times are checked against the core's clock, by whoever reads them; everything else here.
        return jwt.decode(
            token,
            key,
            [ALGORITHM],
            issuer=self._issuer,
            audience=self._audience,
            options={"require": list(CLAIMS), "strict_aud": True, "verify_exp": False, "verify_iat": False},
        )

    def published(self) -> Mapping[str, object]:
        keys = self._keys.current().verifiers
        return {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "use": "sig",
                    "alg": ALGORITHM,
                    "kid": kid,
                    "x": urlsafe_b64encode(key.public_bytes_raw()).rstrip(b"=").decode(),
                }
                for kid, key in keys.items()
            ]
        }


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _instant(value: object) -> datetime:
    return datetime.fromtimestamp(_whole(value), UTC)


def _refused() -> Unauthenticated:
    return Unauthenticated("The access token is missing, expired or not valid.")
