"""The chat exams catch what they are there for: each of these variants is wrong in one known way, and fails."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Barrier, BrokenBarrierError
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from tests.contracts import test_chat as exam
from tests.contracts import test_promises as promises
from tests.contracts.chat_worlds import ChatWorld, postgres_world

from adapters.persistence.chat.messages import SqlMessages
from adapters.persistence.chat.sending import Sending
from adapters.persistence.engine import statement, transaction
from adapters.persistence.jobs import SqlJobs
from adapters.persistence.replies import SqlReplies
from adapters.persistence.tables import daily_usage, idempotency_keys, jobs, messages
from gemini_core.errors import Failure
from gemini_core.model.chat import Message, Role, Sent, Status
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId, uuid7
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.model.replies import Answer
from gemini_core.model.requests import Once
from gemini_core.ports.jobs import JobQueue

CAUGHT = (AssertionError, Failure, pytest.fail.Exception)


@pytest.fixture
def world(engine: Engine) -> ChatWorld:
    return postgres_world(engine)


# --- no look at the lease when finishing ------------------------------------------------------------------------------


class FinishesAnyway(SqlReplies):
    """Takes whatever lease there is for its own."""

    def finish(self, lease: Lease, answer: Answer, **about: Any) -> Sequence[JobId] | None:
        with statement(self.engine) as connection:
            token = connection.execute(select(jobs.c.lease).where(jobs.c.id == lease.id)).scalar()
        return SqlReplies.finish(self, replace(lease, token=token or lease.token), answer, **about)


def test_a_worker_that_finishes_without_its_lease_is_caught(world: ChatWorld, engine: Engine) -> None:
    with pytest.raises(CAUGHT):
        exam.test_a_late_finisher_whose_lease_was_taken_over_stores_nothing(
            replace(world, replies=FinishesAnyway(engine))
        )


# --- the unit given back with every finish ----------------------------------------------------------------------------


class GivesBackAgain(SqlReplies):
    """Counts down whenever a failed reply is finished, also for the second time."""

    def finish(self, lease: Lease, answer: Answer, *, now: datetime, **about: Any) -> Sequence[JobId] | None:
        nudge = SqlReplies.finish(self, lease, answer, now=now, **about)
        if answer.give_back and nudge is None:
            with statement(self.engine) as connection:
                connection.execute(
                    update(daily_usage).values(used=daily_usage.c.used - 1).where(daily_usage.c.used > 0)
                )
        return nudge


def test_a_unit_that_comes_back_twice_is_caught(world: ChatWorld, engine: Engine) -> None:
    with pytest.raises(CAUGHT):
        exam.test_a_failed_reply_gives_its_unit_back_exactly_once_to_its_own_day(
            replace(world, replies=GivesBackAgain(engine))
        )


# --- the key looked for, then inserted --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LooksThenInserts(SqlMessages):
    """Remembers what it answered after it has answered. Two look before either inserts: now and then they do."""

    both: Barrier = field(default_factory=lambda: Barrier(2, timeout=1))

    def send(self, author: UserId, room: ChatroomId, content: str, *, once: Once | None = None, **about: Any) -> Sent:
        assert once is not None
        key = {"user_id": author, "key": once.key}
        with statement(self.engine) as connection:
            kept = connection.execute(select(idempotency_keys.c.outcome).filter_by(**key)).scalar()
        if kept is not None:
            return replace(_sent(room, content, about["now"], kept["said"], kept["reply"]), replayed=True)
        with suppress(BrokenBarrierError):
            self.both.wait()
        sent = SqlMessages.send(self, author, room, content, **about)
        outcome = {"said": str(sent.message.id), "reply": str(sent.reply.id)}
        row = {**key, "fingerprint": once.fingerprint, "outcome": outcome, "created_at": about["now"]}
        with statement(self.engine) as connection:
            connection.execute(upsert(idempotency_keys).values(row).on_conflict_do_nothing())
        return sent


def test_a_key_that_is_looked_for_and_then_inserted_is_caught(world: ChatWorld, engine: Engine) -> None:
    with pytest.raises(CAUGHT):
        exam.test_50_sends_with_one_key_at_the_same_instant_are_one_message(
            replace(world, messages=LooksThenInserts(engine))
        )


# --- the nudge before the commit --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NudgesBeforeItCommits(SqlMessages):
    """Tells of the job as soon as its row is written."""

    queue: JobQueue

    def send(self, *args: Any, **about: Any) -> Sent:
        with transaction(self.engine) as connection:
            sending = Sending(_Within(connection))  # type: ignore[arg-type]
            sent = sending.send(*args, **{**about, "attachments": (), "once": None})
            self.queue.nudge(JobId(sent.reply.id))
        return sent


@dataclass(frozen=True, slots=True)
class _Within:
    """An engine all of whose connections are in one transaction."""

    connection: Connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        yield self.connection


def test_a_nudge_before_the_commit_is_caught(world: ChatWorld, engine: Engine) -> None:
    queue = promises.HastyWorkers(world.jobs)
    with pytest.raises(CAUGHT):
        promises.test_whoever_is_told_of_a_job_finds_it(
            replace(world, messages=NudgesBeforeItCommits(engine, queue)), queue
        )


# --- the job after the message ----------------------------------------------------------------------------------------


class PromisesLater(SqlMessages):
    """Stores the message, and then its job."""

    def send(self, author: UserId, room: ChatroomId, content: str, *, now: datetime, **about: Any) -> Sent:
        said, reply = uuid7(now), uuid7(now)
        common = {"chatroom_id": room, "user_id": author, "created_at": now}
        with transaction(self.engine) as connection:
            connection.execute(insert(daily_usage).values(user_id=author, day=now.date(), used=1))
            for row in (
                {"id": said, "role": "user", "status": "complete", "content": content},
                {"id": reply, "role": "model", "status": "pending", "content": "", "reply_to": said},
            ):
                connection.execute(insert(messages).values(**common, **row))
        SqlJobs(self.engine).add(NewJob(id=JobId(reply), kind="reply", lane=room))
        return _sent(room, content, now, str(said), str(reply))


def test_a_job_that_is_written_after_its_message_is_caught(world: ChatWorld, engine: Engine) -> None:
    with pytest.raises(CAUGHT):
        promises.check_all_or_nothing(replace(world, messages=PromisesLater(engine)), engine)


def _sent(room: ChatroomId, content: str, now: datetime, said: str, reply: str) -> Sent:
    message = Message(
        id=MessageId(UUID(said)),
        chatroom_id=room,
        role=Role.USER,
        content=content,
        status=Status.COMPLETE,
        created_at=now,
        completed_at=now,
    )
    return Sent(message=message, reply=message.promised(MessageId(UUID(reply))), limit=5, used=1)
