"""Which plan a user is on: what the gateway says, and what operators grant."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NewType
from uuid import UUID

from gemini_core.model.ids import UserId

GrantId = NewType("GrantId", UUID)
NEVER = datetime.min.replace(tzinfo=UTC)
FOREVER = datetime.max.replace(tzinfo=UTC)
# A subscription in one of these goes on at the gateway: it is, or may again be, charged for.
ALIVE = frozenset({"trialing", "active", "past_due", "unpaid", "paused"})
# It is over for good.
ENDED = frozenset({"canceled", "incomplete_expired"})
# The first payment never came.
UNPAID = frozenset({"incomplete", "incomplete_expired"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What counts as paid: the price ids that stand for pro, and how long a failed payment is put up with."""

    prices: frozenset[str]
    grace: timedelta = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscription as the gateway last told it. `status` is the gateway's word; there may be new ones any day.

    `period_end`: up to when the present period goes. `cancel_at`: when a planned cancellation takes effect.
    `sold_as`: the price under which it was sold as pro, by us.
    """

    id: str
    status: str
    prices: tuple[str, ...]
    created_at: datetime
    period_end: datetime | None = None
    cancel_at: datetime | None = None
    cancel_at_period_end: bool = False
    sold_as: str | None = None

    @property
    def ends_at(self) -> datetime | None:
        """When it will end as planned; None while no end is planned."""
        return self.cancel_at or (self.period_end if self.cancel_at_period_end else None)

    @property
    def has_ended(self) -> bool:
        """Nothing more will come of it, nor be charged for."""
        return self.status in ENDED

    def is_ours(self, terms: Terms) -> bool:
        """It is for pro, and not for something else that is sold under the same account.

        Whoever bought pro keeps it when pro is sold under another price, as long as that is what they pay.
        """
        return not terms.prices.isdisjoint(self.prices) or self.sold_as in self.prices

    def is_alive(self, terms: Terms) -> bool:
        """It is for pro and may be charged for again, whether or not it gives access at present."""
        return self.status in ALIVE and self.is_ours(terms)

    def changed(self, when: "Cancellation") -> "Subscription":
        """As it will be once this cancellation is planned, carried out or taken back."""
        match when:
            case Cancellation.NOW:
                return replace(self, status="canceled")
            case Cancellation.AT_PERIOD_END:
                return replace(self, cancel_at_period_end=True)
            case Cancellation.NOT_AT_ALL:
                return replace(self, cancel_at=None, cancel_at_period_end=False)

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

    def revoked(self, now: datetime) -> "Grant":
        """Taken back, unless it has ended by itself."""
        return replace(self, revoked_at=now) if self.access_until > now else self


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


def unforeseen(subscriptions: Collection[Subscription], known: Collection[Subscription]) -> tuple[str, ...]:
    """The ids of those that somebody has paid for an account that is gone: nobody knew of them, or that they live."""
    ids, alive = {each.id for each in known}, {each.id for each in known if each.status in ALIVE}
    return tuple(
        each.id
        for each in subscriptions
        if (each.id not in ids and each.status not in UNPAID) or (each.id not in alive and each.status in ALIVE)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionStatus:
    """What a user is told. `status`: the gateway's word, `granted`, or `none`; `valid_until` None: no end in sight."""

    plan: str
    status: str
    active: bool
    valid_until: datetime | None
    cancel_at_period_end: bool


def status_for(
    subscriptions: Collection[Subscription], grants: Collection[Grant], now: datetime, terms: Terms
) -> SubscriptionStatus:
    """The plan, and what it rests on: of the subscriptions the one that gives it longest."""
    standing = plan_for(subscriptions, grants, now, terms)
    told = max(
        (each for each in subscriptions if each.is_ours(terms)),
        key=lambda each: (each.access_until(terms), each.created_at),
        default=None,
    )
    paid = told is not None and told.access_until(terms) > now
    granted = standing.plan == "pro" and not paid
    until = standing.until
    if paid and until is None and not any(grant.access_until > now for grant in grants):
        until = told.period_end if told else None
    return SubscriptionStatus(
        plan=standing.plan,
        status="granted" if granted else told.status if told else "none",
        active=standing.plan == "pro",
        valid_until=until,
        cancel_at_period_end=told is not None and told.is_alive(terms) and told.ends_at is not None,
    )


class Cancellation(StrEnum):
    """When a subscription is to end."""

    AT_PERIOD_END = "at_period_end"
    NOW = "now"
    NOT_AT_ALL = "not_at_all"
