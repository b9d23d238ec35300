"""Codes under way: asked for, made, sent, typed in."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from gemini_core.model.accounts.people import Client, Credentials, MobileNumber, SignupId, User
from gemini_core.model.accounts.sessions import Session
from gemini_core.model.ids import JobId, SessionId, UserId

ChallengeId = NewType("ChallengeId", str)

# The kinds of promises about codes.
SEND_CODE, CODE_PROVEN = "send_code", "code_proven"


class Purpose(StrEnum):
    """What a code is for. It is fixed when the code is asked for; nobody states it afterwards."""

    LOGIN = "login"
    RESET = "reset"

    @property
    def byte(self) -> int:
        """Its place in a challenge id."""
        return 1 if self is Purpose.LOGIN else 2


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
    """The requester's challenge for this number is open, and another code is not due for `retry_after` of `window`."""

    retry_after: timedelta
    window: timedelta


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


def new_code(digits: int) -> str:
    """A code of that many digits, zero-padded, from the system's generator."""
    return f"{secrets.randbelow(10**digits):0{digits}}"
