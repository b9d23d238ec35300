"""How a worker keeps a promise: tried again while that may help, given up when it does not, never forgotten."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from tests.fakes.clock import StandingClock

from adapters.memory.jobs import MemoryJobs
from adapters.memory.queue import MemoryQueue
from adapters.memory.store import MemoryStore
from gemini_core.errors import Unavailable
from gemini_core.model.ids import JobId, uuid7
from gemini_core.model.jobs import Backoff, JobState, Lease, NewJob
from gemini_core.use_cases.jobs import (
    MOST_LOST,
    FunctionHandler,
    Handler,
    HeldLeases,
    Recurring,
    RunJob,
    StartSchedule,
    Stop,
    recurring,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class Worker:
    """One worker, its jobs, and the handlers it knows."""

    handlers: dict[str, Handler] = field(default_factory=dict)
    clock: StandingClock = field(default_factory=lambda: StandingClock(NOON))
    queue: MemoryQueue = field(default_factory=MemoryQueue)

    def __post_init__(self) -> None:
        self.jobs = MemoryJobs(MemoryStore(self.clock))
        self.leases = HeldLeases(self.jobs)
        backoff = Backoff(attempts=3, first=1.0, most=8.0, total=60.0)
        self.keep = RunJob(self.jobs, self.queue, self.leases, self.handlers, self.clock, backoff)

    def promise(self, kind: str) -> JobId:
        id = JobId(uuid7(NOON))
        self.jobs.add(NewJob(id=id, kind=kind))
        return id

    def deed(self, kind: str, does: Callable[[Lease], object]) -> JobId:
        """The promise of a plain deed."""
        self.handlers[kind] = FunctionHandler(self.jobs, does)
        return self.promise(kind)

    def later(self, by: timedelta = HOUR) -> None:
        self.clock.at += by


def raising(error: Exception) -> Callable[[Lease], object]:
    def deed(_: Lease) -> object:
        raise error

    return deed


def test_a_kept_promise_is_gone() -> None:
    worker, kept = Worker(), list[Lease]()
    id = worker.deed("greet", kept.append)
    assert worker.keep(id)
    assert [lease.id for lease in kept] == [id]
    assert not worker.keep(id)
    assert worker.jobs.jobs == {}


def test_a_poisonous_job_rests_longer_each_time_and_then_waits_for_an_operator() -> None:
    worker = Worker()
    id = worker.deed("greet", raising(KeyError("who")))
    rests = []
    for _ in range(2):
        assert worker.keep(id)
        rests.append((worker.jobs.show(id).due_at - worker.clock.now()).total_seconds())
        assert not worker.keep(id)
        worker.later(timedelta(seconds=8))
    assert 0.5 <= rests[0] <= 1.0 <= rests[1] <= 2.0
    assert worker.keep(id)
    dead = worker.jobs.show(id)
    assert (dead.state, dead.failures, dead.error) == (JobState.DEAD, 3, "KeyError")
    worker.later()
    assert not worker.keep(id)
    assert worker.jobs.revive(id)
    assert worker.keep(id)
    assert (worker.jobs.show(id).state, worker.jobs.show(id).failures) == (JobState.OPEN, 1)


def test_a_job_is_given_up_when_its_time_is_over_whatever_tries_are_left() -> None:
    worker = Worker()
    id = worker.deed("greet", raising(KeyError("who")))
    assert worker.keep(id)
    worker.later()
    assert worker.keep(id)
    assert (worker.jobs.show(id).state, worker.jobs.show(id).failures) == (JobState.DEAD, 2)


def test_an_outage_is_nobodys_failure_however_long_it_takes() -> None:
    worker = Worker()
    id = worker.deed("greet", raising(Unavailable("away", retry_after=7)))
    for _ in range(2 * MOST_LOST):
        assert worker.keep(id)
        job = worker.jobs.show(id)
        assert (job.state, job.failures, job.due_at - worker.clock.now()) == (JobState.OPEN, 0, timedelta(seconds=7))
        worker.later()


def test_a_job_that_kills_its_workers_is_given_up_in_the_end() -> None:
    worker = Worker()
    id = worker.deed("greet", raising(AssertionError("never called")))
    for _ in range(MOST_LOST):
        assert worker.jobs.claim(id, lease_for=timedelta(seconds=15), now=worker.clock.now())
        worker.later()
    assert worker.keep(id)
    assert worker.jobs.show(id).state is JobState.DEAD


def test_a_job_of_a_newer_release_waits_for_a_worker_that_knows_it() -> None:
    worker = Worker()
    id = worker.promise("sing")
    assert worker.keep(id)
    assert (worker.jobs.show(id).state, worker.jobs.show(id).failures) == (JobState.OPEN, 0)
    assert not worker.keep(id)
    worker.later()
    worker.handlers["sing"] = FunctionHandler(worker.jobs, lambda lease: None)
    assert worker.keep(id)
    assert worker.jobs.jobs == {}


def test_a_recurring_promise_is_due_again_whether_it_was_kept_or_not() -> None:
    worker, outcomes = Worker(), iter([None, *[KeyError("x")] * 3, None])

    def sweep(_: Lease) -> None:
        if error := next(outcomes):
            raise error

    worker.handlers["sweep"] = Recurring(worker.jobs, sweep, HOUR)
    start = StartSchedule(worker.jobs, worker.handlers)
    start()
    start()
    id = recurring("sweep").id
    assert len(worker.jobs.jobs) == 1
    for _ in range(5):
        assert worker.keep(id)
        worker.later(timedelta(seconds=9) if worker.jobs.show(id).failures else HOUR)
    assert next(outcomes, "all done") == "all done"
    assert worker.jobs.show(id).state is JobState.OPEN


def test_whoever_comes_next_is_nudged_when_a_promise_is_kept() -> None:
    worker = Worker()
    following = NewJob(id=JobId(uuid7(NOON)), kind="next")

    class Leads:
        def work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
            return worker.jobs.finish(lease, then=[following]) or ()

        def give_up(self, lease: Lease, error: str) -> Sequence[JobId]:
            raise AssertionError

    worker.handlers["first"] = Leads()
    assert worker.keep(worker.promise("first"))
    assert worker.queue.nudged.get_nowait() == following.id


def test_whose_lease_was_taken_over_is_told_to_stop() -> None:
    worker, told = Worker(), list[bool]()

    class Slow:
        def work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
            worker.leases.renew()
            worker.leases.look()
            told.append(stop())
            worker.later()
            assert worker.jobs.claim(lease.id, lease_for=HOUR, now=worker.clock.now())
            worker.leases.renew()
            told.append(stop())
            return worker.jobs.finish(lease) or ()

        def give_up(self, lease: Lease, error: str) -> Sequence[JobId]:
            raise AssertionError

    worker.handlers["slow"] = Slow()
    id = worker.promise("slow")
    assert worker.keep(id)
    assert told == [False, True]
    assert worker.jobs.show(id).attempt == 2


def test_each_piece_of_work_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    worker = Worker()
    assert worker.keep(worker.deed("greet", lambda lease: None))
    assert worker.keep(worker.deed("sing", raising(KeyError("song"))))
    lines = [vars(record) for record in caplog.records if record.getMessage() == "job"]
    assert [(line["kind"], line["attempt"], line["outcome"]) for line in lines] == [
        ("greet", 1, "done"),
        ("sing", 1, "failed"),
    ]
    assert all(line["ms"] >= 0 for line in lines)
