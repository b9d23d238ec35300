"""What is stored of a user, as an operator sees it."""

from dataclasses import dataclass
from datetime import datetime

from gemini_core.errors import Conflict
from gemini_core.model.billing.events import Concern
from gemini_core.model.billing.subscriptions import Grant, Standing, Subscription, SubscriptionStatus, Terms, plan_for
from gemini_core.model.ids import UserId


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


def customer_taken() -> Conflict:
    """A customer of the gateway's is one user, and a user one customer."""
    return Conflict("The user or the customer is linked already.", code="customer-taken")
