"""Keeping what is stored true to what the gateway says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gemini_core.errors import NotFound
from gemini_core.model.billing.records import BillingRecord
from gemini_core.model.billing.subscriptions import (
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

    For an account that is gone, no page is left to pay on, no address is left at the gateway, and whatever has not
    ended there is ended.
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
        standing, ended = self._look(user)
        return self._look(user)[0] if ended else standing

    def foresee(self, record: BillingRecord, *bought: Subscription) -> BillingRecord:
        """What the record would be after a look; nothing is written, here or at the gateway.

        `bought`: what will have been bought there by then. Raises `Unavailable`.
        """
        if record.customer_id is None:
            return record
        found = {each.id: each for each in (*self._found(record.customer_id), *bought)}.values()
        left = (each.changed(Cancellation.NOW) if record.gone and not each.has_ended else each for each in found)
        return replace(record, subscriptions=tuple(sorted(left, key=lambda each: (each.created_at, each.id))))

    def foresee_status(self, record: BillingRecord, *bought: Subscription) -> SubscriptionStatus:
        """What the status would be, as `foresee`."""
        return self.foresee(record, *bought).status(self.clock.now(), self.terms)

    def _look(self, user: UserId) -> tuple[Standing | None, bool]:
        """Write how things stand; and whether something had to be ended, so that they stand differently now."""
        now = self.clock.now()
        sync = self.store.begin_sync(user, now=now)
        if sync is None:
            return None, False
        if sync.buried:
            self.gateway.close_checkouts(sync.customer_id)
            self.gateway.forget_person(sync.customer_id)
        found = self._found(sync.customer_id)
        going_on = [each for each in found if sync.buried and not each.has_ended]
        for each in going_on:
            self.gateway.cancel(each.id, Cancellation.NOW)
        standing = self.store.apply(sync, found, self.terms, now=now, audience=self.audience)
        return standing, bool(going_on)

    def _found(self, customer_id: str) -> Sequence[Subscription]:
        try:
            return self.gateway.subscriptions(customer_id)
        except NotFound:  # deleted at the gateway, and everything with it
            return ()


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
