"""What the gateway told about each customer, and the plan that follows, in the process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from adapters.memory.billing.tables import MemoryBilling
from gemini_core.model.billing.acts import granted, revoked
from gemini_core.model.billing.events import Concern, EventRecord, EventState, Sync
from gemini_core.model.billing.records import Flag
from gemini_core.model.billing.subscriptions import Grant, GrantId, Standing, Subscription, Terms, surplus, unforeseen
from gemini_core.model.events import NOBODY, Audience
from gemini_core.model.ids import UserId


@dataclass(frozen=True, slots=True)
class MemorySubscriptions:
    """`SubscriptionRepo` in the process."""

    billing: MemoryBilling

    def begin_sync(self, user: UserId, *, now: datetime) -> Sync | None:
        billing = self.billing
        with billing.store.lock:
            card = billing.cards.get(user)
            if card is None or card.customer.id is None:
                return None
            card.handed_out += 1
            card.requested_at, card.began_at = None, now
            for event in billing.events.values():
                if event.customer_id == card.customer.id and event.state is EventState.RECEIVED:
                    billing.seen_by[event.id] = card.handed_out
            return Sync(
                user_id=user, customer_id=card.customer.id, number=card.handed_out, buried=card.buried_at is not None
            )

    def apply(
        self,
        sync: Sync,
        subscriptions: Sequence[Subscription],
        terms: Terms,
        *,
        now: datetime,
        audience: Audience = NOBODY,
    ) -> Standing | None:
        billing = self.billing
        with billing.store.lock:
            card = billing.cards[sync.user_id]
            if card.applied >= sync.number:
                return None
            card.applied, card.synced_at = sync.number, now
            if sync.buried:
                for late in unforeseen(subscriptions, card.subscriptions):
                    card.flags.setdefault((Concern.LATE_PAYMENT, late), Flag(Concern.LATE_PAYMENT, late, now))
            with billing.telling(audience, sync.user_id, terms, now):
                card.subscriptions = tuple(sorted(subscriptions, key=lambda each: (each.created_at, each.id)))
            card.flags = {key: flag for key, flag in card.flags.items() if key[0] is not Concern.DUPLICATE}
            for each in surplus(subscriptions, terms):
                card.flags[Concern.DUPLICATE, each] = Flag(Concern.DUPLICATE, each, now)
            if any(each.is_alive(terms) for each in subscriptions):
                billing.close_checkouts(sync.user_id)
            for event in list(billing.events.values()):
                if event.state is EventState.RECEIVED and event.customer_id == sync.customer_id:
                    self._done(event, sync, now)
            return billing.settle(sync.user_id, terms, now)

    def grant(self, grant: Grant, terms: Terms, *, now: datetime, audience: Audience = NOBODY) -> Standing:
        with self.billing.store.lock:
            self.billing.people.standing_of(grant.user_id)
            self.billing.audit.note(granted(grant))
            with self.billing.telling(audience, grant.user_id, terms, now):
                self.billing.grants[grant.id] = grant
            return self.billing.settle(grant.user_id, terms, now)

    def revoke(
        self, user: UserId, terms: Terms, *, operator: str, now: datetime, audience: Audience = NOBODY
    ) -> Sequence[GrantId]:
        with self.billing.store.lock:
            self.billing.people.standing_of(user)
            ended = [grant for grant in self.billing.grants_of(user) if grant.access_until > now]
            ids = [grant.id for grant in ended]
            self.billing.audit.note(revoked(user, ids, operator=operator, now=now))
            with self.billing.telling(audience, user, terms, now):
                self.billing.grants.update({grant.id: grant.revoked(now) for grant in ended})
            self.billing.settle(user, terms, now)
            return ids

    def bury(self, user: UserId, *, now: datetime) -> None:
        with self.billing.store.lock:
            card = self.billing.cards.get(user)
            if card is not None:
                card.buried_at = card.buried_at or now

    def _done(self, event: EventRecord, sync: Sync, now: datetime) -> None:
        if self.billing.seen_by.get(event.id, sync.number + 1) <= sync.number:
            self.billing.events[event.id] = replace(event, state=EventState.DONE, done_at=now)
