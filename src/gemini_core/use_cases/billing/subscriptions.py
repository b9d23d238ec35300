"""What a user is on, and ending it."""

from collections.abc import Sequence
from dataclasses import dataclass

from gemini_core.errors import Conflict
from gemini_core.model.accounts import AuditEvent
from gemini_core.model.billing.subscriptions import Cancellation, Subscription, SubscriptionStatus, Terms
from gemini_core.model.ids import UserId
from gemini_core.ports.accounts import AuditLog
from gemini_core.ports.billing import BillingLedger, PaymentGateway
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.billing.syncing import SyncCustomer


@dataclass(frozen=True, slots=True)
class GetSubscription:
    """The plan in force, what it rests on, and how long it lasts."""

    ledger: BillingLedger
    terms: Terms
    clock: Clock

    def __call__(self, user: UserId) -> SubscriptionStatus:
        """Raises `NotFound`."""
        return self.ledger.record(user).status(self.clock.now(), self.terms)


@dataclass(frozen=True, slots=True)
class ChangeCancellation:
    """A subscription ends with the period that is paid, or goes on after all; an operator may end it at once."""

    ledger: BillingLedger
    gateway: PaymentGateway
    sync: SyncCustomer
    audit: AuditLog
    clock: Clock

    def __call__(self, user: UserId, when: Cancellation, *, by: str | None = None) -> SubscriptionStatus:
        """`by`: the operator, if it is not the user. Raises `Conflict` (`no-subscription`), `Unavailable`."""
        now = self.clock.now()
        for subscription in self.alive(user):
            self.gateway.cancel(subscription.id, when)
            detail = {"subscription": subscription.id, "when": when.value}
            self.audit.note(AuditEvent(event="subscription.changed", at=now, user_id=user, operator=by, detail=detail))
        self.sync(user)
        return self.ledger.record(user).status(now, self.sync.terms)

    def alive(self, user: UserId) -> Sequence[Subscription]:
        """What can be cancelled. If nothing is known, the gateway is asked first."""
        terms = self.sync.terms
        found = [each for each in self.ledger.record(user).subscriptions if each.is_alive(terms)]
        if not found:
            self.sync(user)
            found = [each for each in self.ledger.record(user).subscriptions if each.is_alive(terms)]
        if not found:
            raise Conflict("There is no subscription to change.", code="no-subscription")
        return found
