"""An API process that is killed after it did what was asked, and before it said so: nothing is done twice.

Between the process and its servers lie relays. As soon as the deed is seen in the database, or at Stripe, the answer
that tells of it is kept back, and the process is killed. Whoever asked tries again elsewhere, with the same key.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.fakes.gemini import reply_to
from tests.fakes.gemini.scenes import echo
from tests.fakes.relay import relay
from tests.fakes.system import Api, Installation, User, installation

from adapters.local.processes import until
from adapters.local.stripe_sandbox.server import Sandbox
from adapters.local.stripe_sandbox.shelf import PRO_PRICE, Thing

KEY = {"Idempotency-Key": "one-key"}


@dataclass(frozen=True)
class House:
    """Servers, a Stripe, and the API process that lives on."""

    site: Installation
    stripe: Sandbox
    heir: Api
    http: httpx.Client

    def user(self) -> User:
        return User.sign_up(self.http, self.heir.url)

    def at_stripe(self, kind: str, **where: Any) -> list[Thing]:
        """Things of this kind, with these fields."""
        with self.stripe.shelf.lock:
            return list(self.stripe.shelf.all(kind, **where))

    def keys(self, user: str) -> int:
        """How many keys of the user's stand for something."""
        return len(self.site.ask("SELECT key FROM idempotency_keys WHERE user_id = %s", user))

    def cut_short(self, user: User, path: str, body: Any, *, once: Callable[[], object]) -> None:
        """Made at a process of its own, which is killed as soon as this is true, and before it has heard of it."""
        with (
            relay(self.site.postgres.url, once) as database,
            relay(self.stripe.url, once) as stripe,
            ThreadPoolExecutor(1) as pool,
        ):
            victim = self.site.api(DATABASE_URL=database.url, STRIPE_BASE_URL=stripe.url)
            asking = pool.submit(user.at(victim).call, "POST", path, body, **KEY)
            assert until(lambda: database.kept.is_set() or stripe.kept.is_set(), within=60), asking
            assert not asking.done()
            victim.kill()
            with pytest.raises(httpx.TransportError):
                asking.result()
        assert once()


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with (
        Sandbox(port=0, webhook_url="http://127.0.0.1:9/", webhook_secret="whsec_x") as stripe,
        installation(
            echo,
            STRIPE_BASE_URL=stripe.url,
            STRIPE_SECRET_KEY="sk_test_sandbox_me",
            STRIPE_PRO_PRICE_ID=PRO_PRICE,
        ) as site,
        httpx.Client(timeout=60) as http,
    ):
        stripe.deliveries.mode = "drop"
        yield House(site, stripe, site.api(), http)


def is_refused(house: House, user: User, path: str, body: Any) -> None:
    """Another request under the key."""
    reused = user.call("POST", path, body, **KEY)
    assert (reused.status_code, reused.json()["type"]) == (422, "/problems/idempotency-key-reused")


def test_a_message_cut_short_after_its_commit_is_one_message_and_its_reply_comes_once(house: House) -> None:
    user = house.user()
    id, room, said = user.me()["id"], user.room(), {"content": "Did you get that, before somebody pulled the plug?"}
    path = f"/chatroom/{room}/message/"

    def stored() -> list[tuple[str, str]]:
        query = "SELECT role, id::text FROM messages WHERE chatroom_id = %s ORDER BY id"
        return [(role, message) for role, message in house.site.ask(query, room)]

    house.cut_short(user, path, said, once=lambda: stored() or house.keys(id))
    accepted = stored()
    again = user.call("POST", path, said, **KEY)
    assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (202, "true")
    message, reply = again.json()["message"], again.json()["reply"]
    assert [("user", message["id"]), ("model", reply["id"])] == accepted
    is_refused(house, user, path, {"content": "Did you get this?"})

    house.site.worker()
    final = user.final(reply)
    assert (final["status"], final["content"]) == ("complete", reply_to(said["content"]))
    assert user.messages(room) == [message, final]
    assert sum(record.text == said["content"] for record in house.site.gemini.records) == 1
    assert (user.used(), stored()) == (1, accepted)


def test_a_room_cut_short_after_its_commit_is_the_one_that_is_told_in_the_end(house: House) -> None:
    user = house.user()
    id, wanted = user.me()["id"], {"title": "First words"}

    def listed() -> list[str]:
        return [room["id"] for room in user.call("GET", "/chatroom/").json()["items"]]

    def stored() -> list[str]:
        return [room for (room,) in house.site.ask("SELECT id::text FROM chatrooms WHERE user_id = %s", id)]

    assert listed() == []
    house.cut_short(user, "/chatroom/", wanted, once=lambda: stored() or house.keys(id))
    opened = stored()
    again = user.call("POST", "/chatroom/", wanted, **KEY)
    assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (201, "true")
    assert [again.json()["id"]] == listed() == stored() == opened
    is_refused(house, user, "/chatroom/", {"title": "Other words"})


@pytest.mark.parametrize(
    ("when", "replayed"), [("begun", None), ("customer made", None), ("page made", None), ("page stored", "true")]
)
def test_a_checkout_cut_short_at_any_step_is_one_customer_and_one_page_at_stripe(
    house: House, when: str, replayed: str | None
) -> None:
    user = house.user()
    id = user.me()["id"]

    def customers() -> list[Thing]:
        return house.at_stripe("customer", metadata={"user_id": id})

    def pages() -> list[str]:
        return [page["url"] for page in house.at_stripe("checkout.session", client_reference_id=id)]

    def stored() -> list[str | None]:
        return [url for (url,) in house.site.ask("SELECT url FROM billing_checkouts WHERE user_id = %s", id)]

    steps: dict[str, Callable[[], object]] = {
        "begun": stored,
        "customer made": customers,
        "page made": pages,
        "page stored": lambda: any(stored()),
    }
    house.cut_short(user, "/subscribe/pro/", {}, once=steps[when])
    assert [step for step, taken in steps.items() if taken()][-1] == when

    # There is a first answer to be given again as soon as the page is stored, and with it the key.
    again = user.call("POST", "/subscribe/pro/", {}, **KEY)
    assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (201, replayed)
    assert [again.json()["checkout_url"]] == pages() == stored()
    assert len(customers()) == 1
    once_more = user.call("POST", "/subscribe/pro/", {}, **KEY)
    assert once_more.headers["Idempotent-Replayed"] == "true"
    assert (once_more.json(), len(pages())) == (again.json(), 1)
    is_refused(house, user, "/chatroom/", {})
