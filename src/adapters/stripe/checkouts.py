"""Customers and the pages where they pay, at Stripe."""

from collections.abc import Callable
from typing import TypeVar

import stripe
import structlog

from adapters.stripe.calls import is_missing, no_customer, told
from adapters.stripe.subscriptions import SOLD_AS
from adapters.stripe.times import moment_of
from gemini_core.model.billing.checkouts import ANSWER_LIFE, Checkout, Customer, Session, SessionState

T = TypeVar("T")
log = structlog.get_logger()

# Stripe keeps what it answered first under an idempotency key, also a failure of its own. Then the next key is tried;
# as everybody tries the same ones in the same order, the same question still has one answer.
KEYS = 3


class Checkouts:
    """The deeds about checkouts. They raise stripe's errors, and `NotFound` for a customer who is not there."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._customers = client.v1.customers
        self._sessions = client.v1.checkout.sessions

    def open(self, checkout: Checkout, customer: Customer) -> Session:
        """As `PaymentGateway.open_checkout`."""
        customer_id = customer.id or self._make_customer(checkout, customer)
        session = _once(
            f"checkout-{checkout.id}-{customer.generation}",
            lambda key: self._sessions.create(
                {
                    "mode": "subscription",
                    "customer": customer_id,
                    "client_reference_id": str(checkout.user_id),
                    "line_items": [{"price": checkout.offer.price, "quantity": 1}],
                    "success_url": checkout.offer.success_url,
                    "cancel_url": checkout.offer.cancel_url,
                    "metadata": {"checkout_id": str(checkout.id)},
                    "subscription_data": {
                        "metadata": {"user_id": str(checkout.user_id), SOLD_AS: checkout.offer.price}
                    },
                },
                {"idempotency_key": key},
            ),
        )
        if customer.email:
            self._tell_email(customer_id, customer.email)
        expires_at = moment_of(getattr(session, "expires_at", None))
        return Session(customer_id=customer_id, id=session.id, url=session.url or "", expires_at=expires_at)

    def state(self, session_id: str) -> SessionState:
        """As `PaymentGateway.session_state`."""
        try:
            found = self._sessions.retrieve(session_id, {"expand": ["customer"]})
        except stripe.InvalidRequestError as error:
            if is_missing(error):
                return SessionState.OPEN
            raise
        state = SessionState(found.status or "open")
        if state is SessionState.OPEN and getattr(found.customer, "deleted", False):
            return SessionState.EXPIRED
        return state

    def bought(self, session_id: str) -> str | None:
        """The id of the subscription that the session has led to."""
        subscription = self._sessions.retrieve(session_id).subscription
        return subscription if isinstance(subscription, str) else None

    def close_all(self, customer_id: str) -> None:
        """As `PaymentGateway.close_checkouts`."""
        try:
            found = self._sessions.list({"customer": customer_id, "status": "open", "limit": 100})
            for each in list(found.auto_paging_iter()):
                self._close(each.id)
        except stripe.InvalidRequestError as error:
            if not is_missing(error):  # without its customer there is no page either
                raise

    def forget_email(self, customer_id: str) -> None:
        """As `PaymentGateway.forget_person`. Stripe has been told nothing else, but Checkout may have asked for one."""
        try:
            if getattr(self._customers.retrieve(customer_id), "email", None):
                self._customers.update(customer_id, {"email": ""})
        except stripe.InvalidRequestError as error:
            if not is_missing(error):
                raise

    def _close(self, session_id: str) -> None:
        try:
            self._sessions.expire(session_id)
        except stripe.InvalidRequestError:
            # Only an open one can expire: somebody paid, or it expired, this moment.
            if self._sessions.retrieve(session_id).status == "open":
                raise

    def _make_customer(self, checkout: Checkout, customer: Customer) -> str:
        """One customer per user and generation. The key covers nothing that may change, so it never contradicts.

        Stripe forgets keys after a day; an answer that was lost longer ago is found by the user's id.
        """
        user = str(customer.user_id)
        if customer.known_since and checkout.created_at - customer.known_since > ANSWER_LIFE:
            for found in self._customers.search({"query": f"metadata['user_id']:'{user}'"}).data:
                return found.id
        made = _once(
            f"customer-{user}-{customer.generation}",
            lambda key: self._customers.create({"metadata": {"user_id": user}}, {"idempotency_key": key}),
        )
        return made.id

    def _tell_email(self, customer_id: str, email: str) -> None:
        """For Stripe's receipts. An address that Stripe does not take, or not now, is no reason not to sell."""
        try:
            self._customers.update(customer_id, {"email": email})
        except stripe.StripeError as error:
            if is_missing(error):
                raise no_customer() from None
            log.warning("stripe call failed", deed="tell_email", **told(error))


def _once(key: str, create: Callable[[str], T]) -> T:
    """Make something, once, however often this is called."""
    for number in range(KEYS):
        try:
            return create(f"{key}-{number}" if number else key)
        except stripe.APIError as error:
            replayed = (error.headers or {}).get("idempotent-replayed") == "true"
            if not replayed or number == KEYS - 1:
                raise
    raise AssertionError("unreachable")
