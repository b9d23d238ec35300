"""Customers, checkouts, subscriptions, grants and the gateway's events in the process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from adapters.memory.jobs import MemoryJobs
from adapters.memory.store import MemoryStore
from gemini_core.errors import Conflict, NotFound, Unavailable
from gemini_core.model.billing import (
    ALIVE,
    AlreadySubscribed,
    Begun,
    BillingFilter,
    BillingRecord,
    Cancellation,
    Checkout,
    CheckoutId,
    Concern,
    Customer,
    EventRecord,
    EventState,
    Flag,
    Grant,
    GrantId,
    Hint,
    Received,
    Session,
    SessionState,
    Standing,
    Subject,
    Subscription,
    Sync,
    Terms,
    event_job,
    look_job,
    plan_for,
    surplus,
)
from gemini_core.model.ids import JobId, UserId
from gemini_core.model.requests import KEY_LIVES, Once, Page, key_reused


class People(Protocol):
    """What billing needs of the users' own store. All raise `NotFound` for no such user."""

    def email_of(self, user: UserId) -> str | None: ...

    def standing_of(self, user: UserId) -> Standing: ...

    def set_standing(self, user: UserId, standing: Standing) -> None: ...


@dataclass(slots=True)
class Card:
    """What is kept of a customer, also after the user is gone."""

    customer: Customer
    handed_out: int = 0
    applied: int = 0
    requested_at: datetime | None = None
    began_at: datetime | None = None
    synced_at: datetime | None = None
    buried_at: datetime | None = None
    subscriptions: tuple[Subscription, ...] = ()
    flags: dict[tuple[Concern, str], Flag] = field(default_factory=dict)


@dataclass(slots=True)
class MemoryBilling:
    """What the repositories below share: the tables."""

    store: MemoryStore
    jobs: MemoryJobs
    people: People
    cards: dict[UserId, Card] = field(default_factory=dict)
    checkouts: dict[CheckoutId, Checkout] = field(default_factory=dict)
    closed: set[CheckoutId] = field(default_factory=set)
    grants: dict[GrantId, Grant] = field(default_factory=dict)
    events: dict[str, EventRecord] = field(default_factory=dict)
    seen_by: dict[str, int] = field(default_factory=dict)
    keys: dict[tuple[UserId, str], tuple[Once, datetime, CheckoutId]] = field(default_factory=dict)
    read_up_to: datetime | None = None

    def __post_init__(self) -> None:
        self.store.erasers.append(self.erase)

    def card(self, user: UserId, now: datetime | None = None) -> Card:
        """What is kept of this user; with `now` it is kept from now on. Raises `NotFound`."""
        email = self.people.email_of(user)
        card = self.cards.get(user) or Card(Customer(user_id=user, known_since=now))
        card.customer = replace(card.customer, email=email)
        if now is not None:
            self.cards[user] = card
        return card

    def card_of(self, customer_id: str | None) -> Card | None:
        """Who this customer is."""
        return next((card for card in self.cards.values() if customer_id and card.customer.id == customer_id), None)

    def open_checkout(self, user: UserId) -> Checkout | None:
        """The user's attempt that is not over."""
        open_ones = (each for each in self.checkouts.values() if each.user_id == user and each.id not in self.closed)
        return next(open_ones, None)

    def grants_of(self, user: UserId) -> tuple[Grant, ...]:
        """Every grant the user ever had."""
        return tuple(grant for grant in self.grants.values() if grant.user_id == user)

    def first(self, user: UserId, once: Once | None, now: datetime) -> Checkout | None:
        """What a key stands for. Raises `Invalid` if that is another request."""
        if once is None or (user, once.key) not in self.keys:
            return None
        kept, at, checkout = self.keys[user, once.key]
        if at + KEY_LIVES <= now:
            return None
        if kept.fingerprint != once.fingerprint:
            raise key_reused()
        return self.checkouts[checkout]

    def settle(self, user: UserId, terms: Terms, now: datetime) -> Standing:
        """Write the plan that follows from what is stored."""
        card = self.cards.get(user)
        standing = plan_for(card.subscriptions if card else (), self.grants_of(user), now, terms)
        try:
            self.people.set_standing(user, standing)
        except NotFound:  # a tombstone has no plan to write
            return standing
        return standing

    def promise_look(self, card: Card, now: datetime, request_id: str) -> JobId | None:
        """Write down that a customer is to be looked at, unless that is promised already."""
        job = look_job(
            card.customer.user_id,
            requested_at=card.requested_at,
            began_at=card.began_at,
            now=now,
            request_id=request_id,
        )
        if job is None:
            return None
        self.jobs.add(job)
        card.requested_at = now
        return job.id

    def record(self, user: UserId) -> BillingRecord:
        """All about one user."""
        card = self.cards.get(user)
        try:
            standing = self.people.standing_of(user)
        except NotFound:
            standing = Standing("basic")
        return BillingRecord(
            user_id=user,
            customer_id=card.customer.id if card else None,
            synced_at=card.synced_at if card else None,
            standing=standing,
            subscriptions=card.subscriptions if card else (),
            grants=self.grants_of(user),
            flags=tuple(card.flags.values()) if card else (),
        )

    def erase(self, user: UserId) -> None:
        """All that hangs on a user; the customer stays, for late events."""
        gone = {each.id for each in self.checkouts.values() if each.user_id == user}
        self.checkouts = {key: each for key, each in self.checkouts.items() if key not in gone}
        self.closed -= gone
        self.grants = {key: each for key, each in self.grants.items() if each.user_id != user}
        self.keys = {key: each for key, each in self.keys.items() if key[0] != user}


@dataclass(frozen=True, slots=True)
class MemoryCheckouts:
    """`CheckoutRepo` in the process."""

    billing: MemoryBilling

    def begin(self, draft: Checkout, terms: Terms, *, now: datetime, once: Once | None) -> Begun:
        billing, user = self.billing, draft.user_id
        with billing.store.lock:
            card = billing.card(user, now)
            if (first := billing.first(user, once, now)) is not None:
                return Begun(checkout=first, customer=card.customer, replayed=True)
            standing = billing.people.standing_of(user)
            is_pro = standing.plan != "basic" and (standing.until is None or standing.until > now)
            if is_pro or any(each.is_alive(terms) for each in card.subscriptions):
                raise AlreadySubscribed
            found = billing.open_checkout(user)
            if found is not None and found.is_stale(now):
                billing.closed.add(found.id)
                found = None
            checkout = found or draft
            billing.checkouts[checkout.id] = checkout
            return Begun(checkout=checkout, customer=card.customer)

    def opened(self, checkout: Checkout, session: Session, *, now: datetime, once: Once | None) -> Begun:
        billing, user = self.billing, checkout.user_id
        with billing.store.lock:
            first = billing.first(user, once, now)
            card = billing.card(user, now)
            card.customer = replace(card.customer, id=card.customer.id or session.customer_id)
            stored = billing.checkouts[checkout.id]
            if stored.session_id is None:
                stored = replace(stored, session_id=session.id, url=session.url, expires_at=session.expires_at)
                billing.checkouts[checkout.id] = stored
            if once is not None and first is None:
                billing.keys[user, once.key] = (once, now, checkout.id)
            return Begun(checkout=first or stored, customer=card.customer, replayed=first is not None)

    def close(self, checkout_id: CheckoutId) -> None:
        with self.billing.store.lock:
            self.billing.closed.add(checkout_id)

    def customer(self, user: UserId) -> Customer:
        with self.billing.store.lock:
            return self.billing.card(user).customer

    def forget_customer(self, customer: Customer) -> None:
        with self.billing.store.lock:
            card = self.billing.cards[customer.user_id]
            if card.customer.generation == customer.generation:
                card.customer = replace(card.customer, id=None, generation=customer.generation + 1)


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
        self, sync: Sync, subscriptions: Sequence[Subscription], terms: Terms, *, now: datetime
    ) -> Standing | None:
        billing = self.billing
        with billing.store.lock:
            card = billing.cards[sync.user_id]
            if card.applied >= sync.number:
                return None
            card.applied, card.synced_at = sync.number, now
            card.subscriptions = tuple(sorted(subscriptions, key=lambda each: (each.created_at, each.id)))
            card.flags = {key: flag for key, flag in card.flags.items() if key[0] is not Concern.DUPLICATE}
            for each in surplus(subscriptions, terms):
                card.flags[Concern.DUPLICATE, each] = Flag(Concern.DUPLICATE, each, now)
            if any(each.is_alive(terms) for each in subscriptions):
                billing.closed |= {each.id for each in billing.checkouts.values() if each.user_id == sync.user_id}
            for event in list(billing.events.values()):
                if event.state is EventState.RECEIVED and event.customer_id == sync.customer_id:
                    self._done(event, sync, now)
            return billing.settle(sync.user_id, terms, now)

    def grant(self, grant: Grant, terms: Terms, *, now: datetime) -> Standing:
        with self.billing.store.lock:
            self.billing.people.standing_of(grant.user_id)
            self.billing.grants[grant.id] = grant
            return self.billing.settle(grant.user_id, terms, now)

    def revoke(self, user: UserId, terms: Terms, *, now: datetime) -> Sequence[GrantId]:
        with self.billing.store.lock:
            self.billing.people.standing_of(user)
            ended = [grant for grant in self.billing.grants_of(user) if grant.access_until > now]
            for grant in ended:
                self.billing.grants[grant.id] = replace(grant, revoked_at=now)
            self.billing.settle(user, terms, now)
            return [grant.id for grant in ended]

    def bury(self, user: UserId, *, now: datetime) -> None:
        with self.billing.store.lock:
            card = self.billing.cards.get(user)
            if card is not None:
                card.buried_at = card.buried_at or now

    def _done(self, event: EventRecord, sync: Sync, now: datetime) -> None:
        if self.billing.seen_by.get(event.id, sync.number + 1) <= sync.number:
            self.billing.events[event.id] = replace(event, state=EventState.DONE, done_at=now)


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


@dataclass(frozen=True, slots=True)
class MemoryBillingLedger:
    """`BillingLedger` and `Reconciliation` in the process."""

    billing: MemoryBilling

    def record(self, user: UserId) -> BillingRecord:
        with self.billing.store.lock:
            self.billing.people.standing_of(user)
            return self.billing.record(user)

    def list_records(self, which: BillingFilter, *, limit: int, after: tuple[str, ...] | None) -> Page[BillingRecord]:
        with self.billing.store.lock:
            users = self.billing.cards.keys() | {grant.user_id for grant in self.billing.grants.values()}
            wanted = [user for user in sorted(users) if not after or user > UUID(after[0])]
            records = [record for user in wanted if _fits(record := self.billing.record(user), which)]
        return Page(tuple(records[:limit]), (str(records[limit - 1].user_id),) if len(records) > limit else None)

    def link(self, user: UserId, customer_id: str, *, now: datetime) -> None:
        with self.billing.store.lock:
            owner, card = self.billing.card_of(customer_id), self.billing.card(user, now)
            if card.customer.id == customer_id:
                return
            if owner is not None or card.customer.id is not None:
                raise Conflict("The user or the customer is linked already.", code="customer-taken")
            card.customer = replace(card.customer, id=customer_id)

    def clear_flags(self, user: UserId) -> int:
        with self.billing.store.lock:
            card = self.billing.cards.get(user)
            cleared = len(card.flags) if card else 0
            if card:
                card.flags.clear()
            return cleared

    def overdue(self, *, looked_before: datetime, now: datetime, limit: int) -> Sequence[UserId]:
        with self.billing.store.lock:
            waiting = {each.customer_id for each in self.billing.events.values() if each.state is EventState.RECEIVED}
            due = [
                card
                for card in self.billing.cards.values()
                if card.customer.id
                and (
                    card.synced_at is None
                    or (card.buried_at is None and card.synced_at < looked_before)
                    or card.customer.id in waiting
                    or any(_period_over(each, card.synced_at, now) for each in card.subscriptions)
                )
            ]
        due.sort(key=lambda card: (card.synced_at is not None, card.synced_at or now))
        return [card.customer.user_id for card in due[:limit]]

    def cursor(self) -> datetime | None:
        with self.billing.store.lock:
            return self.billing.read_up_to

    def move_cursor(self, moment: datetime) -> None:
        with self.billing.store.lock:
            self.billing.read_up_to = max(moment, self.billing.read_up_to or moment)


def _period_over(subscription: Subscription, synced_at: datetime, now: datetime) -> bool:
    end = subscription.period_end
    return subscription.status in ALIVE and end is not None and synced_at < end < now


def _fits(record: BillingRecord, which: BillingFilter) -> bool:
    before = which.stale_before
    stale = record.customer_id is not None and (record.synced_at is None or (before and record.synced_at < before))
    return bool(
        (which.status is None or any(each.status == which.status for each in record.subscriptions))
        and (before is None or stale)
        and (not which.duplicates or any(flag.concern is Concern.DUPLICATE for flag in record.flags))
        and (not which.flagged or bool(record.flags))
    )


class NothingForSale:
    """`PaymentGateway` and `GatewayEvents` where nobody takes money."""

    def open_checkout(self, checkout: Checkout, customer: Customer) -> Session:
        raise _nothing_for_sale()

    def session_state(self, session_id: str) -> SessionState:
        raise _nothing_for_sale()

    def subscriptions(self, customer_id: str) -> Sequence[Subscription]:
        raise _nothing_for_sale()

    def cancel(self, subscription_id: str, when: Cancellation) -> None:
        raise _nothing_for_sale()

    def portal(self, customer_id: str, return_url: str) -> str:
        raise _nothing_for_sale()

    def verify(self, body: bytes, signature: str | None, now: datetime) -> Hint:
        raise Unavailable("No webhook secret is configured.", retry_after=300, code="webhooks-not-configured")

    def since(self, moment: datetime) -> Iterator[Hint]:
        return iter(())

    def customer_of(self, subject: Subject) -> str | None:
        return None


def _nothing_for_sale() -> Unavailable:
    return Unavailable("Nothing is sold here.", retry_after=300, code="payments-misconfigured")
