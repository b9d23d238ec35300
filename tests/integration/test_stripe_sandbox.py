"""The sandbox as whoever tries things out meets it: strict about keys, names and orders, and clear about money."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.fakes.estate import eventually

from adapters.local.stripe_sandbox.server import Sandbox
from adapters.local.stripe_sandbox.shelf import PRO_PRICE

KEY = {"Authorization": "Bearer sk_test_sandbox_me"}
NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(port=0, webhook_url=NOWHERE, webhook_secret="whsec_x") as running:
        running.deliveries.mode = "drop"
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, headers=KEY) as made:
        yield made


def customer(client: httpx.Client) -> str:
    made: str = client.post("/v1/customers", data={"email": "a@b.example"}).json()["id"]
    return made


def checkout(client: httpx.Client, **changes: str) -> httpx.Response:
    asked = {
        "mode": "subscription",
        "customer": customer(client),
        "line_items[0][price]": PRO_PRICE,
        "line_items[0][quantity]": "1",
        "success_url": "https://a.example/",
    }
    return client.post("/v1/checkout/sessions", data={k: v for k, v in (asked | changes).items() if v})


def test_it_answers_on_loopback_and_to_loopbacks_names_only(sandbox: Sandbox) -> None:
    assert sandbox.url.startswith("http://127.0.0.1:")
    for path in ("/", "/sandbox/state", "/v1/customers"):
        assert httpx.get(f"{sandbox.url}{path}", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("key", ["sk_live_1", "sk_test_1", "rk_test_sandbox", "pk_test_sandbox"])
def test_a_key_of_the_real_stripe_never_belongs_here(sandbox: Sandbox, key: str) -> None:
    for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": f"Basic {key}"}, {}):
        assert httpx.get(f"{sandbox.url}/v1/customers", headers=headers).status_code == 401
    assert httpx.get(f"{sandbox.url}/v1/customers", auth=("sk_test_sandbox_me", "")).status_code == 200


def test_every_page_says_that_no_money_moves(client: httpx.Client) -> None:
    page = checkout(client).json()["url"]
    portal = client.post("/v1/billing_portal/sessions", data={"customer": customer(client)}).json()["url"]
    for where in ("/", page, f"{page}/decline", portal, "/nowhere", "/pay/cs_test_never"):
        answer = client.post(where) if where.endswith("decline") else client.get(where)
        assert "no money moves" in answer.text, where


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"customer": "cus_never"}, "customer"),
        ({"line_items[0][price]": "price_never"}, "line_items[0][price]"),
        ({"line_items[0][quantity]": ""}, "line_items[0][quantity]"),
        ({"success_url": "a.example"}, "success_url"),
        ({"expires_at": "1"}, "expires_at"),
        ({"payment_method_types[0]": "card"}, "payment_method_types"),
    ],
)
def test_a_request_that_stripe_would_refuse_is_refused(
    client: httpx.Client, changes: dict[str, str], param: str
) -> None:
    answer = checkout(client, **changes)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_what_is_missing_is_404_by_its_address_and_400_where_it_is_named(client: httpx.Client) -> None:
    assert client.get("/v1/customers/cus_never").status_code == 404
    named = client.get("/v1/subscriptions", params={"customer": "cus_never"})
    assert (named.status_code, named.json()["error"]["code"]) == (400, "resource_missing")


def test_a_deleted_customer_is_a_stub_that_cannot_be_changed(client: httpx.Client) -> None:
    gone = customer(client)
    client.delete(f"/v1/customers/{gone}")
    assert client.get(f"/v1/customers/{gone}").json() == {"id": gone, "object": "customer", "deleted": True}
    assert client.post(f"/v1/customers/{gone}", data={"name": "x"}).status_code == 404


def test_an_idempotency_key_stands_for_its_first_answer(sandbox: Sandbox, client: httpx.Client) -> None:
    key = {"Idempotency-Key": "k"}
    first = client.post("/v1/customers", headers=key, data={"name": "a"})
    again = client.post("/v1/customers", headers=key, data={"name": "a"})
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    other = client.post("/v1/customers", headers=key, data={"name": "b"})
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")
    assert client.post("/v1/customers", headers={"Idempotency-Key": "k" * 256}).status_code == 400


def test_a_key_that_is_under_way_is_a_conflict_worth_retrying(sandbox: Sandbox, client: httpx.Client) -> None:
    key = {"Idempotency-Key": "k"}
    with ThreadPoolExecutor(1) as pool:
        with sandbox.shelf.lock:
            before = len(sandbox.api.calls)
            first = pool.submit(client.post, "/v1/customers", headers=key)
            eventually(lambda: len(sandbox.api.calls), (before + 1).__eq__)
            second = httpx.post(f"{sandbox.url}/v1/customers", headers=KEY | key)
        assert first.result().status_code == 200
    assert (second.status_code, second.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert second.headers["Stripe-Should-Retry"] == "true"


@pytest.mark.parametrize(
    ("lever", "order"),
    [
        ("advance", "[]"),
        ("advance", "{"),
        ("advance", '{"days": "x"}'),
        ("advance", '{"days": -1}'),
        ("advance", '{"days": 1e400}'),
        ("payments", '{"fail_next": true}'),
        ("deliveries", '{"mode": "loud"}'),
        ("faults", '{"kind": "slow", "calls": "("}'),
        ("faults", '{"kind": "rain"}'),
        ("refund", '{"subscription": "sub_never"}'),
        ("send", '{"event": "evt_never"}'),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_a_word(client: httpx.Client, lever: str, order: str) -> None:
    answer = client.post(f"/sandbox/{lever}", content=order, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["message"]


def test_a_page_of_the_wide_web_cannot_pull_a_lever(client: httpx.Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": kind}
        assert client.post("/sandbox/advance", content='{"days": 1}', headers=headers).status_code == 400


def test_what_was_bought_outlives_a_restart(tmp_path: Path) -> None:
    for bought in (False, True):
        with Sandbox(port=0, webhook_url=NOWHERE, webhook_secret="whsec_x", state=tmp_path / "state") as sandbox:
            sandbox.deliveries.mode = "drop"
            assert bool(list(sandbox.shelf.all("subscription", status="active"))) is bought
            with httpx.Client(base_url=sandbox.url, headers=KEY) as client:
                assert bought or client.post(f"{checkout(client).json()['url']}/pay").status_code == 303
