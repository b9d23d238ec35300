"""Stripe as the payment gateway: the real `stripe` package, at Stripe or at the sandbox."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import stripe
import structlog

from adapters.deadlines import Deadline
from adapters.stripe.calls import Attempts, is_missing
from adapters.stripe.checkouts import Checkouts
from adapters.stripe.fitness import examine
from adapters.stripe.keys import goes_astray, is_live
from adapters.stripe.subscriptions import Subscriptions
from adapters.stripe.transport import BUDGET, Transport
from adapters.stripe.webhooks import KINDS, UNREADABLE, Webhooks, hint_of
from gemini_core.model.billing.checkouts import Checkout, Customer, Session, SessionState
from gemini_core.model.billing.events import Hint, Subject
from gemini_core.model.billing.subscriptions import Cancellation, Subscription

T = TypeVar("T")
log = structlog.get_logger()

# What is read below is of this version's shape, whatever the account's default is.
API_VERSION = "2026-10-28.endive"


class StripeGateway:
    """`PaymentGateway` and `GatewayEvents` at Stripe.

    `budget`: seconds that a deed may take, or all of them that are asked `as_one_call`. `webhook_secrets`: any of them
    may have signed, so that they can be rotated; without one nothing is accepted.
    Raises `ValueError` for a live key that would go to an address that is not Stripe's.
    """

    def __init__(self, key: str, *, base_url: str, webhook_secrets: Sequence[str] = (), budget: float = BUDGET) -> None:
        self._live = is_live(key)
        if goes_astray(key, base_url):
            raise ValueError("A live key goes to Stripe's own address only.")
        # Below this the package logs whole requests and answers.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        self._deadline = Deadline(budget)
        self._call = Attempts(self._deadline)
        self._transport = Transport(self._deadline, base_url)
        self._client = stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            base_addresses={"api": base_url},
            http_client=self._transport,
            max_network_retries=0,
        )
        self._stripe = self._client.v1
        self._checkouts = Checkouts(self._client)
        self._subscriptions = Subscriptions(self._client)
        self._webhooks = Webhooks(tuple(webhook_secrets), live=self._live)

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def examine(self, price_id: str) -> str:
        """What is sold, in a sentence. Raises `Unavailable` with what an operator must mend."""
        return self._call("examine", lambda: examine(self._client, price_id, live=self._live))

    # --- PaymentGateway -----------------------------------------------------------------------------------------------

    def as_one_call(self) -> AbstractContextManager[None]:
        return self._deadline.shared()

    def open_checkout(self, checkout: Checkout, customer: Customer) -> Session:
        return self._call("open_checkout", lambda: self._checkouts.open(checkout, customer))

    def session_state(self, session_id: str) -> SessionState:
        return self._call("session_state", lambda: self._checkouts.state(session_id))

    def bought(self, session_id: str) -> Subscription | None:
        return self._call("bought", lambda: self._bought(session_id))

    def close_checkouts(self, customer_id: str) -> None:
        self._call("close_checkouts", lambda: self._checkouts.close_all(customer_id))

    def forget_person(self, customer_id: str) -> None:
        self._call("forget_person", lambda: self._checkouts.forget_email(customer_id))

    def subscriptions(self, customer_id: str) -> Sequence[Subscription]:
        return self._call("subscriptions", lambda: self._subscriptions.of(customer_id))

    def cancel(self, subscription_id: str, when: Cancellation) -> None:
        self._call("cancel", lambda: self._subscriptions.cancel(subscription_id, when))

    def portal(self, customer_id: str, return_url: str) -> str:
        asked: Any = {"customer": customer_id, "return_url": return_url}
        return self._call("portal", lambda: str(self._stripe.billing_portal.sessions.create(asked).url))

    # --- GatewayEvents ------------------------------------------------------------------------------------------------

    def verify(self, body: bytes, signature: str | None, now: datetime) -> Hint:
        return self._webhooks.verify(body, signature, now)

    def since(self, moment: datetime) -> Iterator[Hint]:
        asked: dict[str, Any] = {"created": {"gte": int(moment.timestamp())}, "types": sorted(KINDS), "limit": 100}
        newest_first: list[Hint] = []
        while True:
            hints, last = self._call("events", partial(self._page_of_events, asked, moment))
            newest_first += hints
            if last is None:
                return reversed(newest_first)
            asked = asked | {"starting_after": last}

    def customer_of(self, subject: Subject) -> str | None:
        return self._call("customer_of", lambda: self._customer_of(subject.kind, subject.id))

    # --- the deeds ----------------------------------------------------------------------------------------------------

    def _bought(self, session_id: str) -> Subscription | None:
        subscription_id = self._checkouts.bought(session_id)
        return self._subscriptions.one(subscription_id) if subscription_id else None

    def _page_of_events(self, asked: Any, moment: datetime) -> tuple[list[Hint], str | None]:
        """What can be read of a page; and its last event, if there is another page."""
        page = self._stripe.events.list(asked).to_dict()
        events = page["data"]
        hints = [hint for event in events if (hint := self._hint(event, moment)) is not None]
        return hints, events[-1]["id"] if events and page["has_more"] else None

    def _hint(self, event: Any, moment: datetime) -> Hint | None:
        """One that cannot be read must not keep the others from being heard. Its customer is looked at every night."""
        try:
            return hint_of(event, live=self._live, now=moment)
        except UNREADABLE as error:
            name = event.get("id") if isinstance(event, Mapping) else None
            log.warning("stripe event not understood", event_id=name, error=type(error).__name__)
            return None

    def _customer_of(self, kind: str, thing_id: str) -> str | None:
        """Follow `customer` or, where there is none, `charge`."""
        if kind == "customer":
            return thing_id
        retrieve: dict[str, Callable[[str], Any]] = {
            "charge": self._stripe.charges.retrieve,
            "checkout.session": self._stripe.checkout.sessions.retrieve,
            "dispute": self._stripe.disputes.retrieve,
            "invoice": self._stripe.invoices.retrieve,
            "refund": self._stripe.refunds.retrieve,
            "subscription": self._stripe.subscriptions.retrieve,
        }
        if kind not in retrieve:
            return None
        try:
            found = retrieve[kind](thing_id).to_dict()
        except stripe.InvalidRequestError as error:
            if is_missing(error):
                return None
            raise
        if customer := found.get("customer"):
            return str(customer)
        charge = found.get("charge")
        return self._customer_of("charge", str(charge)) if charge else None
