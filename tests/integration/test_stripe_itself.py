"""The life of a subscription, walked by the adapter at the sandbox and, in test mode, at Stripe itself.

    STRIPE_TEST_KEY=sk_test_... ./test tests/integration/test_stripe_itself.py

No money moves there either, but a network and an account are needed, whose customer portal has been saved once in the
dashboard; without a key this half is skipped, and says so. Nobody can press "pay" on Stripe's page from here, so
subscriptions are made as Checkout would make them; Stripe's test clocks make the months pass, in the sandbox too.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import stripe
from tests.fakes.estate import eventually

from adapters.local.stripe_sandbox.server import Sandbox
from adapters.stripe.gateway import API_VERSION, StripeGateway
from adapters.stripe.keys import API
from gemini_core.model.billing.checkouts import Checkout, CheckoutId, Customer, Offer, SessionState
from gemini_core.model.billing.events import Subject
from gemini_core.model.billing.subscriptions import Cancellation, Subscription, Terms, plan_for
from gemini_core.model.ids import UserId, uuid7

KEY = os.environ.get("STRIPE_TEST_KEY", "")
NOW = datetime.now(UTC)
BACK = "https://example.com/"
GOOD_CARD, BAD_CARD = "pm_card_visa", "pm_card_chargeCustomerFail"


@dataclass(frozen=True, slots=True)
class Market:
    """The adapter, and the seller's own hands at the same account."""

    gateway: StripeGateway
    seller: stripe.StripeClient
    price: str

    @property
    def terms(self) -> Terms:
        return Terms(prices=frozenset({self.price}))

    def checkout(self, user: UserId) -> Checkout:
        offer = Offer(
            price=self.price, success_url=f"{BACK}?s={{CHECKOUT_SESSION_ID}}", cancel_url=BACK, return_url=BACK
        )
        return Checkout(id=CheckoutId(uuid7(NOW)), user_id=user, offer=offer, created_at=NOW)

    def subscribe(self, customer: str) -> str:
        """As Checkout does once somebody has paid."""
        return self.seller.v1.subscriptions.create(
            {
                "customer": customer,
                "items": [{"price": self.price}],
                "default_payment_method": self.card(customer, GOOD_CARD),
            }
        ).id

    def card(self, customer: str, kind: str) -> str:
        """One of Stripe's test cards, as this customer's."""
        return self.seller.v1.payment_methods.attach(kind, {"customer": customer}).id

    def seen(self, customer: str) -> Subscription:
        """The customer's only subscription, as the adapter sees it."""
        (found,) = self.gateway.subscriptions(customer)
        return found

    def plan(self, customer: str, now: datetime) -> str:
        """The plan that follows from what the adapter sees."""
        return plan_for(self.gateway.subscriptions(customer), [], now, self.terms).plan


@pytest.fixture(params=["sandbox", "stripe"])
def market(request: pytest.FixtureRequest) -> Iterator[Market]:
    if request.param == "stripe" and not KEY.startswith("sk_test_"):
        pytest.skip("STRIPE_TEST_KEY is not set")
    with ExitStack() as stack:
        key, url = KEY, API
        if request.param == "sandbox":
            sandbox = Sandbox(port=0, webhook_url="http://127.0.0.1:9/", webhook_secret="whsec_x")
            sandbox.deliveries.mode = "drop"
            key, url = "sk_test_sandbox_seller", stack.enter_context(sandbox).url
        gateway = StripeGateway(key, base_url=url)
        stack.callback(gateway.close)
        seller = stripe.StripeClient(key, base_addresses={"api": url}, stripe_version=API_VERSION)
        product = {"name": "Pro (test)"}
        price = seller.v1.prices.create(
            {"currency": "usd", "unit_amount": 1000, "recurring": {"interval": "month"}, "product_data": product}  # type: ignore[typeddict-item]
        )
        yield Market(gateway, seller, price.id)


def test_a_purchase_and_its_end(market: Market) -> None:
    gateway, user = market.gateway, UserId(uuid7(NOW))
    assert market.price in gateway.examine(market.price)
    checkout = market.checkout(user)
    session = gateway.open_checkout(checkout, Customer(user_id=user, email="buyer@example.com"))
    customer = session.customer_id
    assert gateway.open_checkout(checkout, Customer(user_id=user, email="moved@example.com")) == session
    assert gateway.session_state(session.id) is SessionState.OPEN
    assert gateway.portal(customer, BACK).startswith("http")
    gateway.close_checkouts(customer)
    assert gateway.session_state(session.id) is SessionState.EXPIRED

    made = market.subscribe(customer)
    assert market.plan(customer, datetime.now(UTC)) == "pro"
    assert gateway.customer_of(Subject("subscription", made)) == customer
    gateway.cancel(made, Cancellation.NOW)
    gateway.cancel(made, Cancellation.NOW)
    assert market.plan(customer, datetime.now(UTC)) == "basic"

    wanted = {"customer.subscription.created", "customer.subscription.deleted"}
    since = NOW - timedelta(minutes=5)
    eventually(
        lambda: {hint.kind for hint in gateway.since(since) if hint.customer_id == customer},
        lambda kinds: wanted <= kinds,
        within=60,
    )
    market.seller.v1.customers.delete(customer)
    with pytest.raises(stripe.InvalidRequestError):
        market.seller.v1.customers.update(customer, {"name": "gone"})


def test_months_pass(market: Market) -> None:
    gateway, seller = market.gateway, market.seller
    clock = seller.v1.test_helpers.test_clocks.create({"frozen_time": int(NOW.timestamp())}).id

    def advance(until: datetime) -> None:
        seller.v1.test_helpers.test_clocks.advance(clock, {"frozen_time": int(until.timestamp())})
        status = lambda: seller.v1.test_helpers.test_clocks.retrieve(clock).status  # noqa: E731
        eventually(status, "ready".__eq__, within=120)

    customer = seller.v1.customers.create({"test_clock": clock, "email": "buyer@example.com"}).id
    made = market.subscribe(customer)
    paid = market.seen(customer)
    assert paid.status == "active"
    assert paid.period_end is not None

    bad, good = market.card(customer, BAD_CARD), market.card(customer, GOOD_CARD)
    seller.v1.subscriptions.update(made, {"default_payment_method": bad})
    renewal = paid.period_end + timedelta(hours=3)  # Stripe waits an hour before it asks for the money
    advance(renewal)
    assert market.seen(customer).status == "past_due"
    assert market.plan(customer, renewal) == "pro"

    seller.v1.subscriptions.update(made, {"default_payment_method": good})
    owed = seller.v1.subscriptions.retrieve(made).latest_invoice
    seller.v1.invoices.pay(str(owed))
    renewed = market.seen(customer)
    assert renewed.status == "active"
    assert renewed.period_end is not None

    seller.v1.subscriptions.update(made, {"cancel_at": int(renewed.period_end.timestamp())})  # as the portal does
    assert market.seen(customer).ends_at == renewed.period_end
    gateway.cancel(made, Cancellation.NOT_AT_ALL)
    assert market.seen(customer).ends_at is None
    gateway.cancel(made, Cancellation.AT_PERIOD_END)
    assert market.seen(customer).ends_at == renewed.period_end
    advance(renewed.period_end + timedelta(hours=3))
    assert market.seen(customer).status == "canceled"
    assert market.plan(customer, renewed.period_end) == "basic"
    seller.v1.test_helpers.test_clocks.delete(clock)
