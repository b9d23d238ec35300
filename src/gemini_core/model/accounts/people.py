"""Who they are: their numbers, profiles and accounts, and where their requests come from."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from gemini_core.errors import Invalid
from gemini_core.model.ids import SessionId, UserId

SignupId = NewType("SignupId", str)

# The kinds of promises about accounts.
SEND_NOTICE, ERASE_ACCOUNT, FORGET_STALE = "send_notice", "erase_account", "forget_stale"


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


def masked(number: str) -> str:
    """A number as it may be logged: `+1415•••2671`."""
    return f"{number[:5]}•••{number[-4:]}" if len(number) > 11 else f"{number[:3]}•••{number[-2:]}"


CONTROL = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
LONGEST = {"name": 100, "username": 64}
# What joins letters and parts them in Hindi and Persian, and pictures in emoji. It is seen only between two of them.
JOINING = re.compile(r"(?<=[^\s\u200c\u200d])[\u200c\u200d](?=[^\s\u200c\u200d])")


def clean_line(field_name: str, value: str | None) -> str | None:
    """One line of text as it is kept: normal form C, trimmed; None for nothing. Raises `Invalid`."""
    if value is None:
        return None
    line = unicodedata.normalize("NFC", value).strip()
    visible = JOINING.sub("", line) if field_name == "name" else line
    if any(unicodedata.category(character) in CONTROL for character in visible):
        raise Invalid.field(field_name, "must not hold control characters", "bad_characters")
    if len(line) > LONGEST[field_name]:
        raise Invalid.field(field_name, f"must have at most {LONGEST[field_name]} characters", "too_long")
    return line or None
