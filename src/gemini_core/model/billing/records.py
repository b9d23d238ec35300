"""What is stored of a user, as an operator sees it."""

from dataclasses import dataclass
from datetime import datetime

from gemini_core.errors import Conflict
from gemini_core.model.billing.events import Concern
from gemini_core.model.billing.subscriptions import (
    Grant,
    Standing,
    Subscription,
    SubscriptionStatus,
    Terms,
    status_for,
)
from gemini_core.model.ids import UserId


@dataclass(frozen=True, slots=True)
class Flag:
    """Something for the operator. `about`: the id of the subscription, charge or dispute."""

    concern: Concern
    about: str
    raised_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingRecord:
    """All that billing knows of a user. `gone`: of their account nothing else is left, or soon will be."""

    user_id: UserId
    customer_id: str | None
    synced_at: datetime | None
    standing: Standing
    gone: bool = False
    subscriptions: tuple[Subscription, ...] = ()
    grants: tuple[Grant, ...] = ()
    flags: tuple[Flag, ...] = ()

    def status(self, now: datetime, terms: Terms) -> SubscriptionStatus:
        """What the user is told."""
        return status_for(self.subscriptions, self.grants, now, terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingFilter:
    """Which users an operator wants to see; what is None or false does not narrow."""

    status: str | None = None
    stale_before: datetime | None = None
    duplicates: bool = False
    flagged: bool = False


def customer_taken() -> Conflict:
    """A customer of the gateway's is one user, and a user one customer."""
    return Conflict("The user or the customer is linked already.", code="customer-taken")
