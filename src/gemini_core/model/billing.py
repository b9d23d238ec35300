"""What a plan allows, and which plan a user is on."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NewType
from uuid import UUID

from gemini_core.errors import Conflict
from gemini_core.model.ids import JobId, UserId, uuid7
from gemini_core.model.jobs import NewJob

CheckoutId = NewType("CheckoutId", UUID)
GrantId = NewType("GrantId", UUID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What its users may do. `daily_messages` per UTC day; `models` empty: every model; sizes in bytes."""

    name: str
    daily_messages: int
    models: tuple[str, ...] = ()
    attachments: bool = False
    max_attachment_bytes: int = 0
    context_tokens: int = 32_000
    max_rooms: int = 1_000

    def allows_model(self, model: str) -> bool:
        """The plan has this model."""
        return not self.models or model in self.models


BASIC = Plan(name="basic", daily_messages=5)
PRO = Plan(
    name="pro",
    daily_messages=1_000,
    attachments=True,
    max_attachment_bytes=700_000,
    context_tokens=128_000,
    max_rooms=10_000,
)


class Plans(Mapping[str, Plan]):
    """The plans on offer by name, cheapest first. There is always a `basic` and a `pro`."""

    def __init__(self, *plans: Plan) -> None:
        self._plans = {plan.name: plan for plan in plans or (BASIC, PRO)}
        if missing := {"basic", "pro"} - self._plans.keys():
            raise ValueError(f"plans: {' and '.join(sorted(missing))} missing")

    def named(self, name: str) -> Plan:
        """The plan of this name; a plan no longer on offer counts as basic."""
        return self._plans.get(name, self._plans["basic"])

    def with_model(self, model: str) -> Plan | None:
        """The cheapest plan that has this model."""
        return next((plan for plan in self._plans.values() if plan.allows_model(model)), None)

    def __getitem__(self, name: str) -> Plan:
        return self._plans[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plans)

    def __len__(self) -> int:
        return len(self._plans)


# --- which plan a user is on ------------------------------------------------------------------------------------------

NEVER = datetime.min.replace(tzinfo=UTC)
FOREVER = datetime.max.replace(tzinfo=UTC)
# A subscription in one of these goes on at the gateway: it is, or may again be, charged for.
ALIVE = frozenset({"trialing", "active", "past_due", "unpaid", "paused"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What counts as paid: the price ids that stand for pro, and how long a failed payment is put up with."""

    prices: frozenset[str]
    grace: timedelta = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscription as the gateway last told it. `status` is the gateway's word; there may be new ones any day.

    `period_end`: up to when the present period goes. `cancel_at`: when a planned cancellation takes effect.
    """

    id: str
    status: str
    prices: tuple[str, ...]
    created_at: datetime
    period_end: datetime | None = None
    cancel_at: datetime | None = None
    cancel_at_period_end: bool = False

    @property
    def ends_at(self) -> datetime | None:
        """When it will end as planned; None while no end is planned."""
        return self.cancel_at or (self.period_end if self.cancel_at_period_end else None)

    def is_ours(self, terms: Terms) -> bool:
        """It is for pro, and not for something else that is sold under the same account."""
        return not terms.prices.isdisjoint(self.prices)

    def is_alive(self, terms: Terms) -> bool:
        """It is for pro and may be charged for again, whether or not it gives access at present."""
        return self.status in ALIVE and self.is_ours(terms)

    def access_until(self, terms: Terms) -> datetime:
        """Up to when it gives pro, if nothing more is heard of it: an instant, `FOREVER`, or `NEVER`."""
        if not self.is_ours(terms):
            return NEVER
        planned = self.ends_at or FOREVER
        match self.status:
            case "trialing" | "active":
                return planned
            case "past_due":
                return min(planned, self.period_end + terms.grace) if self.period_end else NEVER
            case _:
                return NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Pro by an operator's word, whatever the gateway says. `until` None: for ever."""

    id: GrantId
    user_id: UserId
    until: datetime | None
    reason: str
    by: str
    created_at: datetime
    revoked_at: datetime | None = None

    @property
    def access_until(self) -> datetime:
        """As `Subscription.access_until`."""
        return NEVER if self.revoked_at else self.until or FOREVER


@dataclass(frozen=True, slots=True)
class Standing:
    """The plan a user is on, and until when if nothing more is heard (None: for ever)."""

    plan: str
    until: datetime | None = None


def plan_for(
    subscriptions: Collection[Subscription], grants: Collection[Grant], now: datetime, terms: Terms
) -> Standing:
    """Pro as long as any subscription or grant gives it; the longest one counts."""
    ends = [each.access_until(terms) for each in subscriptions] + [grant.access_until for grant in grants]
    longest = max(ends, default=NEVER)
    if longest <= now:
        return Standing("basic")
    return Standing("pro", None if longest == FOREVER else longest)


def surplus(subscriptions: Collection[Subscription], terms: Terms) -> tuple[str, ...]:
    """The ids of those beyond the first that are alive: a user pays twice, and an operator should know."""
    alive = sorted(
        (each for each in subscriptions if each.is_alive(terms)), key=lambda each: (each.created_at, each.id)
    )
    return tuple(each.id for each in alive[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionStatus:
    """What a user is told. `status`: the gateway's word, `granted`, or `none`; `valid_until` None: no end in sight."""

    plan: str
    status: str
    active: bool
    valid_until: datetime | None
    cancel_at_period_end: bool


# --- buying -----------------------------------------------------------------------------------------------------------


# Gateways remember an idempotency key for a day; a little less is sure.
ANSWER_LIFE = timedelta(hours=23)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What is sold, and where the gateway's pages lead back to. All from the configuration, nothing from a request."""

    price: str
    success_url: str
    cancel_url: str
    return_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """One attempt to buy. Everything the gateway is asked with is stored, so that asking again is the same question.

    `id` is the idempotency key. `session_id` and `url` are there once the gateway has answered.
    """

    id: CheckoutId
    user_id: UserId
    offer: Offer
    created_at: datetime
    session_id: str | None = None
    url: str | None = None
    expires_at: datetime | None = None

    def is_stale(self, now: datetime) -> bool:
        """Its page has expired, or so much time has passed without an answer that asking again may make a double."""
        if self.session_id is None:
            return self.created_at + ANSWER_LIFE <= now
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who a user is to the gateway. `generation` counts up when the gateway's customer was deleted there.

    `known_since`: when a customer was first asked for; None if never.
    """

    user_id: UserId
    id: str | None = None
    generation: int = 0
    known_since: datetime | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The gateway's page for a checkout."""

    customer_id: str
    id: str
    url: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Awaiting:
    """A checkout that an operator has to approve."""

    session_id: str
    user_id: UserId
    asked_at: datetime


class SessionState(StrEnum):
    """What became of a checkout's page."""

    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"


class Cancellation(StrEnum):
    """When a subscription is to end."""

    AT_PERIOD_END = "at_period_end"
    NOW = "now"
    NOT_AT_ALL = "not_at_all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A checkout that is under way. `replayed`: the idempotency key was used before, with the same request."""

    checkout: Checkout
    customer: Customer
    replayed: bool = False


class AlreadySubscribed(Conflict):
    """There is something to manage, and nothing to buy. `portal_url`: where, if the gateway has such a page."""

    code = "already-subscribed"

    def __init__(self, *, portal_url: str | None = None) -> None:
        super().__init__("You have a subscription already.")
        self.portal_url = portal_url


# --- hearing from the gateway -----------------------------------------------------------------------------------------


SYNC_JOB = "billing_sync"
EVENT_JOB = "billing_event"
RECONCILE_JOB = "billing_reconcile"
RECONCILE_ALL_JOB = "billing_reconcile_all"
# However many events come for a customer, they are looked at once in this time.
LOOK_EVERY = timedelta(seconds=1)
# A promised look that has not begun by then is taken for lost.
PROMISE_LIFE = timedelta(minutes=5)


def look_job(
    user: UserId,
    *,
    requested_at: datetime | None,
    began_at: datetime | None,
    now: datetime,
    request_id: str = "",
) -> NewJob | None:
    """The promise to look at a customer; None if a look that has not begun yet is promised already."""
    if requested_at is not None and now - requested_at < PROMISE_LIFE:
        return None
    pause = began_at + LOOK_EVERY - now if began_at else timedelta(0)
    after = min(max(pause, timedelta(0)), LOOK_EVERY)
    return NewJob(id=JobId(uuid7(now)), kind=SYNC_JOB, args={"user": str(user)}, after=after, request_id=request_id)


def event_job(event_id: str, now: datetime, request_id: str = "") -> NewJob:
    """The promise to find out whom an event is about."""
    return NewJob(id=JobId(uuid7(now)), kind=EVENT_JOB, args={"event": event_id}, request_id=request_id)


class Concern(StrEnum):
    """Why an operator should look at a customer."""

    REFUND = "refund"
    DISPUTE = "dispute"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Subject:
    """Something at the gateway: `kind` is the gateway's word (`charge`)."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """The gateway says "look there". Nothing else of what it sent is kept, let alone believed.

    `matters` is false for events of another mode and of kinds that tell nothing about subscriptions. Where
    `customer_id` is None, the `subject` leads to the customer.
    """

    event_id: str
    kind: str
    happened_at: datetime
    matters: bool
    customer_id: str | None = None
    subject: Subject | None = None
    concern: Concern | None = None


class EventState(StrEnum):
    """`received` until its effect is stored; `ignored` if it has none."""

    RECEIVED = "received"
    DONE = "done"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """An event as an operator sees it."""

    id: str
    kind: str
    state: EventState
    customer_id: str | None
    subject: Subject | None
    concern: Concern | None
    happened_at: datetime
    received_at: datetime
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Received:
    """What was made of a hint: `job` is worth a nudge, if there is one."""

    state: EventState
    job: JobId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """A look at a customer that is about to be taken. `number` is higher than any that began before.

    `buried`: the account is gone, and nothing may go on for it at the gateway.
    """

    user_id: UserId
    customer_id: str
    number: int
    buried: bool


@dataclass(frozen=True, slots=True)
class Flag:
    """Something for the operator. `about`: the id of the subscription, charge or dispute."""

    concern: Concern
    about: str
    raised_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingRecord:
    """All that billing knows of a user."""

    user_id: UserId
    customer_id: str | None
    synced_at: datetime | None
    standing: Standing
    subscriptions: tuple[Subscription, ...] = ()
    grants: tuple[Grant, ...] = ()
    flags: tuple[Flag, ...] = ()

    def status(self, now: datetime, terms: Terms) -> SubscriptionStatus:
        """What the user is told."""
        standing = plan_for(self.subscriptions, self.grants, now, terms)
        told = max(
            (each for each in self.subscriptions if each.is_ours(terms)),
            key=lambda each: (each.access_until(terms), each.created_at),
            default=None,
        )
        paid = told is not None and told.access_until(terms) > now
        granted = standing.plan == "pro" and not paid
        until = standing.until
        if paid and until is None and not any(grant.access_until > now for grant in self.grants):
            until = told.period_end if told else None
        return SubscriptionStatus(
            plan=standing.plan,
            status="granted" if granted else told.status if told else "none",
            active=standing.plan == "pro",
            valid_until=until,
            cancel_at_period_end=told is not None and told.is_alive(terms) and told.ends_at is not None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingFilter:
    """Which users an operator wants to see; what is None or false does not narrow."""

    status: str | None = None
    stale_before: datetime | None = None
    duplicates: bool = False
    flagged: bool = False
