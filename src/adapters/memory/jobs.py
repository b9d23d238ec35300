"""Promises in the process."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from adapters.memory.store import MemoryStore
from gemini_core.errors import NotFound
from gemini_core.model.ids import JobId
from gemini_core.model.jobs import JobRecord, JobState, Lease, NewJob
from gemini_core.model.requests import Page


@dataclass(slots=True)
class _Job:
    record: JobRecord
    token: UUID | None = None
    put_back: int = 0
    trying_since: datetime | None = None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class MemoryJobs:
    """`JobRepo`, `LeaseKeeper` and `JobAdmin` in the process."""

    store: MemoryStore
    jobs: dict[JobId, _Job] = field(default_factory=dict)

    def add(self, job: NewJob) -> None:
        now = self.store.clock.now()
        record = JobRecord(
            id=job.id,
            kind=job.kind,
            args=dict(job.args),
            lane=job.lane,
            state=JobState.OPEN,
            due_at=now + job.after,
            leased_until=None,
            attempt=0,
            failures=0,
            error=None,
            created_at=now,
            request_id=job.request_id,
        )
        with self.store.lock:
            self.jobs.setdefault(job.id, _Job(record))

    def claim(self, job_id: JobId, *, lease_for: timedelta, now: datetime) -> Lease | None:
        with self.store.lock:
            job = self.jobs.get(job_id)
            if job is None or not self._claimable(job):
                return None
            job.token = uuid4()
            if job.record.failures == 0 or job.trying_since is None:
                job.trying_since = now
            until = self.store.clock.now() + lease_for
            job.record = replace(job.record, leased_until=until, attempt=job.record.attempt + 1)
            return Lease(
                id=job_id,
                kind=job.record.kind,
                args=job.record.args,
                lane=job.record.lane,
                token=job.token,
                attempt=job.record.attempt,
                failures=job.record.failures,
                trying_since=job.trying_since,
                lost=job.record.attempt - 1 - job.put_back,
                cancelled=job.cancelled,
                last_error=job.record.error or "",
                request_id=job.record.request_id,
            )

    def finish(self, lease: Lease, *, then: Iterable[NewJob] = ()) -> Sequence[JobId] | None:
        with self.store.lock:
            if not self.holds(lease):
                return None
            del self.jobs[lease.id]
            following = list(then)
            for job in following:
                self.add(job)
            return [*(job.id for job in following if not job.after), *self.next_in_lane(lease.lane, lease.id)]

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
        with self.store.lock:
            if not self.holds(lease) or (if_wanted and self.jobs[lease.id].cancelled):
                return None
            job, now = self.jobs[lease.id], self.store.clock.now()
            job.token = None
            job.put_back += 1
            job.record = replace(
                job.record,
                leased_until=None,
                due_at=now if job.cancelled else now + after,
                failures=job.record.failures + failed,
                error=error or job.record.error,
                state=JobState.DEAD if for_good else JobState.OPEN,
            )
            return [lease.id] if job.record.due_at <= now and not for_good else []

    def renew(self, tokens: Collection[UUID], *, lease_for: timedelta) -> set[UUID]:
        with self.store.lock:
            ours = self._held(tokens)
            for job in ours.values():
                job.record = replace(job.record, leased_until=self.store.clock.now() + lease_for)
            return set(ours)

    def unwanted(self, tokens: Collection[UUID]) -> set[UUID]:
        with self.store.lock:
            return set(tokens) - {token for token, job in self._held(tokens).items() if not job.cancelled}

    def due(self, *, limit: int) -> Sequence[JobId]:
        with self.store.lock:
            found = [job.record for job in self.jobs.values() if self._claimable(job)]
            return [record.id for record in sorted(found, key=lambda record: record.due_at)[:limit]]

    def list_jobs(
        self, *, state: JobState | None, kind: str | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[JobRecord]:
        with self.store.lock:
            records = sorted((job.record for job in self.jobs.values()), key=lambda record: record.id)
        chosen = [
            record
            for record in records
            if state in (None, record.state)
            and kind in (None, record.kind)
            and (not after or str(record.id) > after[0])
        ]
        return Page(tuple(chosen[:limit]), (str(chosen[limit - 1].id),) if len(chosen) > limit else None)

    def show(self, job_id: JobId) -> JobRecord:
        with self.store.lock:
            if job_id not in self.jobs:
                raise NotFound("There is no such job.")
            return self.jobs[job_id].record

    def revive(self, job_id: JobId) -> bool:
        with self.store.lock:
            record = self.show(job_id)
            if record.state is not JobState.DEAD:
                return False
            job = self.jobs[job_id]
            job.put_back = record.attempt
            job.record = replace(record, state=JobState.OPEN, failures=0, due_at=self.store.clock.now())
            return True

    # What the other memory adapters need inside their own transactions.

    def holds(self, lease: Lease) -> bool:
        """The job is there, and this lease is the latest one."""
        job = self.jobs.get(lease.id)
        return job is not None and job.token == lease.token

    def held(self, job_id: JobId) -> bool:
        """Somebody works on it, or has died of it; also when the lease ran out, and nobody else has taken the job."""
        return self.jobs[job_id].token is not None

    def ask_to_stop(self, job_id: JobId) -> None:
        """The worker is told when it looks."""
        self.jobs[job_id].cancelled = True

    def next_in_lane(self, lane: UUID | None, after: JobId) -> list[JobId]:
        """At most one: who comes after this job."""
        return sorted(id for id, job in self.jobs.items() if self._in_lane(job, lane) and id > after)[:1]

    def drop_lane(self, lane: UUID) -> None:
        """The promises of a lane are owed to nobody any more."""
        for id in [id for id, job in self.jobs.items() if job.record.lane == lane]:
            del self.jobs[id]

    def _claimable(self, job: _Job) -> bool:
        record = job.record
        return (
            record.state is JobState.OPEN
            and record.due_at <= self.store.clock.now()
            and (record.leased_until is None or record.leased_until <= self.store.clock.now())
            and not any(self._in_lane(other, record.lane) and id < record.id for id, other in self.jobs.items())
        )

    def _in_lane(self, job: _Job, lane: UUID | None) -> bool:
        return lane is not None and job.record.lane == lane and job.record.state is JobState.OPEN

    def _held(self, tokens: Collection[UUID]) -> dict[UUID, _Job]:
        """Also where the lease ran out, while nobody else has taken the job."""
        return {job.token: job for job in self.jobs.values() if job.token is not None and job.token in tokens}
