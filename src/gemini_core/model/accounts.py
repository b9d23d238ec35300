"""People: their numbers, profiles, codes, sessions, and what happened to them."""

import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType
from uuid import UUID

from gemini_core.errors import Invalid
from gemini_core.model.ids import JobId, SessionId, UserId

ChallengeId = NewType("ChallengeId", str)
SignupId = NewType("SignupId", str)

# The kinds of promises.
SEND_CODE, CODE_PROVEN, SEND_NOTICE = "send_code", "code_proven", "send_notice"
ERASE_ACCOUNT, FORGET_STALE = "erase_account", "forget_stale"


class Purpose(StrEnum):
    """What a code is for. It is fixed when the code is asked for; nobody states it afterwards."""

    LOGIN = "login"
    RESET = "reset"

    @property
    def byte(self) -> int:
        """Its place in a challenge id."""
        return 1 if self is Purpose.LOGIN else 2


class UserStatus(StrEnum):
    """A suspended user cannot sign in; an erased one waits for the job that removes the rest."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    ERASING = "erasing"


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from. `network` is the IPv4 address, or the /64 of an IPv6 address."""

    ip: str
    network: str
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is signed in, and by which session."""

    user_id: UserId
    session_id: SessionId


@dataclass(frozen=True, slots=True)
class MobileNumber:
    """A valid mobile number in E.164; `country` is its ISO 3166 region (`IN`), `ZZ` where it has none."""

    e164: str
    country: str

    @property
    def prefix(self) -> str:
        """The number without its last three digits: its neighbours have the same."""
        return self.e164[:-3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What users tell about themselves; all of it optional."""

    name: str | None = None
    email: str | None = None
    username: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account: somebody who has proven a mobile number."""

    id: UserId
    mobile_number: str
    profile: Profile
    status: UserStatus
    plan: str
    plan_until: datetime | None
    credential_version: int
    has_password: bool
    created_at: datetime

    def plan_at(self, instant: datetime) -> str:
        """The plan in force."""
        return self.plan if self.plan_until is None or self.plan_until > instant else "basic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signup:
    """A profile that waits for its number to be proven by whoever gave it."""

    id: SignupId
    mobile_number: str
    network: str
    profile: Profile
    password_hash: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a password can be checked against: an account's (`version` > 0), or that of a pending sign-up."""

    password_hash: str
    version: int = 0
    signup_id: SignupId | None = None
    user_id: UserId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChallenge:
    """A code is asked for. `proven`: the credentials whose password was right, if one was given and checked.

    `withheld`: some shared limit is full, so that no code may leave. `reservation` names the units taken of the
    limits. `job`: the promise to make and send the code; None where the caller does it at once.
    """

    id: ChallengeId
    purpose: Purpose
    mobile_number: str
    client: Client
    signup_id: SignupId | None
    proven: Credentials | None
    withheld: bool
    reservation: str
    job: JobId | None
    request_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """The challenge that is open now: the new one, or the earlier one asked for again."""

    id: ChallengeId


@dataclass(frozen=True, slots=True)
class TooSoon:
    """The requester's challenge for this number is open, and another code is not due for `retry_after`."""

    retry_after: timedelta


@dataclass(frozen=True, slots=True)
class Delivery:
    """A code that is to be made now. `deliver` false: a decoy, for which none is made."""

    challenge_id: ChallengeId
    mobile_number: str
    network: str
    digits: int
    deliver: bool
    reservation: str


class Outcome(StrEnum):
    """What became of a code that was handed to its sender."""

    SENT = "sent"
    UNCERTAIN = "uncertain"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Somebody types a code.

    `challenge`: its id, or the number for which it was last asked from the client's network. `seals`: one of them is
    kept with the challenge if the code is right. The ids are for what success brings about.
    """

    challenge: ChallengeId | MobileNumber
    seals: tuple[bytes, ...]
    client: Client
    user_id: UserId
    session_id: SessionId
    job: JobId
    request_id: str
    now: datetime


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
class SignedIn:
    """A code was right: a session was opened. `displaced`: the user's oldest sessions, ended to make room."""

    session: Session
    user: User
    displaced: tuple[SessionId, ...] = ()


@dataclass(frozen=True, slots=True)
class Proven:
    """A code was right, and it was asked for to set a new password."""

    challenge_id: ChallengeId
    mobile_number: str


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


class KeyState(StrEnum):
    """A signing key is published before it signs, and still verifies after."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key of the ring. `public`: 32 raw bytes; `sealed`: the private half, readable to the ring alone."""

    kid: str
    state: KeyState
    public: bytes
    sealed: bytes
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Something that happened to an account. `number` is masked; nothing here is a secret. `id` 0: not stored yet."""

    event: str
    at: datetime
    user_id: UserId | None = None
    session_id: SessionId | None = None
    number: str | None = None
    ip: str | None = None
    operator: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPolicy:
    """The numbers behind what sign-in promises; `settings` may change them within checked ranges."""

    app_name: str = "Gemini Backend"
    domain: str = "localhost"
    code_lives: timedelta = timedelta(minutes=5)
    code_ceiling: timedelta = timedelta(minutes=10)
    attempts: int = 5
    resend_after: timedelta = timedelta(seconds=60)
    sends: int = 3
    suspicious_failures: int = 20
    most_failures: int = 100
    signup_lives: timedelta = timedelta(hours=24)
    access_lives: timedelta = timedelta(minutes=10)
    refresh_grace: timedelta = timedelta(seconds=30)
    session_idle: timedelta = timedelta(days=14)
    session_lives: timedelta = timedelta(days=90)
    sessions: int = 20
    reset_lives: timedelta = timedelta(minutes=10)
    step_up: timedelta = timedelta(minutes=5)
    password_tries: int = 5
    password_window: timedelta = timedelta(minutes=15)
    calls_per_minute: int = 3_000


def new_code(digits: int) -> str:
    """A code of that many digits, zero-padded, from the system's generator."""
    return f"{secrets.randbelow(10**digits):0{digits}}"


def masked(number: str) -> str:
    """A number as it may be logged: `+1415•••2671`."""
    return f"{number[:5]}•••{number[-4:]}" if len(number) > 11 else f"{number[:3]}•••{number[-2:]}"


def code_text(policy: AccountPolicy, code: str) -> str:
    """The message that brings a code. Its last line binds the code to the domain (WICG origin-bound codes)."""
    minutes = policy.code_lives // timedelta(minutes=1)
    return (
        f"{code} is your {policy.app_name} code, valid for {minutes} minutes. Don't share it with anyone.\n\n"
        f"@{policy.domain} #{code}"
    )


def password_changed_text(policy: AccountPolicy) -> str:
    """The message that tells of a new password."""
    return f"Your {policy.app_name} password was changed. If it was not you, reset it and sign out everywhere."


CONTROL = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
LONGEST = {"name": 100, "username": 64}


def clean_line(field_name: str, value: str | None) -> str | None:
    """One line of text as it is kept: normal form C, trimmed; None for nothing. Raises `Invalid`."""
    if value is None:
        return None
    line = unicodedata.normalize("NFC", value).strip()
    if any(unicodedata.category(character) in CONTROL for character in line):
        raise Invalid.field(field_name, "must not hold control characters", "bad_characters")
    if len(line) > LONGEST[field_name]:
        raise Invalid.field(field_name, f"must have at most {LONGEST[field_name]} characters", "too_long")
    return line or None
