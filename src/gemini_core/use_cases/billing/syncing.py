"""Keeping what is stored true to what the gateway says."""

from collections.abc import Sequence
from dataclasses import dataclass

from gemini_core.errors import NotFound
from gemini_core.model.billing.events import Sync
from gemini_core.model.billing.subscriptions import ALIVE, Cancellation, Standing, Subscription, Terms
from gemini_core.model.ids import UserId
from gemini_core.ports.billing import PaymentGateway, SubscriptionRepo
from gemini_core.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class SyncCustomer:
    """Look at the customer's whole state at the gateway and write that; a look that began earlier never wins.

    For an account that is gone, whatever is alive at the gateway is ended.
    """

    store: SubscriptionRepo
    gateway: PaymentGateway
    terms: Terms
    clock: Clock

    def __call__(self, user: UserId) -> Standing | None:
        """The plan that follows; None for a user who was never a customer, or if a later look came first."""
        now = self.clock.now()
        sync = self.store.begin_sync(user, now=now)
        return None if sync is None else self.store.apply(sync, self._look(sync), self.terms, now=now)

    def _look(self, sync: Sync) -> Sequence[Subscription]:
        try:
            found = self.gateway.subscriptions(sync.customer_id)
            if sync.buried and (alive := [each for each in found if each.status in ALIVE]):
                for each in alive:
                    self.gateway.cancel(each.id, Cancellation.NOW)
                found = self.gateway.subscriptions(sync.customer_id)
        except NotFound:  # deleted at the gateway, and everything with it
            return ()
        return found


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
