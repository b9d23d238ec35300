"""Promises in PostgreSQL. The clock of leases is the database's, so that workers' clocks may differ."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, Row, bindparam, delete, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Uuid

from adapters.persistence.engine import statement, transaction
from adapters.persistence.tables import jobs
from gemini_core.errors import NotFound
from gemini_core.model.ids import JobId
from gemini_core.model.jobs import JobRecord, JobState, Lease, NewJob
from gemini_core.model.requests import Page

# Due, not leased, and nothing unfinished before it in its lane. Within a lane jobs are committed in the order of their
# ids (the writer holds the lane's row), so that an earlier one cannot turn up later.
CLAIMABLE = """
    NOT dead AND due_at <= now() AND (leased_until IS NULL OR leased_until <= now())
    AND (lane IS NULL OR NOT EXISTS (
        SELECT FROM jobs earlier WHERE earlier.lane = jobs.lane AND earlier.id < jobs.id AND NOT earlier.dead))
"""
# A try after a crash (no failure recorded) starts the clock of tries anew: a long outage is nobody's failure.
CLAIM = text(
    f"""
    UPDATE jobs SET lease = :token, leased_until = now() + :lease_for, attempt = attempt + 1,
        trying_since = CASE WHEN failures = 0 THEN :now ELSE coalesce(trying_since, :now) END
    WHERE id = :id AND {CLAIMABLE}
    RETURNING id, kind, args, lane, lease, attempt, failures, attempt - 1 - put_back AS lost, trying_since, cancelled,
        error, request_id
    """  # noqa: S608 - a constant
)
DUE = text(f"SELECT id FROM jobs WHERE {CLAIMABLE} ORDER BY due_at LIMIT :limit")  # noqa: S608
TOKENS = bindparam("tokens", type_=ARRAY(Uuid))
# A lease that ran out is still good until somebody else takes it: so work outlives an outage of the database.
# In the order of ids, as everybody who holds several jobs takes them.
RENEW = text(
    """
    UPDATE jobs SET leased_until = now() + :lease_for
    FROM (SELECT id FROM jobs WHERE lease = ANY(:tokens) ORDER BY id FOR UPDATE) held WHERE jobs.id = held.id
    RETURNING lease
    """
).bindparams(TOKENS)
WANTED = text("SELECT lease FROM jobs WHERE lease = ANY(:tokens) AND NOT cancelled").bindparams(TOKENS)
PUT_BACK = text(
    """
    UPDATE jobs SET lease = NULL, leased_until = NULL, dead = :dead,
        due_at = CASE WHEN cancelled THEN now() ELSE now() + :after END,
        failures = failures + :failed, put_back = put_back + 1, error = coalesce(nullif(:error, ''), error)
    WHERE id = :id AND lease = :token AND NOT (cancelled AND :if_wanted) RETURNING due_at <= now() AND NOT dead AS due
    """
)
NEXT_IN_LANE = text("SELECT id FROM jobs WHERE lane = :lane AND id > :id AND NOT dead ORDER BY id LIMIT 1")
FINISH = delete(jobs).where(jobs.c.id == bindparam("job"), jobs.c.lease == bindparam("token")).returning(jobs.c.id)
INSERT = text(
    """
    INSERT INTO jobs (id, kind, args, lane, request_id, due_at)
    VALUES (:id, :kind, :args, :lane, :request_id, now() + :after) ON CONFLICT (id) DO NOTHING
    """
).bindparams(bindparam("args", type_=JSONB))
REVIVE = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"), jobs.c.dead)
    .values(dead=False, failures=0, put_back=jobs.c.attempt, due_at=text("now()"), leased_until=None, lease=None)
    .returning(jobs.c.id)
)


def insert_job(connection: Connection, job: NewJob) -> None:
    """Write a promise down in the caller's transaction."""
    connection.execute(
        INSERT,
        {
            "id": job.id,
            "kind": job.kind,
            "args": dict(job.args),
            "lane": job.lane,
            "request_id": job.request_id,
            "after": job.after,
        },
    )


def finish_job(connection: Connection, lease: Lease, then: Iterable[NewJob] = ()) -> list[JobId] | None:
    """Take a kept promise away in the caller's transaction; answers whom to nudge, None if the lease was lost."""
    if connection.execute(FINISH, {"job": lease.id, "token": lease.token}).one_or_none() is None:
        return None
    following = list(then)
    for job in following:
        insert_job(connection, job)
    nudge = [job.id for job in following if not job.after]
    if lease.lane is not None:
        nudge += next_in_lane(connection, lease.lane, lease.id)
    return nudge


def next_in_lane(connection: Connection, lane: UUID, after: JobId) -> list[JobId]:
    """At most one: who comes after this job."""
    return [JobId(id) for id in connection.execute(NEXT_IN_LANE, {"lane": lane, "id": after}).scalars()]


@dataclass(frozen=True, slots=True)
class SqlJobs:
    """`JobRepo`, `LeaseKeeper` and `JobAdmin` on PostgreSQL."""

    engine: Engine

    def add(self, job: NewJob) -> None:
        with statement(self.engine) as connection:
            insert_job(connection, job)

    def claim(self, job_id: JobId, *, lease_for: timedelta, now: datetime) -> Lease | None:
        with statement(self.engine) as connection:
            row = connection.execute(
                CLAIM, {"id": job_id, "token": uuid4(), "lease_for": lease_for, "now": now}
            ).one_or_none()
        return None if row is None else _lease(row)

    def finish(self, lease: Lease, *, then: Iterable[NewJob] = ()) -> Sequence[JobId] | None:
        with transaction(self.engine) as connection:
            return finish_job(connection, lease, then)

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
        values = {
            "id": lease.id,
            "token": lease.token,
            "after": after,
            "failed": int(failed),
            "error": error[:2000],
            "dead": for_good,
            "if_wanted": if_wanted,
        }
        with statement(self.engine) as connection:
            due = connection.execute(PUT_BACK, values).scalar_one_or_none()
        return None if due is None else ([lease.id] if due else [])

    def renew(self, tokens: Collection[UUID], *, lease_for: timedelta) -> set[UUID]:
        with statement(self.engine) as connection:
            return set(connection.execute(RENEW, {"tokens": list(tokens), "lease_for": lease_for}).scalars())

    def unwanted(self, tokens: Collection[UUID]) -> set[UUID]:
        with statement(self.engine) as connection:
            return set(tokens) - set(connection.execute(WANTED, {"tokens": list(tokens)}).scalars())

    def due(self, *, limit: int) -> Sequence[JobId]:
        with statement(self.engine) as connection:
            return [JobId(id) for id in connection.execute(DUE, {"limit": limit}).scalars()]

    def list_jobs(
        self, *, state: JobState | None, kind: str | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[JobRecord]:
        query = select(jobs).order_by(jobs.c.id).limit(limit + 1)
        if state is not None:
            query = query.where(jobs.c.dead == (state is JobState.DEAD))
        if kind is not None:
            query = query.where(jobs.c.kind == kind)
        if after is not None:
            query = query.where(jobs.c.id > UUID(after[0]))
        with statement(self.engine) as connection:
            records = [_record(row) for row in connection.execute(query)]
        return Page(tuple(records[:limit]), (str(records[limit - 1].id),) if len(records) > limit else None)

    def show(self, job_id: JobId) -> JobRecord:
        with statement(self.engine) as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise NotFound("There is no such job.")
        return _record(row)

    def revive(self, job_id: JobId) -> bool:
        with statement(self.engine) as connection:
            if connection.execute(REVIVE, {"job": job_id}).one_or_none() is not None:
                return True
        self.show(job_id)
        return False


def _lease(row: Row[Any]) -> Lease:
    return Lease(
        id=JobId(row.id),
        kind=row.kind,
        args=row.args,
        lane=row.lane,
        token=row.lease,
        attempt=row.attempt,
        failures=row.failures,
        trying_since=row.trying_since,
        lost=row.lost,
        cancelled=row.cancelled,
        last_error=row.error or "",
        request_id=row.request_id,
    )


def _record(row: Row[Any]) -> JobRecord:
    return JobRecord(
        id=JobId(row.id),
        kind=row.kind,
        args=row.args,
        lane=row.lane,
        state=JobState.DEAD if row.dead else JobState.OPEN,
        due_at=row.due_at,
        leased_until=row.leased_until,
        attempt=row.attempt,
        failures=row.failures,
        error=row.error,
        created_at=row.created_at,
        request_id=row.request_id,
    )
