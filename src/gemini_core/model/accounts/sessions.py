"""Sign-ins, and what clients hold of them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gemini_core.model.ids import SessionId, UserId

# The kind of promise to make the limits doubt, as they could not be told of an end.
DOUBT_SESSIONS = "doubt_sessions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in on one device. `counter`: how often its refresh token was renewed, the last time at `rotated_at`."""

    id: SessionId
    user_id: UserId
    counter: int
    credential_version: int
    ip: str
    user_agent: str
    created_at: datetime
    rotated_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Reused:
    """A refresh token came again after its successor had been used: somebody has a copy. The session was ended."""

    user_id: UserId
    session_id: SessionId


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client holds of a session. `expires_in`: seconds the access token lives."""

    access: str
    refresh: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says; `version` is the credential version it was made under."""

    user_id: UserId
    session_id: SessionId
    version: int
    token_id: UUID
    issued_at: datetime
    expires_at: datetime
    signed_in_at: datetime
