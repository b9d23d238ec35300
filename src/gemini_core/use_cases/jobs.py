"""Promises are kept: by whoever holds the lease, and by nobody else."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from random import random
from threading import Event, Lock, Semaphore
from time import monotonic
from typing import Protocol, TypeVar
from uuid import NAMESPACE_OID, UUID, uuid5

from gemini_core.errors import Unavailable
from gemini_core.model.ids import JobId
from gemini_core.model.jobs import Backoff, Lease, NewJob
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue, JobRepo, LeaseKeeper

T = TypeVar("T")

log = logging.getLogger(__name__)

# A job of which nothing was heard after so many claims (its workers died of it?) is given up.
MOST_LOST = 50
# Seconds between two tries to store something while the store is away.
STORE_AGAIN = 1.0


@dataclass(slots=True)
class Stop:
    """Tells the one who works on a job to stop: nobody wants it any more, or it is to be handed back."""

    handing_back: bool = False
    _event: Event = field(default_factory=Event)

    def __call__(self) -> bool:
        """Stop now."""
        return self._event.is_set()

    @property
    def unwanted(self) -> bool:
        """Stop now, and for good: there is nothing to hand back."""
        return self() and not self.handing_back

    def wait(self, seconds: float) -> bool:
        """Rest for so long, or until asked to stop: then True."""
        return self._event.wait(seconds)

    def insist(self, store: Callable[[], T]) -> T:
        """What was paid for waits for a store that is away, until asked to stop: then raises `Unavailable`."""
        while True:
            try:
                return store()
            except Unavailable:
                if self.wait(STORE_AGAIN):
                    raise

    def set(self, *, hand_back: bool = False) -> None:
        """Ask to stop."""
        self.handing_back = hand_back
        self._event.set()


class Handler(Protocol):
    """Runs jobs of one kind."""

    def work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
        """Keep the promise and finish the job under this lease; answers whom to nudge. May raise anything."""
        ...

    def give_up(self, lease: Lease, error: str) -> Sequence[JobId]:
        """The promise cannot be kept: say so where people look, and finish the job or leave it to the operator."""
        ...


@dataclass(frozen=True, slots=True)
class HeldLeases:
    """The leases of this worker, kept alive while their jobs are worked on."""

    keeper: LeaseKeeper
    lease_for: timedelta = timedelta(seconds=15)
    _held: dict[UUID, Stop] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[Stop]:
        """Keep the lease inside; the yielded `Stop` says when to stop."""
        stop = Stop()
        with self._lock:
            self._held[lease.token] = stop
        try:
            yield stop
        finally:
            with self._lock:
                del self._held[lease.token]

    def renew(self) -> None:
        """Extend all leases; to be called well within `lease_for`. Raises `Unavailable`."""
        if tokens := self._tokens():
            self._stop(tokens - self.keeper.renew(tokens, lease_for=self.lease_for))

    def look(self) -> None:
        """Stop what nobody wants any more; to be called some times a second. Raises `Unavailable`."""
        if tokens := self._tokens():
            self._stop(self.keeper.unwanted(tokens))

    def hand_back(self) -> None:
        """Ask everybody to stop and to hand back what they have."""
        with self._lock:
            for stop in self._held.values():
                stop.set(hand_back=True)

    def _tokens(self) -> set[UUID]:
        with self._lock:
            return set(self._held)

    def _stop(self, tokens: Collection[UUID]) -> None:
        with self._lock:
            for token in tokens:
                if (stop := self._held.get(token)) is not None:
                    stop.set()


@dataclass(frozen=True, slots=True)
class FunctionHandler:
    """A promise that a plain function keeps; one that cannot be kept waits for an operator."""

    jobs: JobRepo
    function: Callable[[Lease], object]

    def work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
        """Too short to be stopped."""
        self.function(lease)
        return self.jobs.finish(lease) or ()

    def give_up(self, lease: Lease, error: str) -> Sequence[JobId]:
        """Dead, until an operator revives it."""
        self.jobs.put_back(lease, after=timedelta(0), failed=True, error=error, for_good=True)
        return ()


@dataclass(frozen=True, slots=True)
class Bulkhead:
    """A promise for which somebody outside is waited for: they may be slow, and must keep nobody else waiting.

    `seats`: how many threads of a worker may be busy with them; a job that finds none free comes back later, after
    `longest` seconds at the most.
    """

    jobs: JobRepo
    handler: Handler
    seats: Semaphore
    longest: float

    def work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
        """As the handler does, on a seat."""
        if not self.seats.acquire(blocking=False):
            pause = min(self.longest, 2.0 ** min(lease.attempt, 30))  # A job may come thousands of times in an outage.
            rest = pause * (0.5 + random() / 2)  # noqa: S311 - jitter, not a secret
            self.jobs.put_back(lease, after=timedelta(seconds=rest), failed=False)
            return ()
        try:
            return self.handler.work(lease, stop)
        finally:
            self.seats.release()

    def give_up(self, lease: Lease, error: str) -> Sequence[JobId]:
        """As the handler does; nobody is waited for."""
        return self.handler.give_up(lease, error)


@dataclass(frozen=True, slots=True)
class Recurring:
    """A promise that renews itself: when it is kept, and when it cannot be, it is due again `every` so often."""

    jobs: JobRepo
    function: Callable[[Lease], object]
    every: timedelta

    def work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
        """Kept, and promised anew in the same breath."""
        self.function(lease)
        return self.jobs.finish(lease, then=[recurring(lease.kind, after=self.every)]) or ()

    def give_up(self, lease: Lease, error: str) -> Sequence[JobId]:
        """The next time comes."""
        log.error("recurring job failed", extra={"kind": lease.kind, "error": error})
        return self.jobs.finish(lease, then=[recurring(lease.kind, after=self.every)]) or ()


def recurring(kind: str, *, after: timedelta = timedelta(0)) -> NewJob:
    """The one job of a recurring kind: its id follows from the kind, so that there are never two."""
    return NewJob(id=JobId(uuid5(NAMESPACE_OID, f"recurring:{kind}")), kind=kind, after=after)


@dataclass(frozen=True, slots=True)
class StartSchedule:
    """Every recurring promise is on record; those that are keep their time."""

    jobs: JobRepo
    handlers: Mapping[str, Handler]

    def __call__(self) -> None:
        """Raises `Unavailable`."""
        for kind, handler in self.handlers.items():
            if isinstance(handler, Recurring):
                self.jobs.add(recurring(kind))


@dataclass(frozen=True, slots=True)
class RunJob:
    """A job is claimed and worked on by one worker at a time, tried again while that may help, and never forgotten.

    `around` surrounds each piece of work, say with the request id in the log.
    """

    jobs: JobRepo
    queue: JobQueue
    leases: HeldLeases
    handlers: Mapping[str, Handler]
    clock: Clock
    backoff: Backoff = Backoff()
    around: Callable[[Lease], AbstractContextManager[object]] = nullcontext

    def __call__(self, job: JobId) -> bool:
        """Claim and work; False if there is nothing to claim. Raises `Unavailable` while the store is away."""
        lease = self.jobs.claim(job, lease_for=self.leases.lease_for, now=self.clock.now())
        if lease is None:
            return False
        began = monotonic()
        with self.around(lease), self.leases.holding(lease) as stop:
            outcome, nudge = self._work(lease, stop)
            told = {"kind": lease.kind, "attempt": lease.attempt, "outcome": outcome}
            log.info("job", extra={**told, "ms": round((monotonic() - began) * 1000, 1)})
        self.queue.nudge(*nudge)
        return True

    def _work(self, lease: Lease, stop: Stop) -> tuple[str, Sequence[JobId]]:
        """How it went, and whom to nudge."""
        handler = self.handlers.get(lease.kind)
        try:
            if handler is None:  # A newer release wrote it: one of its workers will know.
                rest = timedelta(seconds=30)
                return "unknown kind", self.jobs.put_back(lease, after=rest, failed=False, error="unknown kind") or ()
            if lease.lost >= MOST_LOST:
                return "given up", handler.give_up(lease, f"claimed {lease.lost} times without an end")
            return "done", handler.work(lease, stop)
        except Unavailable as away:
            rest = timedelta(seconds=away.retry_after)
            return "put back", self.jobs.put_back(lease, after=rest, failed=False, error=away.code) or ()
        except Exception as error:
            log.exception("job failed", extra={"job_id": str(lease.id), "kind": lease.kind})
            return self._failed(handler, lease, error)

    def _failed(self, handler: Handler | None, lease: Lease, error: Exception) -> tuple[str, Sequence[JobId]]:
        tried_for = (self.clock.now() - lease.trying_since).total_seconds()
        pause = self.backoff.pause(lease.failures + 1, tried_for)
        if pause is None and handler is not None:
            return "given up", handler.give_up(lease, type(error).__name__)
        rest = timedelta(seconds=pause or 0)
        return "failed", self.jobs.put_back(lease, after=rest, failed=True, error=type(error).__name__) or ()
