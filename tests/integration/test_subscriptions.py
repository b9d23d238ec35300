"""The whole journey of a subscription, as a user walks it: real processes, unmodified stripe-python, the sandbox."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from tests.fakes.buyer import Buyer
from tests.fakes.estate import Estate, User, estate, eventually

BUYER = Buyer()


@pytest.fixture(scope="module")
def running(
    module_postgres_url: str, module_valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Estate]:
    with estate(tmp_path_factory.mktemp("estate"), module_postgres_url, module_valkey_url) as everything:
        yield everything


@pytest.fixture
def shop(running: Estate) -> Estate:
    return running.anew()


def waits_for(shop: Estate, user: User, **wanted: object) -> dict[str, object]:
    return eventually(lambda: shop.status(user), lambda told: wanted.items() <= told.items())


def test_from_basic_to_pro_and_back(shop: Estate) -> None:
    user = shop.sign_in()
    assert shop.status(user) == {
        "plan": "basic", "status": "none", "active": False, "valid_until": None, "cancel_at_period_end": False,
    }  # fmt: skip
    used_up = [say(shop, user) for _ in range(6)]
    assert used_up == [202] * 5 + [402]

    page = shop.checkout(user)
    assert shop.checkout(user) == page
    assert "no money moves" in BUYER.look(page)[1]
    assert "declined" in BUYER.press(page, "decline")[1]
    assert shop.status(user)["plan"] == "basic"
    status, back = BUYER.press(page, "pay")
    assert status == 303
    assert back.startswith(f"{shop.apis[0]}/payment/success/?session_id=cs_test_")

    assert waits_for(shop, user, plan="pro", status="active")["valid_until"]
    assert say(shop, user) == 202  # the very next message
    refused = shop.call("POST", "/subscribe/pro/", user)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/already-subscribed")
    assert refused.json()["portal_url"].startswith(shop.sandbox.url)

    BUYER.pull(shop.sandbox.url, "payments", fail_next=1)
    BUYER.pull(shop.sandbox.url, "advance", days=31)
    assert waits_for(shop, user, status="past_due")["plan"] == "pro"

    portal = shop.call("POST", "/subscription/portal/", user)
    assert portal.status_code == 201
    (shown,) = shop.at_stripe("billing_portal.session", url=portal.json()["portal_url"])
    assert shown["return_url"] == f"{shop.apis[0]}/payment/return/"
    record = shop.at_stripe("subscription")[0]
    BUYER.press(portal.json()["portal_url"], "pay", subscription=record["id"])
    waits_for(shop, user, status="active", cancel_at_period_end=False)
    BUYER.press(portal.json()["portal_url"], "cancel", subscription=record["id"])
    waits_for(shop, user, status="active", cancel_at_period_end=True, plan="pro")

    BUYER.pull(shop.sandbox.url, "advance", days=31)
    waits_for(shop, user, plan="basic", status="canceled", active=False)
    assert say(shop, user) == 402
    assert len(shop.call("GET", "/chatroom/", user).json()["items"]) == 1
    assert shop.checkout(user) != page


def test_a_user_cancels_over_the_api_and_stays_pro_until_the_end(shop: Estate) -> None:
    user = shop.sign_in()
    nothing = shop.call("POST", "/subscription/cancel/", user)
    assert (nothing.status_code, nothing.json()["type"]) == (409, "/problems/no-subscription")
    BUYER.press(shop.checkout(user), "pay")
    waits_for(shop, user, plan="pro")
    answer = shop.call("POST", "/subscription/cancel/", user)
    assert answer.status_code == 202
    assert (answer.json()["plan"], answer.json()["cancel_at_period_end"]) == ("pro", True)
    assert shop.status(user)["cancel_at_period_end"] is True
    assert "sub_" in shop.call("GET", "/user/me/export/", user).text


def test_a_deleted_account_pays_no_more(shop: Estate) -> None:
    user = shop.sign_in()
    BUYER.press(shop.checkout(user), "pay")
    waits_for(shop, user, plan="pro")
    assert shop.call("DELETE", "/user/me/", user).status_code == 202
    record = shop.at_stripe("subscription")[0]
    eventually(lambda: record["status"], "canceled".__eq__)


def test_the_open_page_of_a_deleted_account_takes_no_money(shop: Estate) -> None:
    user = shop.sign_in()
    page = shop.checkout(user)
    assert shop.call("DELETE", "/user/me/", user).status_code == 202
    session = shop.at_stripe("checkout.session")[0]
    eventually(lambda: session["status"], "expired".__eq__)
    assert BUYER.press(page, "pay")[0] == 410
    assert shop.at_stripe("subscription") == []


@pytest.mark.parametrize("step", ["/v1/customers$", "/v1/checkout/sessions$", "/v1/customers/cus_"])
def test_an_account_that_is_deleted_while_its_page_is_opened_leaves_nothing_at_stripe(shop: Estate, step: str) -> None:
    user = shop.sign_in()
    shop.call("PATCH", "/user/me/", user, json={"email": "ann@b.example"}).raise_for_status()
    user_id = shop.call("GET", "/user/me/", user).json()["id"]
    before = len(shop.sandbox.api.calls)
    BUYER.pull(shop.sandbox.url, "faults", kind="slow", count=1, calls=f"POST {step}")

    def gone(_: object) -> bool:
        with psycopg.connect(shop.environ["DATABASE_URL"]) as connection:
            return not connection.execute("SELECT FROM users WHERE id = %s", (user_id,)).fetchall()

    with ThreadPoolExecutor(1) as pool:
        buying = pool.submit(shop.call, "POST", "/subscribe/pro/", user)
        eventually(lambda: shop.sandbox.api.calls[before:], lambda made: any(re.search(step, call) for call in made))
        assert shop.call("DELETE", "/user/me/", user).status_code == 202
        eventually(lambda: None, gone)
        BUYER.pull(shop.sandbox.url, "faults", count=0)
        assert buying.result().status_code in (401, 404)
    ((session,), (customer,)) = shop.at_stripe("checkout.session"), shop.at_stripe("customer")
    eventually(lambda: (session["status"], customer["email"]), ("expired", None).__eq__)
    with shop.sandbox.shelf.lock:  # somebody pressed "pay" in the very moment before
        paid = shop.sandbox.shop.subscribe(customer["id"], session["sandbox_price"])
        shop.sandbox.shop.collect(paid)
    eventually(lambda: paid["status"], "canceled".__eq__)


def test_a_payment_for_an_account_that_is_gone_is_ended_and_flagged(shop: Estate) -> None:
    user = shop.sign_in()
    shop.checkout(user)
    user_id = shop.call("GET", "/user/me/", user).json()["id"]
    shop.call("DELETE", "/user/me/", user)
    session = shop.at_stripe("checkout.session")[0]
    eventually(lambda: session["status"], "expired".__eq__)
    with shop.sandbox.shelf.lock:  # somebody pressed "pay" in the very moment before
        paid = shop.sandbox.shop.subscribe(session["customer"], session["sandbox_price"])
        shop.sandbox.shop.collect(paid)
    eventually(lambda: paid["status"], "canceled".__eq__)

    def flagged() -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(shop.cli("subscriptions", "list", "--flagged", "--json"))["items"]
        return found

    (told,) = eventually(flagged, bool)
    assert (told["user"], told["flags"]) == (user_id, "late_payment")
    assert paid["id"] in json.loads(shop.cli("subscriptions", "show", user_id, "--json"))["flagged"]
    shop.cli("subscriptions", "sync", user_id, "--clear-flags", "--operator", "ada")
    assert flagged() == []


def test_the_pages_after_checkout_grant_nothing(shop: Estate) -> None:
    user = shop.sign_in()
    shop.checkout(user)
    for session in ("", "?session_id=cs_test_invented"):
        told = shop.call("GET", f"/payment/success/{session}", user, headers={"Accept": "application/json"})
        assert told.status_code == 200
        page = shop.call("GET", f"/payment/success/{session}", headers={"Accept": "text/html"})
        assert "text/html" in page.headers["content-type"]
    assert shop.call("GET", "/payment/cancel/").status_code == 200
    assert shop.status(user)["plan"] == "basic"


@pytest.mark.parametrize("page", ["/payment/success/", "/payment/return/"])
def test_a_lost_webhook_heals_when_the_payer_comes_back(shop: Estate, page: str) -> None:
    user = shop.sign_in()
    BUYER.pull(shop.sandbox.url, "deliveries", mode="drop")
    BUYER.press(shop.checkout(user), "pay")
    assert shop.status(user)["plan"] == "basic"
    assert shop.call("GET", page, user).status_code == 200
    waits_for(shop, user, plan="pro")


def say(shop: Estate, user: User) -> int:
    """Send a message to the user's only room; answers the status."""
    rooms = shop.call("GET", "/chatroom/", user).json()["items"]
    room = rooms[0] if rooms else shop.call("POST", "/chatroom/", user, json={}).json()
    return shop.call("POST", f"/chatroom/{room['id']}/message/", user, json={"content": "hello"}).status_code
