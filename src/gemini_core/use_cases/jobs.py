"""Promises are kept: by whoever holds the lease, and by nobody else."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Lock
from typing import Protocol
from uuid import UUID

from gemini_core.errors import Unavailable
from gemini_core.model.ids import JobId
from gemini_core.model.jobs import Backoff, Lease
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue, JobRepo, LeaseKeeper

log = logging.getLogger(__name__)

# A job that was claimed this often without ever ending (its workers died of it?) is given up.
MOST_CLAIMS = 50


@dataclass(slots=True)
class Stop:
    """Tells the one who works on a job to stop: nobody wants it any more, or it is to be handed back."""

    handing_back: bool = False
    _event: Event = field(default_factory=Event)

    def __call__(self) -> bool:
        """Stop now."""
        return self._event.is_set()

    def set(self, *, hand_back: bool = False) -> None:
        """Ask to stop."""
        self.handing_back = hand_back
        self._event.set()


class Handler(Protocol):
    """Keeps promises of one kind."""

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
        """Stop what nobody wants any more; to be called about twice a second. Raises `Unavailable`."""
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
class KeepPromise:
    """A job is claimed and worked on by one worker at a time, tried again while that may help, and never forgotten."""

    jobs: JobRepo
    queue: JobQueue
    leases: HeldLeases
    handlers: Mapping[str, Handler]
    clock: Clock
    backoff: Backoff = Backoff()

    def __call__(self, job: JobId) -> bool:
        """Claim and work; False if there is nothing to claim. Raises `Unavailable` while the store is away."""
        lease = self.jobs.claim(job, lease_for=self.leases.lease_for, now=self.clock.now())
        if lease is None:
            return False
        with self.leases.holding(lease) as stop:
            nudge = self._work(lease, stop)
        self.queue.nudge(*nudge)
        return True

    def _work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
        handler = self.handlers.get(lease.kind)
        try:
            if handler is None:  # A newer release wrote it: one of its workers will know.
                self.jobs.put_back(lease, after=timedelta(seconds=30), failed=False, error="unknown kind")
                return ()
            if lease.attempt > MOST_CLAIMS:
                return handler.give_up(lease, f"claimed {lease.attempt} times without an end")
            return handler.work(lease, stop)
        except Unavailable as away:
            self.jobs.put_back(lease, after=timedelta(seconds=away.retry_after), failed=False, error=away.code)
            return ()
        except Exception as error:
            log.exception("job failed", extra={"job_id": str(lease.id), "kind": lease.kind})
            return self._failed(handler, lease, error)

    def _failed(self, handler: Handler | None, lease: Lease, error: Exception) -> Sequence[JobId]:
        tried_for = (self.clock.now() - lease.trying_since).total_seconds()
        pause = self.backoff.pause(lease.failures + 1, tried_for)
        if pause is None and handler is not None:
            return handler.give_up(lease, type(error).__name__)
        self.jobs.put_back(lease, after=timedelta(seconds=pause or 0), failed=True, error=type(error).__name__)
        return ()
