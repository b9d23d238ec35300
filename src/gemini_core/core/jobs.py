"""Jobs: what is promised, and who runs it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from threading import Semaphore
from typing import Protocol

from gemini_core.model.ids import JobId
from gemini_core.model.jobs import Lease
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobAdmin, JobQueue, JobRepo, LeaseKeeper
from gemini_core.use_cases.jobs import Bulkhead, Handler, HeldLeases, RunJob, StartSchedule

# Seconds between two looks at what nobody wants any more.
LOOK_EVERY = 0.25
# More threads than these nobody outside keeps busy with what can wait.
MOST_SEATS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPorts:
    """What jobs need of the world."""

    jobs: JobRepo
    leases: LeaseKeeper
    admin: JobAdmin
    queue: JobQueue


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """What a worker does every so many seconds beside its jobs; one must not wait for another.

    `run` takes no argument and raises `Unavailable`: then it is done again when its time comes, or sooner.
    """

    name: str
    every: float
    run: Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRules:
    """What the operator decides. `renew_every`: seconds, half of `lease_for` at the most.

    `threads`: how many jobs a worker has in hand at a time. `around` surrounds each piece of a worker's work, say with
    names for its log.
    """

    threads: int = 64
    lease_for: timedelta = timedelta(seconds=15)
    renew_every: float = 5.0
    around: Callable[[Lease], AbstractContextManager[object]] = nullcontext

    @property
    def few_seats(self) -> int:
        """Threads that somebody outside may keep busy with what can wait a little, so that they delay no reply."""
        return max(1, min(MOST_SEATS, self.threads // 8))

    @property
    def many_seats(self) -> int:
        """The same, with what people are waiting for."""
        return max(1, self.threads // 2)


def bulkhead(handlers: Mapping[str, Handler], jobs: JobPorts, *, seats: int, longest: float) -> dict[str, Handler]:
    """All these wait for the same somebody outside: together they keep `seats` threads of a worker busy at the most.

    `longest`: seconds after which a job that found no seat tries again, at the most.
    """
    free = Semaphore(seats)
    return {kind: Bulkhead(jobs.jobs, handler, free, longest) for kind, handler in handlers.items()}


class DueJobs(Protocol):
    """A look for jobs that no nudge told of."""

    def __call__(self, *, limit: int) -> Sequence[JobId]:
        """Jobs that could be claimed now, oldest first. Raises `Unavailable`."""
        ...


@dataclass(frozen=True, kw_only=True)
class JobVerbs:
    """What a worker does, and what its operator sees: `start_schedule` once, `run_job` for jobs that are nudged or
    due (`due_jobs(limit=…)`, about once a second), at most `threads` at a time, and all the while its `periodic_tasks`.
    """

    run_job: RunJob
    start_schedule: StartSchedule
    held_leases: HeldLeases
    due_jobs: DueJobs
    threads: int
    periodic_tasks: tuple[PeriodicTask, ...]
    job_admin: JobAdmin


def job_verbs(
    ports: JobPorts, rules: JobRules, handlers: Mapping[str, Handler], clock: Clock, *more_tasks: PeriodicTask
) -> JobVerbs:
    """The worker's verbs, for jobs of these kinds."""
    held = HeldLeases(ports.leases, rules.lease_for)
    return JobVerbs(
        run_job=RunJob(ports.jobs, ports.queue, held, handlers, clock, around=rules.around),
        start_schedule=StartSchedule(ports.jobs, handlers),
        held_leases=held,
        due_jobs=ports.leases.due,
        threads=rules.threads,
        periodic_tasks=(
            PeriodicTask("look", LOOK_EVERY, held.look),
            PeriodicTask("renew", rules.renew_every, held.renew),
            *more_tasks,
        ),
        job_admin=ports.admin,
    )
