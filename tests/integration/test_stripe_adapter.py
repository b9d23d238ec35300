"""The Stripe adapter while Stripe is slow, silent, failing or forgetful."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from time import monotonic

import pytest
from tests.contracts.billing_worlds import TERMS, memory_world
from tests.crowd import at_once
from tests.fakes.buyer import Buyer
from tests.timing import takes_less_than

from adapters.local.stripe_sandbox.server import Sandbox
from adapters.local.stripe_sandbox.shelf import PRO_PRICE
from adapters.memory.store import SystemClock
from adapters.stripe.gateway import StripeGateway
from adapters.stripe.keys import API
from adapters.stripe.transport import CONNECTIONS, proxy_for
from gemini_core.errors import NotFound, Unavailable
from gemini_core.model.billing.checkouts import Checkout, CheckoutId, Customer, Offer, SessionState
from gemini_core.model.billing.events import Subject
from gemini_core.model.billing.subscriptions import Cancellation
from gemini_core.model.ids import UserId, uuid7
from gemini_core.use_cases.billing.buying import SubscribePro
from gemini_core.use_cases.billing.syncing import SyncCustomer

KEY = "sk_test_sandbox_very_secret"
OFFER = Offer(price=PRO_PRICE, success_url="http://a/s", cancel_url="http://a/c", return_url="http://a/")
NOW = datetime.now(UTC)
USER = UserId(uuid7(NOW))
CUSTOMER = Customer(user_id=USER, known_since=NOW)
BUYER = Buyer()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(port=0, webhook_url="http://127.0.0.1:9/", webhook_secret="whsec_x") as running:
        running.deliveries.mode = "drop"
        yield running


@pytest.fixture
def gateway(sandbox: Sandbox) -> Iterator[StripeGateway]:
    made = StripeGateway(KEY, base_url=sandbox.url)
    yield made
    made.close()


def checkout(at: datetime = NOW, price: str = PRO_PRICE) -> Checkout:
    offer = Offer(price=price, success_url=OFFER.success_url, cancel_url=OFFER.cancel_url, return_url="http://a/")
    return Checkout(id=CheckoutId(uuid7(at)), user_id=USER, offer=offer, created_at=at)


def selling(gateway: StripeGateway) -> tuple[SubscribePro, UserId]:
    """The verb that sells, and somebody who buys."""
    world = memory_world()
    sync = SyncCustomer(world.subscriptions, gateway, TERMS, SystemClock())
    return SubscribePro(world.checkouts, gateway, sync, OFFER, SystemClock()), world.user()


def fault(sandbox: Sandbox, kind: str, count: int = 1, **more: object) -> None:
    BUYER.pull(sandbox.url, "faults", kind=kind, count=count, **more)


@pytest.mark.parametrize("kind", ["error", "rate_limit", "lose_answer", "hang"])
def test_a_call_is_made_again_where_that_may_help(sandbox: Sandbox, gateway: StripeGateway, kind: str) -> None:
    fault(sandbox, kind, 2, seconds=0.1)
    session = gateway.open_checkout(checkout(), CUSTOMER)
    assert gateway.session_state(session.id) is SessionState.OPEN


def test_a_lost_answer_makes_no_double(sandbox: Sandbox, gateway: StripeGateway) -> None:
    asked = checkout()
    fault(sandbox, "lose_answer", 1, calls="POST /v1/customers")
    fault(sandbox, "lose_answer", 1, calls="POST /v1/checkout/sessions")
    first = gateway.open_checkout(asked, CUSTOMER)
    assert gateway.open_checkout(asked, CUSTOMER) == first
    things = BUYER.pull(sandbox.url, "payments")["things"]
    assert (things["customer"], things["checkout.session"]) == (1, 1)


def test_a_customer_whose_answer_was_lost_days_ago_is_found_again(sandbox: Sandbox, gateway: StripeGateway) -> None:
    known = gateway.open_checkout(checkout(), CUSTOMER).customer_id
    later = NOW + timedelta(days=3)
    BUYER.pull(sandbox.url, "advance", days=3)
    assert gateway.open_checkout(checkout(later), CUSTOMER).customer_id == known


@pytest.mark.parametrize("kind", ["error", "rate_limit", "garble", "lose_answer"])
def test_a_failure_that_stays_is_told_as_unavailable(sandbox: Sandbox, gateway: StripeGateway, kind: str) -> None:
    fault(sandbox, kind, 9)
    with pytest.raises(Unavailable) as away:
        gateway.subscriptions("cus_1")
    assert away.value.code == "payments-unavailable"
    assert len(sandbox.api.calls) <= 3


def test_a_failure_that_stripe_remembers_is_not_asked_for_again(sandbox: Sandbox, gateway: StripeGateway) -> None:
    asked = checkout()
    fault(sandbox, "burn", 1, calls="POST /v1/customers$")
    fault(sandbox, "burn", 1, calls="POST /v1/checkout/sessions$")
    first = gateway.open_checkout(asked, CUSTOMER)
    assert gateway.open_checkout(asked, CUSTOMER) == first
    things = BUYER.pull(sandbox.url, "payments")["things"]
    assert (things["customer"], things["checkout.session"]) == (1, 1)


def test_a_customer_who_was_deleted_at_stripe_is_not_found(sandbox: Sandbox, gateway: StripeGateway) -> None:
    known = gateway.open_checkout(checkout(), CUSTOMER).customer_id
    with sandbox.shelf.lock:
        sandbox.shelf.get("customer", known)["deleted"] = True
    for email in (None, "a@b.example"):
        with pytest.raises(NotFound) as missing:
            gateway.open_checkout(checkout(), replace(CUSTOMER, id=known, email=email))
        assert missing.value.code == "unknown-customer"


def test_the_open_page_of_a_customer_who_was_deleted_at_stripe_makes_way_for_anothers(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    buy, user = selling(gateway)
    first = buy(user)
    with sandbox.shelf.lock:
        sandbox.shelf.get("customer", first.customer.id or "")["deleted"] = True
    second = buy(user)
    assert second.customer.id not in (None, first.customer.id)
    assert second.checkout.url != first.checkout.url
    assert buy(user) == second


def test_an_address_that_cannot_be_told_is_no_reason_not_to_sell(sandbox: Sandbox, gateway: StripeGateway) -> None:
    fault(sandbox, "error", 9, calls="POST /v1/customers/")
    assert gateway.open_checkout(checkout(), replace(CUSTOMER, email="a@b.example")).url


def test_an_address_that_stripe_does_not_take_is_no_reason_not_to_sell(gateway: StripeGateway) -> None:
    assert gateway.open_checkout(checkout(), replace(CUSTOMER, email="søren@b.example")).url


@pytest.mark.parametrize(
    ("price", "told"),
    [
        ({"active": False}, "is not active"),
        ({"type": "one_time"}, "is paid once"),
        ({"livemode": True}, "is not of test mode"),
        ({"object": "product"}, "There is no price"),
    ],
)
def test_a_price_that_cannot_be_sold_is_told_in_a_sentence(
    sandbox: Sandbox, gateway: StripeGateway, price: dict[str, object], told: str
) -> None:
    assert gateway.examine(PRO_PRICE) == f"{PRO_PRICE} is sold in test mode"
    sandbox.shelf.things[PRO_PRICE] |= price
    with pytest.raises(Unavailable, match=told):
        gateway.examine(PRO_PRICE)


def test_a_key_that_is_not_taken_is_told_in_a_sentence(sandbox: Sandbox) -> None:
    gateway = StripeGateway("sk_test_elsewhere", base_url=sandbox.url)
    with pytest.raises(Unavailable, match="does not take this key"):
        gateway.examine(PRO_PRICE)
    gateway.close()


def test_a_hanging_stripe_is_given_up_within_the_budget(sandbox: Sandbox) -> None:
    fault(sandbox, "hang", 99, seconds=30)

    def tried() -> float:
        gateway, began = StripeGateway(KEY, base_url=sandbox.url, budget=2), monotonic()
        with closing(gateway), pytest.raises(Unavailable):
            gateway.open_checkout(checkout(), CUSTOMER)
        return monotonic() - began

    takes_less_than(3, tried)


def test_deeds_as_one_call_are_given_up_within_one_budget_and_the_next_has_its_own(sandbox: Sandbox) -> None:
    fault(sandbox, "hang", 99, seconds=30)
    gateway = StripeGateway(KEY, base_url=sandbox.url, budget=2)

    def tried() -> float:
        began = monotonic()
        with gateway.as_one_call():
            for _ in range(3):
                with pytest.raises(Unavailable):
                    gateway.subscriptions("cus_1")
        return monotonic() - began

    takes_less_than(3, tried)
    fault(sandbox, "hang", 0)
    with closing(gateway):
        assert gateway.open_checkout(checkout(), CUSTOMER).url


def test_who_buys_has_an_answer_within_one_budget_however_many_deeds_it_takes(sandbox: Sandbox) -> None:
    gateway = StripeGateway(KEY, base_url=sandbox.url, budget=2)
    buy, user = selling(gateway)
    BUYER.press(buy(user).checkout.url or "", "pay")
    fault(sandbox, "slow", 99, seconds=1.5)

    def tried() -> float:
        began = monotonic()
        with pytest.raises(Unavailable):
            buy(user)
        return monotonic() - began

    with closing(gateway):
        takes_less_than(3, tried)


def test_whoever_asks_what_is_asked_already_waits_for_the_same_answer(sandbox: Sandbox, gateway: StripeGateway) -> None:
    fault(sandbox, "slow", 99, seconds=1, calls="POST")
    asked, who = checkout(), replace(CUSTOMER, email="a@b.example")
    assert len(set(at_once(8, lambda _: gateway.open_checkout(asked, who)))) == 1
    assert len(list(sandbox.shelf.all("checkout.session"))) == 1


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nX-Pad: " + b"a" * 999, b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 999]
)
def test_an_answer_that_comes_byte_by_byte_is_given_up_within_the_budget(answer: bytes) -> None:
    def tried() -> float:
        gateway, began = StripeGateway(KEY, base_url=url, budget=1), monotonic()
        with closing(gateway), pytest.raises(Unavailable):
            gateway.subscriptions("cus_1")
        return monotonic() - began

    with dripping(answer) as url:
        takes_less_than(2, tried)


def test_whoever_waits_for_a_connection_has_that_less_time_for_the_answer(sandbox: Sandbox) -> None:
    fault(sandbox, "hang", 999, seconds=30)

    def tried() -> float:
        gateway, began = StripeGateway(KEY, base_url=sandbox.url, budget=1.5), monotonic()

        def asked(_: int) -> float:
            with pytest.raises(Unavailable):
                gateway.subscriptions("cus_1")
            return monotonic() - began

        with closing(gateway):
            return max(at_once(CONNECTIONS + 20, asked))

    takes_less_than(3, tried)


@pytest.mark.parametrize(
    ("environment", "base_url", "proxy", "headers"),
    [
        ({"https_proxy": "proxy.example:3128"}, API, b"proxy.example", []),
        (
            {"all_proxy": "http://a:b%20@proxy.example"},
            API,
            b"proxy.example",
            [(b"Proxy-Authorization", b"Basic YTpiIA==")],
        ),
        ({"https_proxy": "http://proxy.example", "no_proxy": "stripe.com"}, API, None, []),
        ({"http_proxy": "http://proxy.example"}, "http://127.0.0.1:9", None, []),
    ],
)
def test_the_proxy_of_the_environment_leads_to_stripe_and_never_to_a_sandbox(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    base_url: str,
    proxy: bytes | None,
    headers: list[tuple[bytes, bytes]],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(base_url)
    assert (found.url.host, found.headers) == (proxy, headers) if found else proxy is None


@contextmanager
def dripping(answer: bytes) -> Iterator[str]:
    """Somebody who answers whatever is asked ten times a second with one byte more."""
    over = Event()

    class Drip(StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            with suppress(OSError):
                for byte in answer:
                    self.request.sendall(bytes([byte]))
                    if over.wait(0.1):
                        return

    with ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        serving = Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        over.set()
        server.shutdown()
        serving.join()


def test_nobody_listening_is_unavailable() -> None:
    gateway = StripeGateway(KEY, base_url="http://127.0.0.1:9")
    with pytest.raises(Unavailable):
        gateway.subscriptions("cus_1")
    gateway.close()


@pytest.mark.parametrize("wrong", ["key", "price"])
def test_what_an_operator_must_mend_is_told_so(sandbox: Sandbox, wrong: str) -> None:
    gateway = StripeGateway("sk_test_elsewhere" if wrong == "key" else KEY, base_url=sandbox.url)
    with pytest.raises(Unavailable) as away:
        gateway.open_checkout(checkout(price="price_wrong" if wrong == "price" else PRO_PRICE), CUSTOMER)
    assert away.value.code == "payments-misconfigured"
    gateway.close()


def test_no_key_and_no_body_reach_the_log(
    sandbox: Sandbox, gateway: StripeGateway, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    fault(sandbox, "error", 9)
    with pytest.raises(Unavailable) as away:
        gateway.open_checkout(checkout(), CUSTOMER)
    printed = capsys.readouterr()
    said = caplog.text + printed.out + printed.err + repr(away.value.__dict__)
    assert "stripe call failed" in said
    assert KEY not in said
    assert str(USER) not in said
    assert "told to fail" not in said


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://api.stripe.com", "https://api.stripe.com.evil.example"])
def test_a_live_key_goes_to_stripe_only_and_encrypted(key: str, url: str) -> None:
    with pytest.raises(ValueError, match="live key"):
        StripeGateway(key, base_url=url)


def test_more_events_than_a_page_are_all_told_in_order(sandbox: Sandbox, gateway: StripeGateway) -> None:
    session = gateway.open_checkout(checkout(), CUSTOMER)
    BUYER.press(session.url, "pay")
    (subscription,) = gateway.subscriptions(session.customer_id)
    for _ in range(65):
        gateway.cancel(subscription.id, Cancellation.AT_PERIOD_END)
        gateway.cancel(subscription.id, Cancellation.NOT_AT_ALL)
    hints = list(gateway.since(NOW - timedelta(minutes=1)))
    assert len(hints) == 134
    assert hints[0].kind == "customer.subscription.created"
    assert len({hint.event_id for hint in hints}) == 134


@pytest.mark.parametrize("nonsense", [None, {"object": 7}, {"object": {"object": "customer", "id": 7}}])
def test_an_event_that_nobody_can_read_keeps_no_other_from_being_told(
    sandbox: Sandbox, gateway: StripeGateway, nonsense: object
) -> None:
    session = gateway.open_checkout(checkout(), CUSTOMER)
    BUYER.press(session.url, "pay")
    told = [hint.event_id for hint in gateway.since(NOW - timedelta(minutes=1))]
    with sandbox.shelf.lock:
        sandbox.shelf.things[told[1]]["data"] = nonsense
    assert [hint.event_id for hint in gateway.since(NOW - timedelta(minutes=1))] == [told[0], *told[2:]]


@pytest.mark.parametrize("nonsense", [{"created": 10**20}, {"cancel_at": "soon"}, {"items": None}])
def test_a_subscription_that_nobody_can_read_is_told_as_unavailable(
    sandbox: Sandbox, gateway: StripeGateway, nonsense: dict[str, object]
) -> None:
    session = gateway.open_checkout(checkout(), CUSTOMER)
    BUYER.press(session.url, "pay")
    (subscription,) = gateway.subscriptions(session.customer_id)
    with sandbox.shelf.lock:
        sandbox.shelf.things[subscription.id] |= nonsense
    with pytest.raises(Unavailable):
        gateway.subscriptions(session.customer_id)


def test_a_dispute_leads_over_its_charge_to_the_customer(sandbox: Sandbox, gateway: StripeGateway) -> None:
    session = gateway.open_checkout(checkout(), CUSTOMER)
    BUYER.press(session.url, "pay")
    (subscription,) = gateway.subscriptions(session.customer_id)
    BUYER.pull(sandbox.url, "dispute", subscription=subscription.id)
    dispute = next(iter(sandbox.shelf.all("dispute")))
    assert gateway.customer_of(Subject("dispute", dispute["id"])) == session.customer_id


def test_a_date_set_in_the_portal_is_a_planned_cancellation_that_can_be_taken_back(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    session = gateway.open_checkout(checkout(), CUSTOMER)
    BUYER.press(session.url, "pay")
    (subscription,) = gateway.subscriptions(session.customer_id)
    BUYER.press(gateway.portal(session.customer_id, "http://a/"), "cancel", subscription=subscription.id)
    (planned,) = gateway.subscriptions(session.customer_id)
    assert (planned.cancel_at, planned.cancel_at_period_end) == (subscription.period_end, False)
    gateway.cancel(subscription.id, Cancellation.NOT_AT_ALL)
    assert gateway.subscriptions(session.customer_id)[0].ends_at is None
