"""`gemini-backend subscriptions`, as an operator uses it, beside a running product."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from click.testing import CliRunner
from tests.fakes.buyer import Buyer
from tests.fakes.estate import Estate, User, estate, eventually

from adapters.cli.main import cli
from adapters.cli.subscriptions import subscriptions
from adapters.stripe.gateway import StripeGateway
from adapters.wiring.backend import Backend

BUYER = Buyer()


@pytest.fixture(scope="module")
def running(
    module_postgres_url: str, module_valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Estate]:
    with estate(tmp_path_factory.mktemp("estate"), module_postgres_url, module_valkey_url) as everything:
        yield everything


@pytest.fixture
def shop(running: Estate) -> Estate:
    return running.calm()


class Console:
    """`gemini-backend subscriptions`, in this process, so that what it is made of is made once."""

    def __init__(self, shop: Estate) -> None:
        self._backend = Backend()
        self._environ = shop.environ

    def run(self, *arguments: str, expect: int = 0) -> str:
        outcome = CliRunner(env=self._environ).invoke(cli, arguments, obj=self._backend)
        assert outcome.exit_code == expect, outcome.output
        return outcome.stdout

    def said(self, *arguments: str) -> Any:
        return json.loads(self.run("subscriptions", *arguments, "--json"))

    def close(self) -> None:
        container = self._backend.container
        container.database().dispose()
        if isinstance(gateway := container.billing().gateway, StripeGateway):
            gateway.close()


@pytest.fixture(scope="module")
def console(running: Estate) -> Iterator[Console]:
    made = Console(running)
    yield made
    made.close()


def stored(shop: Estate) -> list[object]:
    """Everything that billing keeps."""
    tables = ("billing_customers", "subscriptions", "billing_events", "billing_flags", "billing_cursor", "audit")
    with psycopg.connect(shop.environ["DATABASE_URL"]) as connection:
        return [connection.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall() for table in tables]


def paid(shop: Estate) -> User:
    user = shop.sign_in()
    BUYER.press(shop.checkout(user), "pay")
    eventually(lambda: shop.status(user), lambda told: told["plan"] == "pro")
    shop.quiet()
    return user


def test_a_grant_is_given_shown_and_taken_back(shop: Estate, console: Console) -> None:
    user = shop.sign_in()
    would = console.said("grant", user.number, "--reason", "friend", "--dry-run")
    assert (would["plan"], would["becomes"]["plan"], would["becomes"]["status"]) == ("basic", "pro", "granted")
    assert shop.status(user)["plan"] == "basic"
    given = console.said("grant", user.number, "--reason", "friend", "--days", "7", "--operator", "ada")
    assert (given["plan"], given["status"]) == ("pro", "granted")
    assert shop.status(user)["plan"] == "pro"
    assert "by ada" in console.said("show", user.number)["grants"]
    assert console.said("revoke", user.number, "--dry-run")["becomes"]["plan"] == "basic"
    assert shop.status(user)["plan"] == "pro"
    assert console.said("revoke", user.number)["plan"] == "basic"
    assert shop.status(user)["plan"] == "basic"
    assert "ada" in console.run("audit", "list", "--json")


def test_a_cancellation_is_planned_taken_back_and_made_final(shop: Estate, console: Console) -> None:
    user = paid(shop)
    would = console.said("cancel", user.number, "--dry-run")
    assert (would["cancel_at_period_end"], would["becomes"]["cancel_at_period_end"]) == (False, True)
    assert console.said("cancel", user.number)["cancel_at_period_end"] is True
    would = console.said("resume", user.number, "--dry-run")
    assert (would["cancel_at_period_end"], would["becomes"]["cancel_at_period_end"]) == (True, False)
    assert console.said("resume", user.number)["cancel_at_period_end"] is False
    assert console.said("cancel", user.number, "--now", "--dry-run")["becomes"]["plan"] == "basic"
    assert shop.status(user)["plan"] == "pro"
    assert console.said("cancel", user.number, "--now")["plan"] == "basic"
    assert shop.status(user)["plan"] == "basic"


def test_lost_webhooks_are_healed_by_hand(shop: Estate, console: Console) -> None:
    one, other = shop.sign_in(), shop.sign_in()
    BUYER.pull(shop.sandbox.url, "deliveries", mode="drop")
    for user in (one, other):
        BUYER.press(shop.checkout(user), "pay")
    before = stored(shop)
    would = console.said("sync", one.number, "--dry-run")
    assert (would["plan"], would["becomes"]["plan"]) == ("basic", "pro")
    would = console.said("sync", "--all", "--dry-run")
    unheard = {console.said("show", user.number)["user"] for user in (one, other)}
    assert unheard <= {change["user"] for change in would["changes"]}
    assert {change["to"][0]["status"] for change in would["changes"] if change["user"] in unheard} == {"active"}
    assert "look at every customer" in console.run("subscriptions", "sync", "--dry-run")
    assert stored(shop) == before
    assert console.said("sync", one.number)["plan"] == "pro"
    found = console.said("sync")
    assert (found["events"] > 0, found["failed"]) == (True, 0)
    assert shop.status(other)["plan"] == "pro"
    assert console.said("sync", "--all")["looked_at"] >= 2
    assert console.said("sync", "--all", "--dry-run")["changes"] == []


def test_what_wants_an_eye_is_found_and_cleared(shop: Estate, console: Console) -> None:
    user = paid(shop)
    user_id = console.said("show", user.number)["user"]
    (active,) = (each for each in console.said("list", "--status", "active")["items"] if each["user"] == user_id)
    BUYER.pull(shop.sandbox.url, "refund", subscription=active["subscriptions"].partition(":")[0])
    shop.quiet()
    flagged = console.said("list", "--flagged")["items"]
    assert [(each["user"], each["flags"]) for each in flagged] == [(user_id, "refund")]
    assert console.said("list", "--duplicates")["items"] == []
    assert console.said("sync", user.number, "--clear-flags", "--dry-run")["flags"] == 1
    assert console.said("list", "--flagged")["items"] == flagged
    assert console.said("sync", user.number, "--clear-flags", "--operator", "ada")["cleared"] == 1
    told = console.run("audit", "list", "--user", user_id, "--event", "subscription.flags_cleared", "--json")
    cleared = json.loads(told)["items"]
    assert [noted["operator"] for noted in cleared] == ["ada"]
    assert console.said("list", "--flagged")["items"] == []


def test_what_the_clearing_look_finds_stays_flagged(shop: Estate, console: Console) -> None:
    user = paid(shop)
    customer = console.said("show", user.number)["customer"]
    BUYER.pull(shop.sandbox.url, "deliveries", mode="drop")
    with shop.sandbox.shelf.lock:
        shop.sandbox.shop.advance(seconds=1)  # of two bought in one second, either may be told as the second
        second = shop.sandbox.shop.subscribe(customer, shop.environ["STRIPE_PRO_PRICE_ID"])
        shop.sandbox.shop.collect(second)
    assert console.said("sync", user.number, "--clear-flags")["cleared"] == 0
    assert console.said("show", user.number)["flagged"] == f"duplicate {second['id']}"
    console.said("cancel", user.number, "--now")
    assert console.said("show", user.number)["flagged"] is None


def test_events_are_listed_page_by_page(shop: Estate, console: Console) -> None:
    user = paid(shop)
    first = console.said("events", user.number, "--limit", "2")
    rest = console.said("events", user.number, "--after", first["next"])
    ids = [event["id"] for event in (*first["items"], *rest["items"])]
    assert len(ids) == len(set(ids)) >= 4


def test_a_customer_of_old_is_linked(shop: Estate, console: Console) -> None:
    user = shop.sign_in()
    with shop.sandbox.shelf.lock:
        old = shop.sandbox.shelf.add("customer", metadata={}, email=None)
        shop.sandbox.shop.collect(shop.sandbox.shop.subscribe(old["id"], shop.environ["STRIPE_PRO_PRICE_ID"]))
    would = console.said("link", user.number, old["id"], "--dry-run")
    assert (would["plan"], would["becomes"]["plan"]) == ("basic", "pro")
    assert console.said("show", user.number)["customer"] is None
    assert console.said("link", user.number, old["id"])["plan"] == "pro"
    console.run("subscriptions", "link", user.number, "cus_never", expect=1)
    other = shop.sign_in()
    for dry in (["--dry-run"], []):
        console.run("subscriptions", "link", other.number, old["id"], *dry, expect=1)


def test_standard_output_is_for_what_was_asked(shop: Estate) -> None:
    user = shop.sign_in()
    shop.checkout(user)
    BUYER.pull(shop.sandbox.url, "faults", kind="error", count=2, calls="/v1/subscriptions")
    done = shop.run("subscriptions", "sync", user.number, "--json")
    assert json.loads(done.stdout)["plan"] == "basic"
    assert done.stderr.count("stripe call failed") == 2


def test_wrong_use_and_unknown_users_are_told_by_the_exit_code(shop: Estate, console: Console) -> None:
    console.run("subscriptions", "show", "+12025550999", expect=1)
    console.run("subscriptions", "grant", "+12025550999", expect=2)
    console.run("subscriptions", "sync", "--clear-flags", expect=2)
    console.run("subscriptions", "approve", expect=1)
    console.run("subscriptions", "cancel", shop.sign_in().number, "--dry-run", expect=1)


def test_every_command_that_writes_can_be_rehearsed_and_every_command_speaks_json() -> None:
    for name, command in subscriptions.commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options
        assert ("--dry-run" in options) == ("--operator" in options) == (name not in ("list", "show", "events"))


def test_without_a_vendor_the_operator_approves(open_folder: Path, postgres_url: str, valkey_url: str) -> None:
    with estate(open_folder, postgres_url, valkey_url, PAYMENTS="manual") as shop:
        console = Console(shop)
        user = shop.sign_in()
        page = shop.checkout(user)
        assert "/payment/success/" in page
        for accept, told in (("application/json", '"payment":"awaiting_approval"'), ("text/html", "Awaiting approval")):
            shown = httpx.get(page, headers={"Accept": accept}).text
            assert told in shown
            assert "Thank you" not in shown
        (waiting,) = console.said("approve")["items"]
        assert console.said("approve", waiting["session"], "--dry-run")["becomes"]["plan"] == "pro"
        assert len(console.said("approve")["items"]) == 1
        assert console.said("approve", waiting["session"])["plan"] == "pro"
        assert shop.status(user)["plan"] == "pro"
        assert shop.call("POST", "/subscription/portal/", user).json()["type"] == "/problems/no-portal"
        assert shop.call("POST", "/subscription/cancel/", user).json()["cancel_at_period_end"] is True
        assert shop.call("POST", "/webhook/stripe/", content=b"{}").status_code == 503
        assert console.said("cancel", user.number, "--now")["plan"] == "basic"
        for rehearsed in ([], ["--dry-run"]):
            console.run("subscriptions", "approve", waiting["session"], *rehearsed, expect=1)
        console.close()
