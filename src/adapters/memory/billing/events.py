"""The gateway's events, each known once, in the process."""

from dataclasses import dataclass, replace
from datetime import datetime

from adapters.memory.billing.tables import MemoryBilling
from gemini_core.errors import NotFound
from gemini_core.model.billing.events import EventRecord, EventState, Hint, Received, event_job
from gemini_core.model.billing.records import Flag
from gemini_core.model.ids import JobId, UserId
from gemini_core.model.requests import Page


@dataclass(frozen=True, slots=True)
class MemoryBillingEvents:
    """`BillingEvents` in the process."""

    billing: MemoryBilling

    def receive(self, hint: Hint, *, now: datetime, promise: bool = True, request_id: str = "") -> Received:
        billing = self.billing
        with billing.store.lock:
            event = billing.events.setdefault(hint.event_id, _noted(hint, now))
            if event.state is not EventState.RECEIVED:
                return Received(event.state)
            if hint.customer_id is not None:
                return self._turn_to(event, hint.customer_id, now, promise=promise, request_id=request_id)
            if not promise:
                return Received(EventState.RECEIVED)
            job = event_job(event.id, now, request_id)
            billing.jobs.add(job)
            return Received(EventState.RECEIVED, job.id)

    def resolve(self, event_id: str, customer_id: str | None, *, now: datetime) -> JobId | None:
        with self.billing.store.lock:
            event = self.billing.events.get(event_id)
            if event is None or event.state is not EventState.RECEIVED:
                return None
            if customer_id is None:
                self.billing.events[event_id] = replace(event, state=EventState.IGNORED)
                return None
            return self._turn_to(event, customer_id, now, promise=True).job

    def request_sync(self, user: UserId, *, now: datetime, request_id: str = "") -> JobId | None:
        with self.billing.store.lock:
            card = self.billing.cards.get(user)
            known = card is not None and card.customer.id is not None
            return self.billing.promise_look(card, now, request_id) if card and known else None

    def show(self, event_id: str) -> EventRecord:
        with self.billing.store.lock:
            if event_id not in self.billing.events:
                raise NotFound("There is no such event.")
            return self.billing.events[event_id]

    def list_events(
        self, *, state: EventState | None, user: UserId | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[EventRecord]:
        with self.billing.store.lock:
            events = [each for each in self.billing.events.values() if state in (None, each.state)]
            if user is not None:
                card = self.billing.cards.get(user)
                events = [each for each in events if card and each.customer_id and each.customer_id == card.customer.id]
            last = self.billing.events.get(after[0]) if after else None
        events.sort(key=lambda each: (each.received_at, each.id), reverse=True)
        if last is not None:
            events = [each for each in events if (each.received_at, each.id) < (last.received_at, last.id)]
        return Page(tuple(events[:limit]), (events[limit - 1].id,) if len(events) > limit else None)

    def _turn_to(
        self, event: EventRecord, customer_id: str, now: datetime, *, promise: bool, request_id: str = ""
    ) -> Received:
        billing = self.billing
        card = billing.card_of(customer_id)
        state = EventState.IGNORED if card is None else EventState.RECEIVED
        billing.events[event.id] = replace(event, state=state, customer_id=customer_id)
        if card is None:
            return Received(state)
        if event.concern is not None:
            about = event.subject.id if event.subject else event.id
            card.flags.setdefault((event.concern, about), Flag(event.concern, about, now))
        return Received(state, billing.promise_look(card, now, request_id) if promise else None)


def _noted(hint: Hint, now: datetime) -> EventRecord:
    return EventRecord(
        id=hint.event_id,
        kind=hint.kind,
        state=EventState.RECEIVED if hint.matters else EventState.IGNORED,
        customer_id=hint.customer_id,
        subject=hint.subject,
        concern=hint.concern,
        happened_at=hint.happened_at,
        received_at=now,
        done_at=None,
    )
