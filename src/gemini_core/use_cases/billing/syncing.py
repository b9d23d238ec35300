"""Keeping what is stored true to what the gateway says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gemini_core.errors import NotFound
from gemini_core.model.billing.events import Sync
from gemini_core.model.billing.ledger import BillingRecord
from gemini_core.model.billing.subscriptions import (
    ALIVE,
    Cancellation,
    Standing,
    Subscription,
    SubscriptionStatus,
    Terms,
)
from gemini_core.model.events import NOBODY, Audience
from gemini_core.model.ids import UserId
from gemini_core.ports.billing import PaymentGateway, SubscriptionRepo
from gemini_core.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class SyncCustomer:
    """Look at the customer's whole state at the gateway and write that; a look that began earlier never wins.

    For an account that is gone, no page is left to pay on, and whatever is alive at the gateway is ended.
    """

    store: SubscriptionRepo
    gateway: PaymentGateway
    terms: Terms
    clock: Clock
    audience: Audience = NOBODY

    def __call__(self, user: UserId) -> Standing | None:
        """The plan that follows; None for a user who was never a customer, or if a later look came first.

        Raises `Unavailable`.
        """
        now = self.clock.now()
        sync = self.store.begin_sync(user, now=now)
        if sync is None:
            return None
        if sync.buried:
            self._end_everything(sync)
        found = self._found(sync.customer_id)
        return self.store.apply(sync, found, self.terms, now=now, audience=self.audience)

    def foresee(self, record: BillingRecord) -> BillingRecord:
        """What the record would be after a look; nothing is written, here or at the gateway."""
        if record.customer_id is None:
            return record
        found = sorted(self._found(record.customer_id), key=lambda each: (each.created_at, each.id))
        return replace(record, subscriptions=tuple(found))

    def foresee_status(self, record: BillingRecord) -> SubscriptionStatus:
        """What the status would be after a look. Raises `Unavailable`."""
        return self.foresee(record).status(self.clock.now(), self.terms)

    def _found(self, customer_id: str) -> Sequence[Subscription]:
        try:
            return self.gateway.subscriptions(customer_id)
        except NotFound:  # deleted at the gateway, and everything with it
            return ()

    def _end_everything(self, sync: Sync) -> None:
        self.gateway.close_checkouts(sync.customer_id)
        for each in self._found(sync.customer_id):
            if each.status in ALIVE:
                self.gateway.cancel(each.id, Cancellation.NOW)


@dataclass(frozen=True, slots=True)
class EndBilling:
    """Before an account is erased nothing of it may go on at the gateway; a tombstone stays for late events."""

    store: SubscriptionRepo
    sync: SyncCustomer
    clock: Clock

    def __call__(self, user: UserId) -> None:
        """Repeatable. Raises `Unavailable`: then the account must not be erased yet."""
        self.store.bury(user, now=self.clock.now())
        self.sync(user)
