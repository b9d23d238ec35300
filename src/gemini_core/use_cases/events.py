"""Others are told what happened."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from gemini_core.errors import LimitReached
from gemini_core.model.events import Audience, Event, limit_reached
from gemini_core.model.ids import JobId, UserId
from gemini_core.model.jobs import Backoff, Lease
from gemini_core.ports.chat import UsageRepo
from gemini_core.ports.clock import Clock
from gemini_core.ports.events import EventSink, NotHeard
from gemini_core.ports.jobs import JobRepo
from gemini_core.use_cases.jobs import Stop

log = logging.getLogger(__name__)

# About a day and a half: a listener that was away overnight, or over a bad release, misses nothing.
PATIENCE = Backoff(attempts=22, first=1.0, most=6 * 3600.0, total=3 * 86_400.0)


@dataclass(frozen=True, slots=True)
class TellEvent:
    """A listener is told of a fact, again and again until they have heard it."""

    jobs: JobRepo
    sink: EventSink
    clock: Clock
    backoff: Backoff = PATIENCE

    def work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
        """One try. Too short to be stopped."""
        try:
            self.sink.tell(Event.promised(lease))
        except NotHeard as failure:
            self._again(lease, failure)
            return ()
        return self.jobs.finish(lease) or ()

    def give_up(self, lease: Lease, error: str) -> Sequence[JobId]:
        """Dead, until an operator revives it."""
        log.error("event not heard, given up", extra={"event_id": lease.args["id"], "why": error})
        self.jobs.put_back(lease, after=timedelta(0), failed=True, error=error, for_good=True)
        return ()

    def _again(self, lease: Lease, failure: NotHeard) -> None:
        tried_for = (self.clock.now() - lease.trying_since).total_seconds()
        asked = None if failure.retry_after is None else min(failure.retry_after, self.backoff.most)
        pause = None if failure.for_good else self.backoff.pause(lease.failures + 1, tried_for, asked)
        if pause is None:
            self.give_up(lease, str(failure))
            return
        log.warning("event not heard", extra={"event_id": lease.args["id"], "why": str(failure)})
        self.jobs.put_back(lease, after=timedelta(seconds=pause), failed=True, error=str(failure))


@dataclass(frozen=True, slots=True)
class Hook:
    """`EventSink`: a function of the program that embeds the product; one that raises is called again later."""

    on_event: Callable[[Event], None]

    def tell(self, event: Event) -> None:
        """Whatever it raises is its own affair."""
        try:
            self.on_event(event)
        except Exception as error:
            log.exception("on_event raised", extra={"event_id": str(event.id)})
            raise NotHeard(type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class TellLimit:
    """That a user's daily limit is reached is told once a day: when a message is first refused for it."""

    usage: UsageRepo
    audience: Audience

    @contextmanager
    def __call__(self, user: UserId, *, now: datetime, request_id: str = "") -> Iterator[None]:
        """Around a send. Where nobody listens, a refusal costs nothing more. Raises `Unavailable`."""
        try:
            yield
        except LimitReached as refusal:
            if promises := self.audience.promises(limit_reached(user, refusal, now), request_id):
                self.usage.refused(user, now.date(), then=promises)
            raise
