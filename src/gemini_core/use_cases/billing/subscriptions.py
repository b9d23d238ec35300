"""What a user is on, and ending it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gemini_core.errors import Conflict
from gemini_core.model.billing.acts import change_asked
from gemini_core.model.billing.records import BillingRecord
from gemini_core.model.billing.subscriptions import Cancellation, Subscription, SubscriptionStatus, Terms
from gemini_core.model.ids import UserId
from gemini_core.ports.accounts.operating import AuditLog
from gemini_core.ports.billing import BillingRecords, PaymentGateway
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.billing.syncing import SyncCustomer


@dataclass(frozen=True, slots=True)
class GetSubscription:
    """The plan in force, what it rests on, and how long it lasts."""

    records: BillingRecords
    terms: Terms
    clock: Clock

    def __call__(self, user: UserId) -> SubscriptionStatus:
        """Raises `NotFound`."""
        return self.records.record(user).status(self.clock.now(), self.terms)


@dataclass(frozen=True, slots=True)
class ChangeCancellation:
    """A subscription ends with the period that is paid, or goes on after all; an operator may end it at once."""

    records: BillingRecords
    gateway: PaymentGateway
    sync: SyncCustomer
    audit: AuditLog
    clock: Clock

    def __call__(self, user: UserId, when: Cancellation, *, operator: str | None = None) -> SubscriptionStatus:
        """`operator`: who asks for it, if it is not the user.

        Raises `NotFound` (no such user), `Conflict` (`no-subscription`), `Unavailable`.
        """
        now = self.clock.now()
        with self.gateway.as_one_call():
            self.sync(user)  # there may be more of them than is known
            for subscription in self._alive(self.records.record(user)):
                self.audit.note(change_asked(user, subscription.id, when, operator=operator, now=now))
                self.gateway.cancel(subscription.id, when)
            self.sync(user)
        return self.records.record(user).status(now, self.sync.terms)

    def foresee(self, user: UserId, when: Cancellation) -> SubscriptionStatus:
        """What the status would be. Nothing is changed; the gateway is asked how things stand. Raises as the deed."""
        record = self.sync.foresee(self.records.record(user))
        changeable = self._alive(record)
        changed = tuple(each.changed(when) if each in changeable else each for each in record.subscriptions)
        return replace(record, subscriptions=changed).status(self.clock.now(), self.sync.terms)

    def _alive(self, record: BillingRecord) -> Sequence[Subscription]:
        found = [each for each in record.subscriptions if each.is_alive(self.sync.terms)]
        if not found:
            raise Conflict("There is no subscription to change.", code="no-subscription")
        return found
