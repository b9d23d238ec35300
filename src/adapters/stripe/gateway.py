"""Stripe as the payment gateway: the real `stripe` package, at Stripe or at the sandbox."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import stripe

from adapters.stripe.calls import BUDGET, Caller, Deadline, Transport, is_missing
from adapters.stripe.webhooks import KINDS, Webhooks, hint_of
from gemini_core.model.billing.checkouts import ANSWER_LIFE, Checkout, Customer, Session, SessionState
from gemini_core.model.billing.events import Hint, Subject
from gemini_core.model.billing.subscriptions import Cancellation, Subscription

T = TypeVar("T")

API = "https://api.stripe.com"
# What is read below is of this version's shape, whatever the account's default is.
API_VERSION = "2026-10-28.endive"
LIVE_KEYS = ("sk_live_", "rk_live_")


class StripeGateway:
    """`PaymentGateway` and `GatewayEvents` at Stripe.

    `budget`: seconds that a deed may take in all. `webhook_secrets`: any of them may have signed, so that they can be
    rotated; without one nothing is accepted.
    Raises `ValueError` for a live key that would go to an address that is not Stripe's.
    """

    def __init__(
        self, key: str, *, base_url: str = API, webhook_secrets: Sequence[str] = (), budget: float = BUDGET
    ) -> None:
        self._live = key.startswith(LIVE_KEYS)
        if self._live and urlsplit(base_url).hostname != urlsplit(API).hostname:
            raise ValueError("A live key goes to Stripe's own address only.")
        # Below this the package logs whole requests and answers.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        deadline = Deadline(budget)
        self._call = Caller(deadline)
        self._transport = Transport(deadline, base_url)
        self._stripe = stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            base_addresses={"api": base_url},
            http_client=self._transport,
            max_network_retries=0,
        ).v1
        self._webhooks = Webhooks(tuple(webhook_secrets), live=self._live)

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    # --- PaymentGateway -----------------------------------------------------------------------------------------------

    def open_checkout(self, checkout: Checkout, customer: Customer) -> Session:
        return self._call("open_checkout", lambda: self._open_checkout(checkout, customer))

    def session_state(self, session_id: str) -> SessionState:
        return self._call("session_state", lambda: self._session_state(session_id))

    def close_checkouts(self, customer_id: str) -> None:
        self._call("close_checkouts", lambda: self._close_checkouts(customer_id))

    def subscriptions(self, customer_id: str) -> Sequence[Subscription]:
        asked: Any = {"customer": customer_id, "status": "all", "limit": 100}
        return self._call("subscriptions", lambda: [_subscription(each) for each in self._all_subscriptions(asked)])

    def cancel(self, subscription_id: str, when: Cancellation) -> None:
        self._call("cancel", lambda: self._cancel(subscription_id, when))

    def portal(self, customer_id: str, return_url: str) -> str:
        asked: Any = {"customer": customer_id, "return_url": return_url}
        return self._call("portal", lambda: str(self._stripe.billing_portal.sessions.create(asked).url))

    # --- GatewayEvents ------------------------------------------------------------------------------------------------

    def verify(self, body: bytes, signature: str | None, now: datetime) -> Hint:
        return self._webhooks.verify(body, signature, now)

    def since(self, moment: datetime) -> Iterator[Hint]:
        asked: dict[str, Any] = {"created": {"gte": int(moment.timestamp())}, "types": sorted(KINDS), "limit": 100}
        events: list[Mapping[str, Any]] = []
        more = True
        while more:
            page = self._call("events", partial(self._page_of_events, asked))
            events += page["data"]
            more = page["has_more"] and bool(page["data"])
            asked = asked | {"starting_after": events[-1]["id"]} if more else asked
        # Stripe lists the newest first.
        return (hint_of(event, live=self._live, now=moment) for event in reversed(events))

    def customer_of(self, subject: Subject) -> str | None:
        return self._call("customer_of", lambda: self._customer_of(subject.kind, subject.id))

    # --- the deeds ----------------------------------------------------------------------------------------------------

    def _page_of_events(self, asked: Any) -> Mapping[str, Any]:
        return self._stripe.events.list(asked).to_dict()

    def _open_checkout(self, checkout: Checkout, customer: Customer) -> Session:
        customer_id = customer.id or self._make_customer(checkout, customer)
        if customer.email:
            self._stripe.customers.update(customer_id, {"email": customer.email})
        session = self._stripe.checkout.sessions.create(
            {
                "mode": "subscription",
                "customer": customer_id,
                "client_reference_id": str(checkout.user_id),
                "line_items": [{"price": checkout.offer.price, "quantity": 1}],
                "success_url": checkout.offer.success_url,
                "cancel_url": checkout.offer.cancel_url,
                "metadata": {"checkout_id": str(checkout.id)},
                "subscription_data": {"metadata": {"user_id": str(checkout.user_id)}},
            },
            {"idempotency_key": f"checkout-{checkout.id}-{customer.generation}"},
        )
        url, expires_at = session.url, moment_of(getattr(session, "expires_at", None))
        return Session(customer_id=customer_id, id=session.id, url=url or "", expires_at=expires_at)

    def _make_customer(self, checkout: Checkout, customer: Customer) -> str:
        """One customer per user and generation. The key covers nothing that may change, so it never contradicts.

        Stripe forgets keys after a day; an answer that was lost longer ago is found by the user's id.
        """
        user = str(customer.user_id)
        if customer.known_since and checkout.created_at - customer.known_since > ANSWER_LIFE:
            for found in self._stripe.customers.search({"query": f"metadata['user_id']:'{user}'"}).data:
                return found.id
        made = self._stripe.customers.create(
            {"metadata": {"user_id": user}}, {"idempotency_key": f"customer-{user}-{customer.generation}"}
        )
        return made.id

    def _session_state(self, session_id: str) -> SessionState:
        try:
            status = self._stripe.checkout.sessions.retrieve(session_id).status
        except stripe.InvalidRequestError as error:
            if is_missing(error):
                return SessionState.OPEN
            raise
        return SessionState(status or "open")

    def _close_checkouts(self, customer_id: str) -> None:
        asked: Any = {"customer": customer_id, "status": "open", "limit": 100}
        sessions = self._stripe.checkout.sessions
        try:
            for each in list(sessions.list(asked).auto_paging_iter()):
                self._close_checkout(each.id)
        except stripe.InvalidRequestError as error:
            if not is_missing(error):  # without its customer there is no page either
                raise

    def _close_checkout(self, session_id: str) -> None:
        try:
            self._stripe.checkout.sessions.expire(session_id)
        except stripe.InvalidRequestError:
            # Only an open one can expire: somebody paid, or it expired, this moment.
            if self._stripe.checkout.sessions.retrieve(session_id).status == "open":
                raise

    def _all_subscriptions(self, asked: Any) -> Iterator[Mapping[str, Any]]:
        for each in self._stripe.subscriptions.list(asked).auto_paging_iter():
            yield each.to_dict()

    def _cancel(self, subscription_id: str, when: Cancellation) -> None:
        subscriptions = self._stripe.subscriptions
        try:
            if when is Cancellation.NOW:
                subscriptions.cancel(subscription_id)
            elif when is Cancellation.AT_PERIOD_END:
                subscriptions.update(subscription_id, {"cancel_at_period_end": True})
            elif subscriptions.retrieve(subscription_id).cancel_at_period_end:
                subscriptions.update(subscription_id, {"cancel_at_period_end": False})
            else:  # planned in the portal, which sets a date; Stripe takes only one of the two in a call
                subscriptions.update(subscription_id, {"cancel_at": ""})
        except stripe.InvalidRequestError as error:
            if not is_missing(error) and not self._has_ended(subscription_id):
                raise

    def _has_ended(self, subscription_id: str) -> bool:
        return self._stripe.subscriptions.retrieve(subscription_id).status in ("canceled", "incomplete_expired")

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


def _subscription(told: Mapping[str, Any]) -> Subscription:
    """What Stripe tells, as far as it matters. The period is its items', in older shapes the subscription's own."""
    items = told.get("items", {}).get("data", [])
    ends = [item.get("current_period_end") or 0 for item in items] + [told.get("current_period_end") or 0]
    created = moment_of(told.get("created"))
    return Subscription(
        id=told["id"],
        status=told["status"],
        prices=tuple(item["price"]["id"] for item in items),
        created_at=created or datetime.fromtimestamp(0, UTC),
        period_end=moment_of(max(ends)),
        cancel_at=moment_of(told.get("cancel_at")),
        cancel_at_period_end=bool(told.get("cancel_at_period_end")),
    )


def moment_of(seconds: int | None) -> datetime | None:
    """Stripe's time (seconds since 1970; none or 0: not set)."""
    return datetime.fromtimestamp(seconds, UTC) if seconds and seconds > 0 else None
