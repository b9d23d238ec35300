"""What the repositories of billing share in the process."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from adapters.memory.jobs import MemoryJobs
from adapters.memory.once import MemoryKeys
from adapters.memory.store import MemoryStore
from gemini_core.errors import NotFound
from gemini_core.model.billing.checkouts import Checkout, CheckoutId, Customer
from gemini_core.model.billing.events import Concern, EventRecord, look_job
from gemini_core.model.billing.records import BillingRecord, Flag
from gemini_core.model.billing.subscriptions import Grant, GrantId, Standing, Subscription, Terms, plan_for
from gemini_core.model.events import Audience, subscription_changed
from gemini_core.model.ids import JobId, UserId
from gemini_core.model.requests import Once
from gemini_core.ports.accounts.operating import AuditLog


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
    audit: AuditLog
    cards: dict[UserId, Card] = field(default_factory=dict)
    checkouts: dict[CheckoutId, Checkout] = field(default_factory=dict)
    closed: set[CheckoutId] = field(default_factory=set)
    grants: dict[GrantId, Grant] = field(default_factory=dict)
    events: dict[str, EventRecord] = field(default_factory=dict)
    seen_by: dict[str, int] = field(default_factory=dict)
    keys: MemoryKeys[CheckoutId] = field(default_factory=MemoryKeys)
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

    def close_checkouts(self, user: UserId) -> None:
        """The user's attempts are over."""
        self.closed |= {each.id for each in self.checkouts.values() if each.user_id == user}

    def grants_of(self, user: UserId) -> tuple[Grant, ...]:
        """Every grant the user ever had."""
        return tuple(grant for grant in self.grants.values() if grant.user_id == user)

    def first(self, user: UserId, once: Once | None, now: datetime) -> Checkout | None:
        """What a key stands for. Raises `Invalid` if that is another request."""
        checkout = self.keys.first(user, once, now)
        return None if checkout is None else self.checkouts[checkout]

    def settle(self, user: UserId, terms: Terms, now: datetime) -> Standing:
        """Write the plan that follows from what is stored."""
        card = self.cards.get(user)
        standing = plan_for(card.subscriptions if card else (), self.grants_of(user), now, terms)
        try:
            self.people.set_standing(user, standing)
        except NotFound:  # a tombstone has no plan to write
            return standing
        return standing

    @contextmanager
    def telling(self, audience: Audience, user: UserId, terms: Terms, now: datetime) -> Iterator[None]:
        """If the user's status is another one afterwards, whoever listens is promised to be told."""
        before = self.record(user).status(now, terms)
        yield
        with suppress(NotFound):  # nothing is told of a tombstone
            self.people.standing_of(user)
            event = subscription_changed(user, before, self.record(user).status(now, terms), now)
            for job in audience.promises(event):
                self.jobs.add(job)

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
        """All about one user, or their tombstone. Raises `NotFound`."""
        card = self.cards.get(user)
        try:
            standing, gone = self.people.standing_of(user), False
        except NotFound:
            if card is None:
                raise
            standing, gone = Standing("basic"), True
        return BillingRecord(
            user_id=user,
            customer_id=card.customer.id if card else None,
            synced_at=card.synced_at if card else None,
            standing=standing,
            gone=gone,
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
        self.keys.erase(user)
