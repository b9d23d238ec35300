"""What keeping promises needs of the world. The clock of leases is the store's own: workers' clocks may differ."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from gemini_core.model.ids import JobId
from gemini_core.model.jobs import JobRecord, JobState, Lease, NewJob
from gemini_core.model.requests import Page


class JobRepo(Protocol):
    """The promises. Every method is one transaction; all raise `Unavailable` while the store is away."""

    def add(self, job: NewJob) -> None:
        """Write down a promise that stands alone; one with this id that is there already stays as it is."""
        ...

    def claim(self, job_id: JobId, *, lease_for: timedelta, now: datetime) -> Lease | None:
        """Take the job, if it is due, open, not leased, and first in its lane. `now` dates `trying_since` only.

        Of any number of callers at the same instant at most one gets it.
        """
        ...

    def finish(self, lease: Lease, *, then: Iterable[NewJob] = ()) -> Sequence[JobId] | None:
        """The promise is kept: the job goes, and what follows from it is written down.

        Returns the ids that are worth a nudge (what follows; the next in the lane); None if the lease was lost.
        """
        ...

    def put_back(
        self,
        lease: Lease,
        *,
        after: timedelta,
        failed: bool,
        error: str = "",
        for_good: bool = False,
        if_wanted: bool = False,
    ) -> Sequence[JobId] | None:
        """Give the job up: due again `after` a rest; `failed` counts the try; `for_good` makes it dead.

        One that somebody has asked to stop does not rest: whoever claims it next stops it; with `if_wanted` it stays
        with the one who has it. Returns the ids that are worth a nudge (its own, if it is due at once); None if it
        stays, or the lease was lost.
        """
        ...


class LeaseKeeper(Protocol):
    """Keeps the leases of one worker alive."""

    def renew(self, tokens: Collection[UUID], *, lease_for: timedelta) -> set[UUID]:
        """Extend these leases; returns those that are still ours: also one that ran out, if nobody has taken it."""
        ...

    def unwanted(self, tokens: Collection[UUID]) -> set[UUID]:
        """Those whose work should stop: cancelled, or the job is gone, or the lease is somebody else's."""
        ...

    def due(self, *, limit: int) -> Sequence[JobId]:
        """Jobs that could be claimed now, oldest first."""
        ...


class JobQueue(Protocol):
    """Tells workers that there is work. Only a hint: it may be lost, doubled or late, and it never raises."""

    def nudge(self, *jobs: JobId) -> None:
        """These jobs may be worth a claim. Returns at once."""
        ...


class JobAdmin(Protocol):
    """The operator's view."""

    def list_jobs(
        self, *, state: JobState | None, kind: str | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[JobRecord]:
        """Jobs in the order of their ids: oldest first, but for those whose id follows from what they are about.

        `after`: `Page.next` of the page before.
        """
        ...

    def show(self, job_id: JobId) -> JobRecord:
        """One job. Raises `NotFound`."""
        ...

    def revive(self, job_id: JobId) -> bool:
        """Make a dead job due now, with fresh tries. False if it is not dead. Raises `NotFound`."""
        ...
