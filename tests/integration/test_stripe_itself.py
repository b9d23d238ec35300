"""The adapter at Stripe itself, in test mode.

    STRIPE_TEST_KEY=sk_test_... ./test tests/integration/test_stripe_itself.py

No money moves there either, but a network and an account are needed; without a key this is skipped, and says so.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import stripe
from tests.fakes.estate import eventually

from adapters.stripe.gateway import StripeGateway
from gemini_core.model.billing.checkouts import Checkout, CheckoutId, Customer, Offer, SessionState
from gemini_core.model.billing.events import Subject
from gemini_core.model.billing.subscriptions import Cancellation, Terms, plan_for
from gemini_core.model.ids import UserId, uuid7

KEY = os.environ.get("STRIPE_TEST_KEY", "")
NOW = datetime.now(UTC)

pytestmark = pytest.mark.skipif(not KEY.startswith("sk_test_"), reason="STRIPE_TEST_KEY is not set")


@pytest.fixture
def gateway() -> Iterator[StripeGateway]:
    made = StripeGateway(KEY)
    yield made
    made.close()


@pytest.fixture
def seller() -> stripe.StripeClient:
    return stripe.StripeClient(KEY)


def test_the_journey_at_stripe_itself(gateway: StripeGateway, seller: stripe.StripeClient) -> None:
    product = {"name": "Pro (test)"}
    price = seller.v1.prices.create(
        {"currency": "usd", "unit_amount": 1000, "recurring": {"interval": "month"}, "product_data": product}  # type: ignore[typeddict-item]
    ).id
    back = "https://example.com/"
    offer = Offer(price=price, success_url=f"{back}?s={{CHECKOUT_SESSION_ID}}", cancel_url=back, return_url=back)
    terms = Terms(prices=frozenset({price}))
    user = UserId(uuid7(NOW))
    checkout = Checkout(id=CheckoutId(uuid7(NOW)), user_id=user, offer=offer, created_at=NOW)

    session = gateway.open_checkout(checkout, Customer(user_id=user, email="buyer@example.com"))
    assert gateway.open_checkout(checkout, Customer(user_id=user, email="moved@example.com")) == session
    assert gateway.session_state(session.id) is SessionState.OPEN

    # Nobody can press "pay" on Stripe's page from here, so the subscription is made as Checkout would make it.
    card = seller.v1.payment_methods.attach("pm_card_visa", {"customer": session.customer_id}).id
    made = seller.v1.subscriptions.create(
        {"customer": session.customer_id, "items": [{"price": price}], "default_payment_method": card}
    ).id
    (paid,) = gateway.subscriptions(session.customer_id)
    assert paid.period_end is not None
    assert plan_for([paid], [], datetime.now(UTC), terms).plan == "pro"
    assert gateway.customer_of(Subject("subscription", made)) == session.customer_id

    gateway.cancel(made, Cancellation.AT_PERIOD_END)
    assert gateway.subscriptions(session.customer_id)[0].ends_at == paid.period_end
    gateway.cancel(made, Cancellation.NOT_AT_ALL)
    assert gateway.subscriptions(session.customer_id)[0].ends_at is None
    gateway.cancel(made, Cancellation.NOW)
    gateway.cancel(made, Cancellation.NOW)
    assert plan_for(gateway.subscriptions(session.customer_id), [], datetime.now(UTC), terms).plan == "basic"

    told = eventually(
        lambda: {
            hint.kind for hint in gateway.since(NOW - timedelta(minutes=5)) if hint.customer_id == session.customer_id
        },
        lambda kinds: {"customer.subscription.created", "customer.subscription.deleted"} <= kinds,
        within=60,
    )
    assert told
    seller.v1.customers.delete(session.customer_id)
