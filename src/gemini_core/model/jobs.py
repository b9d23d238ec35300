"""Jobs: promises written down in the transaction that makes them, kept by whoever holds the lease."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import random
from uuid import UUID

from gemini_core.model.ids import JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A promise to be written down.

    `args` holds ids and plain words only (JSON), never a secret. Jobs of one `lane` are done one at a time, in the
    order of their ids; jobs without a lane do not wait for each other. `after`: how long it rests first.
    """

    id: JobId
    kind: str
    args: Mapping[str, str] = field(default_factory=dict)
    lane: UUID | None = None
    after: timedelta = timedelta(0)
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A job that is ours until the lease runs out. Every write for the job carries the lease and is void without it.

    `token` is new at every claim. `attempt` counts claims from 1; `failures` counts the tries that ended in a recorded
    failure (a killed worker records none), `lost` the earlier claims of which nothing was heard. `trying_since`: when
    the first of these tries was claimed. `cancelled`: somebody asked to stop before this claim. `last_error`: the word
    of the last recorded failure.
    """

    id: JobId
    kind: str
    args: Mapping[str, str]
    lane: UUID | None
    token: UUID
    attempt: int
    failures: int
    trying_since: datetime
    lost: int = 0
    cancelled: bool = False
    last_error: str = ""
    request_id: str = ""


class JobState(StrEnum):
    """`open` jobs are due, resting or leased; a `dead` one has used up its tries and waits for an operator."""

    OPEN = "open"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as an operator sees it."""

    id: JobId
    kind: str
    args: Mapping[str, str]
    lane: UUID | None
    state: JobState
    due_at: datetime
    leased_until: datetime | None
    attempt: int
    failures: int
    error: str | None
    created_at: datetime
    request_id: str


# Seconds that a try must have: none is begun for less.
LEAST = 1.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """When to try again: exponential with full jitter on its upper half, within attempts and a total time.

    `first` and `most` bound the pause in seconds; `total` bounds the time since the first try, in seconds.
    """

    attempts: int = 5
    first: float = 1.0
    most: float = 30.0
    total: float = 150.0

    def pause(self, failures: int, tried_for: float, asked: float | None = None) -> float | None:
        """Seconds to rest after the `failures`-th failure; None to give up.

        `tried_for`: seconds since the first try began. `asked`: seconds the other side asked for; never undercut.
        """
        if failures >= self.attempts:
            return None
        longest = min(self.most, self.first * 2 ** (failures - 1))
        pause = max(longest * (0.5 + random() / 2), asked or 0.0)  # noqa: S311 - jitter, not a secret
        return pause if tried_for + pause + LEAST <= self.total else None
