"""Buying pro, and the page where it is managed."""

from contextlib import suppress
from dataclasses import dataclass

from gemini_core.errors import Conflict, Failure, NotFound, Unavailable
from gemini_core.model.billing.checkouts import (
    AlreadySubscribed,
    Begun,
    Checkout,
    CheckoutId,
    Offer,
    Session,
    SessionState,
)
from gemini_core.model.ids import UserId, uuid7
from gemini_core.model.requests import Once
from gemini_core.ports.billing import CheckoutRepo, PaymentGateway
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.billing.syncing import SyncCustomer


@dataclass(frozen=True, slots=True)
class SubscribePro:
    """A basic user gets one checkout page at a time; who has a subscription is led to the portal instead."""

    checkouts: CheckoutRepo
    gateway: PaymentGateway
    sync: SyncCustomer
    offer: Offer
    clock: Clock

    def __call__(self, user: UserId, *, key: str | None = None) -> Begun:
        """Raises `AlreadySubscribed`, `NotFound`, `Unavailable`, `Invalid` (a bad key; `idempotency-key-reused`)."""
        with self.gateway.as_one_call():
            return self._begun(user, Once.of(key, "subscribe_pro"))

    def _begun(self, user: UserId, once: Once | None) -> Begun:
        now = self.clock.now()
        draft = Checkout(id=CheckoutId(uuid7(now)), user_id=user, offer=self.offer, created_at=now)
        try:
            begun = self.checkouts.begin(draft, self.sync.terms, now=now, once=once)
            if begun.replayed:
                return begun
            if self._is_over(begun):
                begun = self.checkouts.begin(draft, self.sync.terms, now=now, once=once)
        except AlreadySubscribed:
            raise AlreadySubscribed(portal_url=self._portal(user)) from None
        session = self._session(begun)
        try:
            return self.checkouts.opened(begun.checkout, session, now=now, once=once)
        except NotFound:
            with suppress(Unavailable):  # a look is promised, too
                self.sync(user)
            raise
        except Conflict:
            self.gateway.close_checkouts(session.customer_id)
            raise _in_a_moment() from None

    def _is_over(self, begun: Begun) -> bool:
        """A page that was paid, has expired, or sells what is sold no more, is not shown again."""
        checkout, outdated = begun.checkout, begun.checkout.offer.price != self.offer.price
        if outdated and begun.customer.id:
            self.gateway.close_checkouts(begun.customer.id)
        state = self.gateway.session_state(checkout.session_id) if checkout.session_id else SessionState.OPEN
        if state is SessionState.OPEN and not outdated:
            return False
        if checkout.session_id and state is SessionState.COMPLETE:
            self._settle(checkout.user_id, checkout.session_id)
        self.checkouts.close(checkout.id)
        return True

    def _settle(self, user: UserId, session_id: str) -> None:
        """Whoever has paid, or is about to, buys nothing more until what was bought has ended."""
        bought = self.gateway.bought(session_id)
        self.sync(user)
        if bought is None:
            raise _in_a_moment()
        if not bought.has_ended:
            raise AlreadySubscribed

    def _session(self, begun: Begun) -> Session:
        checkout, customer = begun.checkout, begun.customer
        if checkout.session_id and checkout.url and customer.id:
            return Session(
                customer_id=customer.id, id=checkout.session_id, url=checkout.url, expires_at=checkout.expires_at
            )
        try:
            return self.gateway.open_checkout(checkout, customer)
        except NotFound:
            self.checkouts.forget_customer(customer)
            return self.gateway.open_checkout(checkout, self.checkouts.customer(checkout.user_id))

    def _portal(self, user: UserId) -> str | None:
        customer = self.checkouts.customer(user)
        try:
            return self.gateway.portal(customer.id, self.offer.return_url) if customer.id else None
        except Failure:
            return None


def _in_a_moment() -> Unavailable:
    return Unavailable("The payment provider is not ready for this yet.", code="payments-unavailable")


@dataclass(frozen=True, slots=True)
class OpenPortal:
    """A customer manages payment and subscription on the gateway's own page."""

    checkouts: CheckoutRepo
    gateway: PaymentGateway
    offer: Offer

    def __call__(self, user: UserId) -> str:
        """The page's URL.

        Raises `Conflict` (`no-subscription`, `no-portal`), `NotFound` (no such user), `Unavailable`.
        """
        customer = self.checkouts.customer(user)
        nothing = Conflict("There is no subscription to manage.", code="no-subscription")
        if customer.id is None:
            raise nothing
        try:
            return self.gateway.portal(customer.id, self.offer.return_url)
        except NotFound:
            raise nothing from None
