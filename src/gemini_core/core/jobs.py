"""Jobs: what keeps promises."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

from gemini_core.model.ids import JobId
from gemini_core.model.jobs import Lease
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobLedger, JobQueue, JobRepo, LeaseKeeper
from gemini_core.use_cases.jobs import Handler, HeldLeases, KeepPromise, StartSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPorts:
    """What jobs need of the world."""

    jobs: JobRepo
    leases: LeaseKeeper
    ledger: JobLedger
    queue: JobQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRules:
    """What the operator decides. `around` surrounds each piece of a worker's work, say with names for its log."""

    lease_for: timedelta = timedelta(seconds=15)
    around: Callable[[Lease], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True, kw_only=True)
class JobVerbs:
    """What a worker does, and what its operator sees."""

    keep_promise: KeepPromise
    start_schedule: StartSchedule
    held_leases: HeldLeases
    due_jobs: Callable[..., Sequence[JobId]]
    job_ledger: JobLedger


def job_verbs(ports: JobPorts, rules: JobRules, handlers: Mapping[str, Handler], clock: Clock) -> JobVerbs:
    """The worker's verbs, for jobs of these kinds."""
    held = HeldLeases(ports.leases, rules.lease_for)
    return JobVerbs(
        keep_promise=KeepPromise(ports.jobs, ports.queue, held, handlers, clock, around=rules.around),
        start_schedule=StartSchedule(ports.jobs, handlers),
        held_leases=held,
        due_jobs=ports.leases.due,
        job_ledger=ports.ledger,
    )
