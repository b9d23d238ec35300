"""Everything that may go wrong with a subscription by accident or by intent, as a black box of two API processes."""

import json
import secrets
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from statistics import median
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from tests.crowd import at_once
from tests.fakes.buyer import Buyer
from tests.fakes.estate import SECRET, Estate, User, estate, eventually

from adapters.local.stripe_sandbox.deliveries import signature

T = TypeVar("T")
BUYER = Buyer()
WEBHOOK = "/webhook/stripe/"


@pytest.fixture(scope="module")
def running(
    module_postgres_url: str, module_valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Estate]:
    folder = tmp_path_factory.mktemp("estate")
    with estate(folder, module_postgres_url, module_valkey_url, apis=2) as everything:
        yield everything


@pytest.fixture
def shop(running: Estate) -> Estate:
    return running.anew()


def paid(shop: Estate) -> tuple[User, dict[str, Any]]:
    """A pro user, and the subscription as Stripe has it."""
    user = shop.sign_in()
    before = {thing["id"] for thing in shop.at_stripe("subscription")}
    BUYER.press(shop.checkout(user), "pay")
    plan_becomes(shop, user, "pro")
    shop.quiet()
    return user, next(each for each in shop.at_stripe("subscription") if each["id"] not in before)


def plan_becomes(shop: Estate, user: User, plan: str) -> None:
    eventually(lambda: shop.status(user), lambda told: told["plan"] == plan)


def end(shop: Estate, subscription: dict[str, Any]) -> None:
    """The subscription is over at Stripe."""
    with shop.sandbox.shelf.lock:
        shop.sandbox.shop.end(subscription)


def memory(shop: Estate) -> int:
    """What the first API process takes, in bytes, as it tells itself."""
    told = shop.call("GET", "/metrics").text
    return int(float(told.partition("\nprocess_resident_memory_bytes ")[2].partition("\n")[0]))


def event(about: dict[str, Any], kind: str = "customer.subscription.updated", **more: Any) -> dict[str, Any]:
    return {
        "id": f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "type": kind,
        "created": int(datetime.now(UTC).timestamp()),
        "livemode": False,
        "data": {"object": about},
        **more,
    }


def send(
    shop: Estate, told: object, *, api: int = 0, secret: str = SECRET, header: str | None = None
) -> httpx.Response:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    signed = signature(body, secret) if header is None else header
    headers = {"Stripe-Signature": signed.encode("latin-1"), "Content-Type": b"application/json"}
    return shop.call("POST", WEBHOOK, api=api, content=body, headers=headers)


# --- who may speak ----------------------------------------------------------------------------------------------------


def test_whatever_is_not_stripes_is_400_and_leaves_no_row(shop: Estate) -> None:
    user, subscription = paid(shop)
    before = shop.rows("SELECT count(*) FROM billing_events")
    told = event({**subscription, "status": "active"})
    body = json.dumps(told).encode()
    now = int(datetime.now(UTC).timestamp())
    unsigned = [
        "", "t=1,v1=00", f"t={now},v0={'0' * 64}", signature(body, "whsec_wrong"), "t=x,v1=\xe4",
        signature(body, SECRET, now - 301), signature(body, SECRET, now + 330), "," * 5000,
    ]  # fmt: skip
    for header in unsigned:
        answer = send(shop, body, header=header)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-signature"), header
    for bad in (b"\xff", b"x", b"[]", b"null", b"", b"[" * 100_000, json.dumps(told, indent=1).encode()):
        assert send(shop, bad, header=signature(body, SECRET)).status_code == 400
        assert send(shop, bad).status_code == (200 if bad.startswith(b"{") else 400)
    assert shop.call("POST", WEBHOOK, content=body).status_code == 400
    shop.quiet()
    assert shop.rows("SELECT count(*) FROM billing_events") == before + 1
    assert shop.status(user)["plan"] == "pro"


def test_the_second_secret_is_good_while_secrets_rotate(shop: Estate) -> None:
    assert send(shop, event({"id": "x", "object": "weather"}), secret="whsec_next").status_code == 200


def test_bodies_without_end_are_cut_off_and_kept_nowhere(shop: Estate) -> None:
    assert send(shop, b" " * (1 << 20) + b"{}").status_code == 413
    where = urlsplit(shop.apis[0])

    def pour(_: int) -> bytes:
        with socket.create_connection((where.hostname, where.port), 20) as wire:
            with suppress(OSError):
                wire.sendall(b"POST /webhook/stripe/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(3200):  # 200 MiB
                    wire.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            return wire.recv(100).partition(b"\r\n")[0]

    before = memory(shop)
    assert {answer.split()[1] for answer in at_once(8, pour)} == {b"413"}
    assert memory(shop) - before < 50 << 20


# --- what is believed -------------------------------------------------------------------------------------------------


def test_the_payload_is_never_believed(shop: Estate) -> None:
    user, subscription = paid(shop)
    assert send(shop, event({**subscription, "status": "canceled"}, "customer.subscription.deleted")).status_code == 200
    shop.quiet()
    assert shop.status(user)["plan"] == "pro"
    end(shop, subscription)
    plan_becomes(shop, user, "basic")
    assert send(shop, event({**subscription, "status": "active"})).status_code == 200
    shop.quiet()
    assert shop.status(user)["plan"] == "basic"


def test_backwards_and_doubled_deliveries_change_nothing(shop: Estate) -> None:
    user = shop.sign_in()
    BUYER.pull(shop.sandbox.url, "deliveries", mode="hold")
    BUYER.press(shop.checkout(user), "pay")
    assert shop.status(user)["plan"] == "basic"
    BUYER.pull(shop.sandbox.url, "release", backwards=True)
    plan_becomes(shop, user, "pro")
    shop.quiet()
    BUYER.pull(shop.sandbox.url, "deliveries", mode="duplicate")
    end(shop, shop.at_stripe("subscription")[0])
    plan_becomes(shop, user, "basic")
    shop.quiet()
    assert shop.status(user)["plan"] == "basic"


def test_thin_events_will_do(shop: Estate) -> None:
    BUYER.pull(shop.sandbox.url, "deliveries", form="thin")
    user, subscription = paid(shop)
    BUYER.pull(shop.sandbox.url, "dispute", subscription=subscription["id"])
    end(shop, subscription)
    plan_becomes(shop, user, "basic")


def test_fifty_copies_of_an_event_have_one_effect(shop: Estate) -> None:
    _, subscription = paid(shop)
    calls, done = len(shop.sandbox.api.calls), shop.rows("SELECT count(*) FROM billing_events WHERE state = 'done'")
    told = event(subscription)
    answers = at_once(50, lambda number: send(shop, told, api=number % 2).status_code)
    assert answers == [200] * 50
    shop.quiet()
    assert shop.rows("SELECT count(*) FROM billing_events WHERE state = 'done'") == done + 1
    # A copy that comes while the look is under way, which may fail yet, asks for one more.
    looks = shop.sandbox.api.calls[calls:]
    assert looks in (["GET /v1/subscriptions"], ["GET /v1/subscriptions"] * 2)


def test_a_thousand_events_for_a_customer_need_few_calls(shop: Estate) -> None:
    _, subscription = paid(shop)
    calls = len(shop.sandbox.api.calls)
    began = monotonic()
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda number: send(shop, event(subscription), api=number % 2).status_code, range(1000))
        )
    took = monotonic() - began
    assert answers == [200] * 1000
    shop.quiet()
    made = len(shop.sandbox.api.calls) - calls
    print(f"1,000 events in {took:.1f} s: {made} calls to Stripe")  # noqa: T201
    assert made <= took + 3


def test_strangers_and_the_other_mode_are_ignored(shop: Estate) -> None:
    _, subscription = paid(shop)
    calls = len(shop.sandbox.api.calls)
    ignored = [
        event({"id": "sub_x", "object": "subscription", "customer": "cus_stranger"}),
        event({"id": "sub_y", "object": "subscription", "customer": None, "deleted": True}),
        event(subscription, livemode=True),
        event(subscription, "some.news.of.tomorrow"),
    ]
    for told in ignored:
        assert send(shop, told).status_code == 200
        assert send(shop, told).status_code == 200
    shop.quiet()
    assert shop.rows("SELECT count(*) FROM billing_events WHERE state = 'ignored'") == 4
    assert len(shop.sandbox.api.calls) <= calls + 2


def test_a_subscription_to_something_else_is_not_pro(shop: Estate) -> None:
    user = shop.sign_in()
    shop.checkout(user)
    customer = shop.at_stripe("customer")[0]["id"]
    with shop.sandbox.shelf.lock:
        other = shop.sandbox.shelf.add("price", currency="usd", unit_amount=1, nickname="Stickers")
        shop.sandbox.shop.collect(shop.sandbox.shop.subscribe(customer, other["id"]))
    shop.quiet()
    assert shop.status(user) == {
        "plan": "basic", "status": "none", "active": False, "valid_until": None, "cancel_at_period_end": False,
    }  # fmt: skip


# --- buying -----------------------------------------------------------------------------------------------------------


def test_twenty_clicks_at_once_are_one_customer_and_one_page_also_where_stripe_takes_its_time(shop: Estate) -> None:
    user = shop.sign_in()
    BUYER.pull(shop.sandbox.url, "faults", kind="slow", seconds=1, count=100, calls="POST")
    answers = at_once(20, lambda number: shop.call("POST", "/subscribe/pro/", user, api=number % 2))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["checkout_url"] for answer in answers}) == 1
    assert len(shop.at_stripe("customer")) == 1
    assert len(shop.at_stripe("checkout.session")) == 1


def test_the_same_key_at_once_and_later_is_one_answer(shop: Estate) -> None:
    user = shop.sign_in()
    key = {"Idempotency-Key": "buy-1"}
    answers = at_once(20, lambda n: shop.call("POST", "/subscribe/pro/", user, api=n % 2, headers=key))
    assert [answer.status_code for answer in answers] == [201] * 20
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers].count(None) == 1
    page = answers[0].json()["checkout_url"]
    BUYER.press(page, "pay")
    plan_becomes(shop, user, "pro")
    again = shop.call("POST", "/subscribe/pro/", user, headers=key)
    assert (again.status_code, again.json()["checkout_url"]) == (201, page)
    used = shop.call("POST", "/chatroom/", user, headers=key, json={"title": "another request"})
    assert (used.status_code, used.json()["type"]) == (422, "/problems/idempotency-key-reused")


def test_a_second_paid_subscription_is_flagged_and_not_touched(shop: Estate) -> None:
    user, subscription = paid(shop)
    with shop.sandbox.shelf.lock:
        second = shop.sandbox.shop.subscribe(subscription["customer"], shop.environ["STRIPE_PRO_PRICE_ID"])
        shop.sandbox.shop.collect(second)
    shop.quiet()
    assert shop.status(user)["plan"] == "pro"
    assert shop.rows("SELECT count(*) FROM billing_flags WHERE concern = 'duplicate'") == 1
    assert {each["status"] for each in shop.at_stripe("subscription")} == {"active"}


def test_a_page_that_was_paid_unheard_is_not_shown_again(shop: Estate) -> None:
    user = shop.sign_in()
    BUYER.pull(shop.sandbox.url, "deliveries", mode="drop")
    BUYER.press(shop.checkout(user), "pay")
    assert shop.call("POST", "/subscribe/pro/", user).status_code == 409
    assert shop.status(user)["plan"] == "pro"


def test_a_checkout_that_is_complete_but_not_paid_grants_nothing(shop: Estate) -> None:
    user = shop.sign_in()
    shop.checkout(user)
    session = shop.at_stripe("checkout.session")[0]
    with shop.sandbox.shelf.lock:  # the bank takes its time
        pending = shop.sandbox.shop.subscribe(session["customer"], session["sandbox_price"])
    told = {**session, "status": "complete", "payment_status": "unpaid", "subscription": pending["id"]}
    assert send(shop, event(told, "checkout.session.completed")).status_code == 200
    shop.quiet()
    assert shop.status(user)["plan"] == "basic"
    with shop.sandbox.shelf.lock:
        shop.sandbox.shop.collect(pending)
    plan_becomes(shop, user, "pro")


def test_lost_webhooks_heal_by_themselves(shop: Estate) -> None:
    user = shop.sign_in()
    BUYER.pull(shop.sandbox.url, "deliveries", mode="drop")
    BUYER.press(shop.checkout(user), "pay")
    assert shop.status(user)["plan"] == "basic"
    with psycopg.connect(shop.environ["DATABASE_URL"]) as connection:  # a quarter of an hour later
        due = connection.execute("UPDATE jobs SET due_at = now() WHERE kind = 'billing_reconcile' RETURNING id")
        assert due.rowcount == 1
    plan_becomes(shop, user, "pro")


def test_an_expired_page_makes_way_for_a_new_one(shop: Estate) -> None:
    user = shop.sign_in()
    first = shop.checkout(user)
    BUYER.pull(shop.sandbox.url, "advance", days=2)
    assert shop.checkout(user) != first


@pytest.mark.parametrize(
    "body", [{"price": "price_mine"}, {"success_url": "https://evil.example/"}, {"plan": "pro"}, []]
)
def test_nothing_in_a_request_decides_what_is_bought(shop: Estate, body: object) -> None:
    user = shop.sign_in()
    assert shop.call("POST", "/subscribe/pro/", user, json=body).status_code == 422
    assert shop.at_stripe("checkout.session") == []


def test_nobody_buys_unknown(shop: Estate) -> None:
    for path in ("/subscribe/pro/", "/subscription/cancel/", "/subscription/portal/"):
        assert shop.call("POST", path).status_code == 401
    assert shop.call("GET", "/subscription/status/").status_code == 401


# --- Stripe away ------------------------------------------------------------------------------------------------------


def test_a_hanging_stripe_is_a_503_in_time_and_slows_nothing_else(shop: Estate) -> None:
    user, subscription = paid(shop)
    other = shop.sign_in()
    BUYER.pull(shop.sandbox.url, "faults", kind="hang", seconds=30, count=100)
    with ThreadPoolExecutor(10) as pool:
        began = monotonic()
        buying = [pool.submit(shop.call, "POST", "/subscribe/pro/", other) for _ in range(10)]
        took = []
        for _ in range(5):
            asked = monotonic()
            assert send(shop, event(subscription)).status_code == 200
            assert shop.status(user)["plan"] == "pro"
            took.append(monotonic() - asked)
        assert median(took) < 1, took
        refused = [each.result() for each in buying]
        assert monotonic() - began < 13
    assert {answer.status_code for answer in refused} == {503}
    assert refused[0].headers["Retry-After"].isdecimal()
    BUYER.pull(shop.sandbox.url, "faults", count=0)
    assert shop.checkout(other)


def test_looks_at_a_hanging_stripe_keep_no_reply_waiting(shop: Estate) -> None:
    """More of them than the worker has threads."""
    user, customers = shop.sign_in(), [f"cus_{secrets.token_hex(8)}" for _ in range(20)]
    with psycopg.connect(shop.environ["DATABASE_URL"]) as connection:
        known = "INSERT INTO billing_customers (user_id, customer_id, created_at) VALUES (gen_random_uuid(), %s, now())"
        connection.cursor().executemany(known, [(customer,) for customer in customers])
    BUYER.pull(shop.sandbox.url, "faults", kind="hang", seconds=30, count=100)
    for customer in customers:
        about = {"id": f"sub_{customer}", "object": "subscription", "customer": customer}
        assert send(shop, event(about)).status_code == 200
    room = shop.call("POST", "/chatroom/", user, json={}).json()["id"]
    asked = monotonic()
    sent = shop.call("POST", f"/chatroom/{room}/message/", user, json={"content": "Tea?"}).json()
    reply = shop.call("GET", f"/chatroom/{room}/message/{sent['reply']['id']}/?wait=20", user).json()
    assert (reply["status"], monotonic() - asked < 5) == ("complete", True)


def test_a_sync_overtaken_by_a_cancellation_does_not_win(shop: Estate) -> None:
    user, subscription = paid(shop)
    BUYER.pull(shop.sandbox.url, "faults", kind="stale", seconds=2, count=1, calls="GET /v1/subscriptions")
    calls = len(shop.sandbox.api.calls)
    send(shop, event(subscription))
    eventually(lambda: shop.sandbox.api.calls[calls:], lambda made: "GET /v1/subscriptions" in made)
    end(shop, subscription)
    plan_becomes(shop, user, "basic")
    shop.quiet()
    assert shop.status(user)["plan"] == "basic"


def test_a_failed_look_is_taken_again(shop: Estate) -> None:
    user = shop.sign_in()
    page = shop.checkout(user)
    BUYER.pull(shop.sandbox.url, "faults", kind="error", count=2, calls="GET /v1/subscriptions")
    BUYER.press(page, "pay")
    plan_becomes(shop, user, "pro")


# --- the operator -----------------------------------------------------------------------------------------------------


def test_refunds_and_disputes_are_flagged(shop: Estate) -> None:
    user, subscription = paid(shop)
    for lever in ("refund", "dispute"):
        BUYER.pull(shop.sandbox.url, lever, subscription=subscription["id"])
    shop.quiet()
    assert shop.rows("SELECT count(*) FROM billing_flags WHERE concern IN ('refund', 'dispute')") == 2
    assert shop.status(user)["plan"] == "pro"
