"""Events end to end: the product as shipped, and a service on loopback that wants to know what happened."""

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic

import httpx
import pytest
from tests.fakes.gemini import Play, blocked_prompt, reply_to
from tests.fakes.gemini.script import Script
from tests.fakes.ports import own_port
from tests.fakes.receiver import SECRETS, Post, Receiver, receiver
from tests.fakes.system import Api, Installation, Process, User, installation

from adapters.local.processes import until

SHORT_LEASE = {"LEASE_SECONDS": "2", "RENEW_SECONDS": "0.5"}


@dataclass(frozen=True)
class House:
    """Servers and an API; workers and the service come and go."""

    site: Installation
    script: Script
    api: Api
    http: httpx.Client
    port: int

    def user(self) -> User:
        return User.sign_up(self.http, self.api.url)

    def question(self, *plays: Play) -> str:
        """One that nobody asked before, with what follows it."""
        return self.script.on(f"{secrets.token_hex(8)}, please", *plays)

    def owes(self, *errors: str) -> bool:
        """This is to be told, and why it was not heard; within a while."""
        query = "SELECT error FROM jobs WHERE kind = 'event.webhook' ORDER BY id"
        return until(lambda: self.site.ask(query) == [(error,) for error in errors], within=60)


@pytest.fixture(scope="module")
def standing() -> Iterator[House]:
    script, port = Script(), own_port()
    listening = {
        "EVENTS_WEBHOOK_URL": f"http://127.0.0.1:{port}/events/?token=only-for-us",
        "EVENTS_WEBHOOK_SECRET": ", ".join(SECRETS),
    }
    with installation(script, **listening) as site, httpx.Client(timeout=60, limits=httpx.Limits()) as http:
        yield House(site, script, site.api(), http, port)


@pytest.fixture
def house(standing: House) -> Iterator[House]:
    """With no worker running, and nothing to be told, before and after."""
    yield standing
    for process in standing.site.processes:
        if process.name == "worker":
            process.close()
    standing.site.ask("DELETE FROM jobs WHERE kind = 'event.webhook' RETURNING id")


@pytest.fixture
def service(house: House) -> Iterator[Receiver]:
    with receiver(house.port) as running:
        yield running


@pytest.fixture
def worker(house: House) -> Process:
    return house.site.worker()


def heard(service: Receiver, type: str, user: str) -> Post:  # noqa: A002
    """The one event of its kind about this user."""
    (post,) = service.wait(lambda post: post.type == type and post.told["data"]["user_id"] == user)
    return post


@pytest.mark.usefixtures("worker")
def test_a_service_hears_of_everything_that_happens_to_a_user_and_of_nothing_that_was_said(
    house: House, service: Receiver
) -> None:
    user = house.user()
    me, room = user.me()["id"], user.room()
    fine, bad = house.question(), house.question(blocked_prompt())

    reply = user.send(room, fine)
    completed = heard(service, "message.completed", me)
    final = user.final(reply)
    assert completed.told["data"] == {
        "user_id": me,
        "chatroom_id": room,
        "message_id": reply["id"],
        "model": final["model"],
        "finish_reason": "stop",
        "usage": final["usage"],
    }

    refused = user.send(room, bad)
    failed = heard(service, "message.failed", me)
    assert failed.told["data"]["message_id"] == refused["id"]
    assert failed.told["data"]["error"] == {"code": "blocked", "retryable": False}

    statuses = [user.post(room, house.question()).status_code for _ in range(8)]
    assert statuses == [202] * 4 + [402] * 4
    reached = heard(service, "limit.reached", me)
    assert reached.told["data"]["limit"] == 5

    assert house.site.run("subscriptions", "grant", me, "--reason", "a friend", "--operator", "ops").returncode == 0
    changed = heard(service, "subscription.changed", me)
    assert (changed.told["data"]["plan"], changed.told["data"]["status"]) == ("pro", "granted")

    assert user.call("DELETE", "/user/me/").status_code == 202
    deleted = heard(service, "account.deleted", me)
    assert deleted.told["data"] == {"user_id": me}

    assert house.owes()
    assert len({post.id for post in service.posts}) == len(service.posts)
    for private in (fine, bad, reply_to(fine), "+9198"):
        assert not any(private.encode() in post.body for post in service.posts)


def test_a_service_that_was_away_and_a_worker_that_was_killed_lose_nothing_and_tell_no_secret(house: House) -> None:
    victim = house.site.worker(**SHORT_LEASE)
    user = house.user()
    reply = user.final(user.send(user.room(), house.question()))
    assert house.owes("ConnectError")
    victim.kill()
    with receiver(house.port) as service:
        house.site.worker()
        (post,) = service.wait(lambda post: post.told["data"]["message_id"] == reply["id"])
        assert house.owes()
    told = house.site.said()
    assert f'"event_id": "{post.id}"' in told
    for secret in (*SECRETS, *(secret.removeprefix("whsec_") for secret in SECRETS), "only-for-us"):
        assert secret not in told


def test_a_worker_killed_while_it_tells_is_replaced_and_the_event_is_the_same(house: House, service: Receiver) -> None:
    victim = house.site.worker(**SHORT_LEASE)
    user = house.user()
    service.answers = [0]
    reply = user.send(user.room(), house.question())
    (first,) = service.wait(lambda post: post.told["data"]["message_id"] == reply["id"])
    victim.kill()
    house.site.worker()
    again, second = service.wait(lambda post: post.id == first.id, times=2)
    assert again == first
    assert (second.id, second.body) == (first.id, first.body)
    assert house.owes()


@pytest.mark.usefixtures("worker")
def test_a_service_that_wants_no_more_is_left_alone_until_the_operator_tries_again(
    house: House, service: Receiver
) -> None:
    user = house.user()
    service.answers = [410]
    user.final(user.send(user.room(), house.question()))
    assert house.owes("answered 410")
    listed = house.site.run("jobs", "list", "--state", "dead", "--json")
    assert [(job["kind"], job["error"]) for job in json.loads(listed.stdout)["items"]] == [
        ("event.webhook", "answered 410")
    ]
    assert len(service.posts) == 1
    assert house.site.run("jobs", "retry", "--all", "--kind", "event.webhook").returncode == 0
    first, second = service.wait(lambda post: True, times=2)
    assert first.id == second.id


def test_a_service_that_hangs_holds_up_no_reply(house: House, service: Receiver) -> None:
    house.site.worker(WORKER_THREADS="4")
    service.answers = [0] * 20
    user = house.site.promote(house.user())
    rooms = [user.room() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda room: user.final(user.send(room, house.question())), rooms))
    service.wait(lambda post: True)
    # The service is given 10 s for each. If it had every thread by now, nothing would happen for so long.
    turned_away = "SELECT count(*) FROM jobs WHERE kind = 'event.webhook' AND attempt > 0 AND leased_until IS NULL"
    assert until(lambda: house.site.ask(turned_away) == [(7,)], within=8)
    began = monotonic()
    assert user.final(user.send(rooms[0], house.question()))["status"] == "complete"
    assert monotonic() - began < 5
