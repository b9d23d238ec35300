"""Hearing from the gateway: what it sends is noted and answered at once, and looking there is a job."""

from dataclasses import dataclass

from gemini_core.model.billing.events import EventState, Received
from gemini_core.model.ids import UserId
from gemini_core.ports.billing import BillingEvents, GatewayEvents
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue


@dataclass(frozen=True, slots=True)
class ReceiveWebhook:
    """What the gateway sends is verified, noted, and answered at once; looking there is a job."""

    gateway: GatewayEvents
    events: BillingEvents
    queue: JobQueue
    clock: Clock

    def __call__(self, body: bytes, signature: str | None, *, request_id: str = "") -> Received:
        """Raises `Refused` (`invalid-signature`), `Unavailable`."""
        now = self.clock.now()
        received = self.events.receive(self.gateway.verify(body, signature, now), now=now, request_id=request_id)
        if received.job is not None:
            self.queue.nudge(received.job)
        return received


@dataclass(frozen=True, slots=True)
class RequestSync:
    """A customer who comes back from paying is looked at soon. It grants nothing: only the gateway's word does."""

    events: BillingEvents
    queue: JobQueue
    clock: Clock

    def __call__(self, user: UserId, *, request_id: str = "") -> None:
        """Nothing happens for a user who was never a customer."""
        job = self.events.request_sync(user, now=self.clock.now(), request_id=request_id)
        if job is not None:
            self.queue.nudge(job)


@dataclass(frozen=True, slots=True)
class ResolveEvent:
    """An event that names no customer, such as a dispute, is followed to the customer it is about."""

    gateway: GatewayEvents
    events: BillingEvents
    queue: JobQueue
    clock: Clock

    def __call__(self, event_id: str) -> None:
        """May be done again. Raises `Unavailable`."""
        event = self.events.show(event_id)
        if event.state is not EventState.RECEIVED:
            return
        customer = self.gateway.customer_of(event.subject) if event.subject else None
        job = self.events.resolve(event.id, customer, now=self.clock.now())
        if job is not None:
            self.queue.nudge(job)
