"""The exam for what signs and reads access tokens, and for where its keys are kept."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from tests.contracts.account_worlds import NOW, after
from tests.contracts.audit_logs import Pages, fill, pages
from tests.crowd import tried_at_once

from adapters.jwt.ring import FixedRing, Ring, StoredRing
from adapters.jwt.tokens import JwtTokens
from adapters.memory.accounts.keys import MemorySigningKeys
from adapters.persistence.accounts.keys import SqlSigningKeys
from gemini_core.errors import Conflict, NotFound, Unauthenticated, Unavailable
from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.keys import KeyState
from gemini_core.model.accounts.sessions import AccessClaims
from gemini_core.model.ids import SessionId, UserId, uuid7
from gemini_core.ports.accounts.keys import SigningKeys
from gemini_core.ports.accounts.sessions import AccessTokens

US = "https://api.test"
SEED = bytes(range(32))
LIVES = timedelta(minutes=10)
CLAIMS = AccessClaims(
    user_id=UserId(uuid7(NOW)),
    session_id=SessionId(uuid7(NOW)),
    version=3,
    token_id=uuid7(NOW),
    issued_at=NOW,
    expires_at=NOW + LIVES,
    signed_in_at=NOW,
)


NOTE = AuditEvent(event="keys.changed", at=NOW, operator="op")


class Clock:
    """It stands still."""

    def now(self) -> Any:
        return NOW


def tokens() -> AccessTokens:
    return JwtTokens(FixedRing(SEED), issuer=US, audience=US)


def forged(claims: dict[str, Any] | None = None, key: Any = None, alg: str = "EdDSA", **header: Any) -> str:
    """A token like ours, but for what is given."""
    ring = FixedRing(SEED).current()
    payload = jwt.decode(tokens().issue(CLAIMS), options={"verify_signature": False}) | (claims or {})
    payload = {name: value for name, value in payload.items() if value is not None}
    headers = {"kid": ring.signer[0], "typ": "at+jwt"} | header
    return jwt.encode(payload, ring.signer[1] if key is None else key, alg, headers)


def is_refused(tokens: AccessTokens, token: str) -> bool:
    try:
        tokens.read(token, now=NOW)
    except Unauthenticated as refused:
        return refused.detail == "The access token is missing, expired or not valid."
    return False


def test_a_token_says_what_it_was_made_of_and_nothing_about_the_person() -> None:
    token = tokens().issue(CLAIMS)
    assert tokens().read(token, now=NOW) == CLAIMS
    assert jwt.get_unverified_header(token).keys() == {"alg", "kid", "typ"}
    payload = jwt.decode(token, options={"verify_signature": False})
    assert payload.keys() == {"iss", "sub", "aud", "exp", "iat", "jti", "sid", "cv", "auth_time"}
    assert tokens().issue(CLAIMS) == token


def test_a_token_ends_when_it_says() -> None:
    token = tokens().issue(CLAIMS)
    assert tokens().read(token, now=after(599)) == CLAIMS
    with pytest.raises(Unauthenticated):
        tokens().read(token, now=after(600))


def test_a_token_read_before_ends_no_later_than_any_other() -> None:
    rings = iter([FixedRing(SEED)] * 3 + [FixedRing(bytes(32))] * 2)

    class Changing:
        def current(self, kid: str | None = None) -> Ring:
            return next(rings).current(kid)

    signer = JwtTokens(Changing(), issuer=US, audience=US)
    token = signer.issue(CLAIMS)
    assert signer.read(token, now=NOW) == CLAIMS
    with pytest.raises(Unauthenticated):
        signer.read(token, now=after(600))
    assert is_refused(signer, token), "its key is gone"


def unsigned() -> str:
    return forged(key="", alg="none")


def signed_with_the_public_key() -> str:
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return forged(key=raw, alg="HS256")


def signed_by_somebody_else() -> str:
    return forged(key=Ed25519PrivateKey.generate())


def tampered() -> str:
    head, _, seal = tokens().issue(CLAIMS).split(".")
    payload = jwt.decode(forged(), options={"verify_signature": False}) | {"sub": str(uuid7(NOW))}
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip('=')}.{seal}"


HEADERS: list[dict[str, Any]] = [
    {"typ": "JWT"},
    {"typ": None},
    {"typ": "at+JWT"},
    {"kid": "../../x"},
    {"kid": ""},
    {"crit": ["exp"]},
    {"jku": "https://evil.test/jwks"},
    {"jwk": {"kty": "OKP"}},
    {"b64": False},
]
BAD_CLAIMS: list[dict[str, Any]] = [
    {name: None} for name in ("iss", "sub", "aud", "exp", "iat", "jti", "sid", "cv", "auth_time")
] + [
    {"iss": "https://evil.test"},
    {"aud": "https://evil.test"},
    {"aud": [US]},
    {"nbf": 4_000_000_000},
    {"sid": "x"},
    {"sub": "x"},
    {"cv": "3"},
    {"cv": True},
    {"exp": "4000000000"},
    {"exp": 10**30},
]


@pytest.mark.parametrize("make", [unsigned, signed_with_the_public_key, signed_by_somebody_else, tampered])
def test_a_token_that_we_did_not_sign_is_refused(make: Callable[[], str]) -> None:
    assert is_refused(tokens(), make())


@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_a_token_with_another_header_is_refused(header: dict[str, Any]) -> None:
    assert is_refused(tokens(), forged(**header))


@pytest.mark.parametrize("claims", BAD_CLAIMS, ids=str)
def test_a_token_without_a_claim_or_with_a_wrong_one_is_refused(claims: dict[str, Any]) -> None:
    assert is_refused(tokens(), forged(claims))


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "\u0661", "x" * 5000, forged() + "=" * 4000])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert is_refused(tokens(), token)


@pytest.fixture(params=["memory", "postgres"])
def kept(request: pytest.FixtureRequest) -> SigningKeys:
    if request.param == "memory":
        return MemorySigningKeys(pages())
    engine: Engine = request.getfixturevalue("engine")
    return SqlSigningKeys(engine)


def ring(kept: SigningKeys, secret: bytes = b"s" * 32) -> StoredRing:
    return StoredRing(kept, (secret,), Clock(), verify_for=LIVES)


def signing(ring: StoredRing) -> JwtTokens:
    return JwtTokens(ring, issuer=US, audience=US)


def states(kept: SigningKeys) -> list[KeyState]:
    return [key.state for key in kept.keys()]  # noqa: SIM118 - a port's method


def test_whoever_comes_first_makes_the_keys_and_all_use_the_same(kept: SigningKeys) -> None:
    tried_at_once(20, lambda _: ring(kept).current())
    assert sorted(states(kept)) == [KeyState.ACTIVE, KeyState.NEXT]
    assert signing(ring(kept)).read(signing(ring(kept)).issue(CLAIMS), now=NOW) == CLAIMS


def test_a_rotation_is_seen_by_who_read_the_keys_before_it(kept: SigningKeys) -> None:
    before = ring(kept)
    old = signing(before).issue(CLAIMS)
    ring(kept).rotate(NOTE, now=after(60))
    new = signing(ring(kept)).issue(CLAIMS)
    assert new != old
    for reader in (signing(before), signing(ring(kept))):
        assert reader.read(old, now=NOW) == reader.read(new, now=NOW) == CLAIMS
    assert sorted(states(kept)) == [KeyState.ACTIVE, KeyState.NEXT, KeyState.RETIRED]


def test_a_key_signs_only_when_everybody_knows_it(kept: SigningKeys) -> None:
    ring(kept).current()
    with pytest.raises(Conflict):
        ring(kept).rotate(NOTE, now=after(59))
    ring(kept).rotate(NOTE, now=after(60))
    with pytest.raises(Conflict):
        ring(kept).rotate(NOTE, now=after(119))


def test_of_many_rotations_at_once_one_takes_place(kept: SigningKeys) -> None:
    ring(kept).current()
    outcomes = tried_at_once(20, lambda _: ring(kept).rotate(NOTE, now=after(60)))
    assert len([outcome for outcome in outcomes if not isinstance(outcome, Conflict)]) == 1


def test_a_key_is_taken_out_only_when_nothing_it_signed_is_good_any_more(kept: SigningKeys) -> None:
    first = ring(kept)
    kid = first.current().signer[0]
    token = signing(first).issue(CLAIMS)
    with pytest.raises(Conflict):
        first.retire(kid, NOTE, now=NOW)
    first.rotate(NOTE, now=after(60))
    with pytest.raises(Conflict):
        first.retire(kid, NOTE, now=after(659))
    first.retire(kid, NOTE, now=after(660))
    assert is_refused(signing(ring(kept)), token)
    with pytest.raises(NotFound):
        first.retire(kid, NOTE, now=after(661))


def test_a_change_of_keys_that_cannot_be_noted_does_not_happen(
    kept: SigningKeys, request: pytest.FixtureRequest
) -> None:
    retired = ring(kept).current().signer[0]
    ring(kept).rotate(NOTE, now=after(60))
    before = kept.keys()
    if isinstance(kept, MemorySigningKeys):
        assert isinstance(kept.audit, Pages)
        kept.audit.fill()
    else:
        fill(request.getfixturevalue("engine"))
    with pytest.raises((Unavailable, IntegrityError)):
        ring(kept).rotate(NOTE, now=after(120))
    with pytest.raises((Unavailable, IntegrityError)):
        ring(kept).retire(retired, NOTE, now=after(900))
    assert kept.keys() == before


def test_the_private_halves_are_sealed_and_the_published_ones_verify(kept: SigningKeys) -> None:
    signer = signing(ring(kept))
    published: Any = signer.published()
    assert len(published["keys"]) == 2
    assert all(key.keys() == {"kty", "crv", "use", "alg", "kid", "x"} for key in published["keys"])
    keys = jwt.PyJWKSet.from_dict(published)
    token = signer.issue(CLAIMS)
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, ["EdDSA"], audience=US, options={"verify_exp": False, "verify_iat": False})
    private = ring(kept).current().signer[1].private_bytes_raw()
    assert all(private not in stored.sealed for stored in kept.keys())  # noqa: SIM118
