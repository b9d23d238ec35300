"""The exam for whoever takes the money; sat by Stripe's adapter at the sandbox, and by the gateway without a vendor."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from tests.contracts.audit_logs import fill
from tests.crowd import at_once
from tests.fakes.buyer import Buyer

from adapters.local.stripe_sandbox.server import Sandbox
from adapters.local.stripe_sandbox.shelf import PRO_PRICE
from adapters.memory.store import SystemClock
from adapters.persistence.billing.manual import ManualGateway
from adapters.stripe.gateway import StripeGateway
from gemini_core.errors import Conflict, NotFound
from gemini_core.model.billing.checkouts import Checkout, CheckoutId, Customer, Offer, Session, SessionState
from gemini_core.model.billing.events import Subject
from gemini_core.model.billing.subscriptions import Cancellation, Subscription
from gemini_core.model.ids import UserId, uuid7
from gemini_core.ports.billing import GatewayEvents, PaymentGateway

T = TypeVar("T")
OFFER = Offer(
    price=PRO_PRICE,
    success_url="http://127.0.0.1:1/payment/success/?session_id={CHECKOUT_SESSION_ID}",
    cancel_url="http://127.0.0.1:1/payment/cancel/",
    return_url="http://127.0.0.1:1/",
)


@dataclass(frozen=True, slots=True)
class GatewayWorld:
    """A gateway, and somebody who pays."""

    gateway: PaymentGateway
    events: GatewayEvents
    pay: Callable[[Session], object]

    def bought(self) -> tuple[Session, Subscription]:
        """A subscription that was just paid."""
        session = self.gateway.open_checkout(checkout(), customer())
        self.pay(session)
        (subscription,) = self.gateway.subscriptions(session.customer_id)
        return session, subscription

    def seen(self, session: Session) -> Subscription:
        """The customer's only subscription, as it is now."""
        (subscription,) = self.gateway.subscriptions(session.customer_id)
        return subscription


USER = UserId(uuid7(datetime.now(UTC)))


def checkout() -> Checkout:
    now = datetime.now(UTC)
    return Checkout(id=CheckoutId(uuid7(now)), user_id=USER, offer=OFFER, created_at=now)


def customer() -> Customer:
    return Customer(user_id=USER, email="a@b.example", known_since=datetime.now(UTC))


class Noon:
    def now(self) -> datetime:
        return datetime(2026, 5, 17, 12, tzinfo=UTC)


@pytest.fixture(params=["stripe", "manual"])
def world(request: pytest.FixtureRequest) -> Iterator[GatewayWorld]:
    if request.param == "manual":
        engine: Engine = request.getfixturevalue("engine")
        manual = ManualGateway(engine, SystemClock())
        yield GatewayWorld(manual, manual, lambda session: manual.approve(session.id, operator="op"))
        return
    with Sandbox(port=0, webhook_url="http://127.0.0.1:9/", webhook_secret="whsec_x") as sandbox:
        sandbox.deliveries.mode = "drop"
        stripe = StripeGateway("sk_test_sandbox_1", base_url=sandbox.url, webhook_secrets=("whsec_x",))
        yield GatewayWorld(stripe, stripe, lambda session: Buyer().press(session.url, "pay"))
        stripe.close()


def test_the_same_checkout_gets_the_same_session_and_customer(world: GatewayWorld) -> None:
    asked, who = checkout(), customer()
    sessions = at_once(20, lambda _: world.gateway.open_checkout(asked, who))
    assert len(set(sessions)) == 1
    assert sessions[0].url.startswith("http://127.0.0.1")
    assert sessions[0].expires_at is not None
    assert sessions[0].expires_at > datetime.now(UTC)


def test_a_user_is_one_customer_whatever_is_bought_and_whatever_their_address(world: GatewayWorld) -> None:
    first = world.gateway.open_checkout(checkout(), customer())
    moved = world.gateway.open_checkout(checkout(), replace(customer(), email="c@d.example"))
    known = world.gateway.open_checkout(checkout(), replace(customer(), id=first.customer_id))
    assert first.customer_id == moved.customer_id == known.customer_id
    assert len({first.id, moved.id, known.id}) == 3


def test_a_session_is_open_until_it_is_paid(world: GatewayWorld) -> None:
    session = world.gateway.open_checkout(checkout(), customer())
    assert world.gateway.session_state(session.id) is SessionState.OPEN
    assert world.gateway.subscriptions(session.customer_id) == []
    world.pay(session)
    assert world.gateway.session_state(session.id) is SessionState.COMPLETE


def test_what_was_bought_is_told_as_it_is_now(world: GatewayWorld) -> None:
    session = world.gateway.open_checkout(checkout(), customer())
    assert world.gateway.bought(session.id) is None
    world.pay(session)
    bought = world.gateway.bought(session.id)
    assert bought == world.seen(session)
    assert bought is not None
    assert not bought.has_ended
    world.gateway.cancel(bought.id, Cancellation.NOW)
    ended = world.gateway.bought(session.id)
    assert ended is not None
    assert ended.has_ended


def test_an_unknown_session_counts_as_open(world: GatewayWorld) -> None:
    assert world.gateway.session_state("cs_test_never") is SessionState.OPEN


def test_nobody_can_pay_on_a_page_that_was_closed(world: GatewayWorld) -> None:
    pages = [world.gateway.open_checkout(checkout(), customer()) for _ in range(3)]
    for _ in range(2):
        world.gateway.close_checkouts(pages[0].customer_id)
    for page in pages:
        with suppress(NotFound):
            world.pay(page)
    assert world.gateway.subscriptions(pages[0].customer_id) == []


def test_closing_pages_leaves_what_was_paid(world: GatewayWorld) -> None:
    session, subscription = world.bought()
    world.gateway.close_checkouts(session.customer_id)
    assert world.seen(session) == subscription
    world.gateway.close_checkouts(f"{session.customer_id}-never")


def test_whoever_paid_is_forgotten_and_what_was_paid_stays(world: GatewayWorld) -> None:
    session, subscription = world.bought()
    for _ in range(2):
        world.gateway.forget_person(session.customer_id)
    assert world.seen(session) == subscription
    world.gateway.forget_person(f"{session.customer_id}-never")


def test_an_approval_gives_what_was_previewed(engine: Engine) -> None:
    manual = ManualGateway(engine, Noon())
    session = manual.open_checkout(checkout(), customer())
    whose, bought = manual.preview(session.id)
    assert manual.subscriptions(session.customer_id) == []
    assert manual.approve(session.id, operator="op") == whose == USER
    assert manual.subscriptions(session.customer_id) == [bought]
    assert manual.preview(session.id) == (whose, bought)
    with pytest.raises(NotFound):
        manual.preview("manual-never")


def test_what_was_approved_and_has_ended_is_not_approved_again(engine: Engine) -> None:
    manual = ManualGateway(engine, SystemClock())
    session = manual.open_checkout(checkout(), customer())
    manual.approve(session.id, operator="op")
    manual.approve(session.id, operator="op")
    manual.cancel(session.id, Cancellation.NOW)
    for approve in (manual.preview, lambda session_id: manual.approve(session_id, operator="op")):
        with pytest.raises(Conflict, match="has ended"):
            approve(session.id)


def test_an_approval_that_cannot_be_noted_is_not_given(engine: Engine) -> None:
    manual = ManualGateway(engine, SystemClock())
    session = manual.open_checkout(checkout(), customer())
    fill(engine)
    with pytest.raises(IntegrityError):
        manual.approve(session.id, operator="op")
    assert manual.subscriptions(session.customer_id) == []


def test_who_has_paid_has_an_active_subscription_to_what_was_sold(world: GatewayWorld) -> None:
    _, subscription = world.bought()
    assert (subscription.status, subscription.prices, subscription.sold_as) == ("active", (PRO_PRICE,), PRO_PRICE)
    assert subscription.period_end is not None
    assert subscription.period_end > datetime.now(UTC)
    assert subscription.ends_at is None


def test_a_cancellation_is_planned_and_taken_back(world: GatewayWorld) -> None:
    session, subscription = world.bought()
    world.gateway.cancel(subscription.id, Cancellation.AT_PERIOD_END)
    planned = world.seen(session)
    assert (planned.status, planned.ends_at) == ("active", subscription.period_end)
    world.gateway.cancel(subscription.id, Cancellation.NOT_AT_ALL)
    assert world.seen(session).ends_at is None


def test_a_cancellation_at_once_is_final_and_repeatable(world: GatewayWorld) -> None:
    session, subscription = world.bought()
    for when in (Cancellation.NOW, *Cancellation):
        world.gateway.cancel(subscription.id, when)
        assert world.seen(session).status == "canceled"


def test_a_customer_that_is_not_there_is_not_found(world: GatewayWorld) -> None:
    with pytest.raises(NotFound) as missing:
        world.gateway.subscriptions("cus_never")
    assert missing.value.code == "unknown-customer"


def test_the_portal_is_a_page_or_a_clear_no(world: GatewayWorld) -> None:
    session = world.gateway.open_checkout(checkout(), customer())
    try:
        answer = world.gateway.portal(session.customer_id, OFFER.return_url)
    except Conflict as no:
        answer = no.code
    assert answer == "no-portal" or answer.startswith("http://127.0.0.1")


def test_what_a_thing_is_about_is_followed_to_its_customer(world: GatewayWorld) -> None:
    session, subscription = world.bought()
    assert world.events.customer_of(Subject("subscription", subscription.id)) == session.customer_id
    assert world.events.customer_of(Subject("subscription", "sub_never")) is None
    assert world.events.customer_of(Subject("weather", "wet")) is None


def test_what_happened_is_told_oldest_first(world: GatewayWorld) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    session, _ = world.bought()
    hints = list(world.events.since(began))
    assert [hint.happened_at for hint in hints] == sorted(hint.happened_at for hint in hints)
    assert {hint.customer_id for hint in hints} <= {session.customer_id}
