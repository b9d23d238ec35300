"""The keys that sign access tokens."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
