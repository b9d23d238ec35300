"""Workers and servers that are killed, frozen, stopped and replaced: a message is answered all the same, and once."""

import secrets
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import redis
from tests.fakes.gemini import Play, answer, hangs, reply_to
from tests.fakes.gemini.scenes import Scene, Until, spoken
from tests.fakes.gemini.script import Script
from tests.fakes.system import Api, Installation, Json, Process, User, installation

from adapters.local.processes import until

SHORT_LEASE = {"LEASE_SECONDS": "3", "RENEW_SECONDS": "1"}
HALF = "Half of an "


@dataclass(frozen=True)
class House:
    """Servers and an API; workers come and go."""

    site: Installation
    script: Script
    api: Api
    http: httpx.Client

    def user(self) -> User:
        return User.sign_up(self.http, self.api.url)

    def pro(self) -> User:
        return self.site.promote(self.user())

    def question(self, *plays: Play, pause: float = 0.0) -> str:
        """One that nobody asked before, with what follows it."""
        return self.script.on(f"{secrets.token_hex(8)}, {'tell me more, ' * 12}please", *plays, pause=pause)

    def asked(self, text: str) -> int:
        """How often Gemini got the question."""
        return sum(record.text == text for record in self.site.gemini.records)

    def reported(self, text: str) -> int:
        """The tokens of all calls with this question, as far as Gemini has told."""
        return sum(sum(record.usage or ()) for record in self.site.gemini.records if record.text == text)

    def on_record(self, reply: Json) -> int:
        """The tokens in the ledger."""
        query = "SELECT coalesce(sum(prompt_tokens + output_tokens), 0)::int FROM model_calls WHERE job_id = %s"
        return int(self.site.ask(query, reply["id"])[0][0])

    def reaches_gemini(self, text: str) -> None:
        """Returns as soon as a worker asks the question."""
        assert until(lambda: self.asked(text) > 0, within=30)


@pytest.fixture(scope="module")
def standing() -> Iterator[House]:
    script = Script()
    with installation(script) as site, httpx.Client(timeout=60, limits=httpx.Limits()) as http:
        yield House(site, script, site.api(), http)


@pytest.fixture
def house(standing: House) -> Iterator[House]:
    """With no worker running, before and after."""
    yield standing
    for process in standing.site.processes:
        if process.name == "worker":
            process.close()


def once(house: House, user: User, text: str, reply: Json) -> None:
    """The reply is there in the end: once, right, and counted once."""
    final = user.final(reply)
    assert (final["status"], final["content"]) == ("complete", reply_to(text)), final
    said, answered = user.messages(reply["chatroom_id"])
    assert (said["content"], answered) == (text, final)
    assert user.used() == 1


def test_a_worker_killed_in_mid_reply_is_replaced_within_30_seconds_and_a_reader_is_told_to_start_anew(
    house: House,
) -> None:
    victim = house.site.worker(**SHORT_LEASE)
    user, text = house.user(), house.question(hangs(HALF))
    reply = user.send(user.room(), text)
    events = user.events(reply)
    assert next(events) == ("delta", {"text": HALF})
    assert until(lambda: house.on_record(reply) == house.reported(text), within=10)
    house.site.worker(**SHORT_LEASE)
    began = time.monotonic()
    victim.kill()
    names, told = [], ""
    for name, data in events:
        names.append(name)
        told += data.get("text", "")
    assert time.monotonic() - began < 30
    assert (names.count("reset"), names[0], names[-1], told) == (1, "reset", "done", reply_to(text))
    once(house, user, text, reply)
    assert house.on_record(reply) == house.reported(text) > user.final(reply)["usage"]["total_tokens"]


def test_a_worker_that_was_frozen_longer_than_its_lease_stores_nothing_when_it_thaws(house: House) -> None:
    frozen = house.site.worker(**SHORT_LEASE)
    user, text = house.user(), house.question(answer("Too", " late", pause=1.0))
    reply = user.send(user.room(), text)
    house.reaches_gemini(text)
    frozen.send(signal.SIGSTOP)
    house.site.worker(**SHORT_LEASE)
    once(house, user, text, reply)
    frozen.send(signal.SIGCONT)
    frozen.ask_to_stop()
    assert frozen.wait(30) == 0
    once(house, user, text, reply)
    assert house.asked(text) == 2


# --- told to stop -----------------------------------------------------------------------------------------------------


def test_a_worker_told_to_stop_finishes_what_it_has_and_begins_nothing_new(house: House) -> None:
    worker = house.site.worker()
    user, text, other = house.user(), house.question(pause=0.1), house.question()
    reply = user.send(user.room(), text)
    house.reaches_gemini(text)
    worker.ask_to_stop()
    assert until(lambda: "worker stopping" in worker.log.read_text(), within=20)
    later = house.user()
    waiting = later.send(later.room(), other)
    assert worker.wait(30) == 0
    once(house, user, text, reply)
    assert (house.asked(text), house.asked(other), later.read(waiting)["status"]) == (1, 0, "pending")
    house.site.worker()
    once(house, later, other, waiting)


def test_a_worker_told_to_stop_hands_back_what_it_cannot_finish_in_time(house: House) -> None:
    worker = house.site.worker(WORKER_GRACE="0.5")
    user, text = house.user(), house.question(hangs(HALF))
    reply = user.send(user.room(), text)
    assert until(lambda: house.reported(text) > 0, within=30)
    worker.ask_to_stop()
    assert worker.wait(15) == 0
    assert house.site.ask("SELECT leased_until, failures FROM jobs WHERE id = %s", reply["id"]) == [(None, 0)]
    assert house.on_record(reply) == house.reported(text) > 0
    house.site.worker()
    once(house, user, text, reply)


def test_a_worker_told_to_stop_does_not_wait_for_a_call_that_does_not_end(house: House) -> None:
    user, text = house.user(), house.question()
    reply = user.send(user.room(), text)
    with psycopg.connect(house.site.postgres.url) as in_the_way:
        in_the_way.execute("SELECT id FROM messages WHERE id = %s FOR UPDATE", [reply["id"]])
        worker = house.site.worker(WORKER_GRACE="0.5", **SHORT_LEASE)
        taken = "SELECT id FROM jobs WHERE id = %s AND leased_until > now()"
        assert until(lambda: house.site.ask(taken, reply["id"]) != [], within=20)
        worker.ask_to_stop()
        assert worker.wait(10) == 0
    house.site.worker()
    once(house, user, text, reply)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_told_to_stop_while_redis_is_away_ends_in_time(house: House, how: signal.Signals) -> None:
    worker = house.site.worker()
    house.site.valkey.kill()
    try:
        assert until(lambda: "Cannot connect" in worker.log.read_text(), within=20)
        worker.send(how)
        assert worker.wait(15) == 0
    finally:
        house.site.valkey.start()


def test_a_worker_told_to_stop_while_postgres_is_away_ends_in_time_and_loses_nothing(house: House) -> None:
    worker = house.site.worker(WORKER_GRACE="0.5", **SHORT_LEASE)
    user, text = house.user(), house.question(hangs(HALF))
    reply = user.send(user.room(), text)
    house.reaches_gemini(text)
    house.site.postgres.kill()
    try:
        assert until(lambda: "database away" in worker.log.read_text(), within=20)
        worker.ask_to_stop()
        assert worker.wait(15) == 0
    finally:
        house.site.postgres.start()
    house.site.worker()
    once(house, user, text, reply)


def test_a_deploy_loses_and_doubles_nothing(house: House) -> None:
    old = house.site.worker()
    user = house.pro()
    rooms = [user.room() for _ in range(10)]
    texts = [house.question(pause=0.05) for _ in range(40)]

    def send(number: int) -> Json:
        return user.send(rooms[number % 10], texts[number])

    with ThreadPoolExecutor(10) as pool:
        sent = [pool.submit(send, number) for number in range(40)]
        house.reaches_gemini(texts[0])
        house.site.worker()
        old.ask_to_stop()
        replies = [sending.result() for sending in sent]
    assert old.wait(30) == 0
    finals = [user.final(reply) for reply in replies]
    assert [final["content"] for final in finals] == [reply_to(text) for text in texts]
    assert {house.asked(text) for text in texts} == {1}
    assert user.used() == 40


# --- servers that go away ---------------------------------------------------------------------------------------------


def test_a_reply_comes_although_redis_forgot_everything_after_the_message_was_accepted(house: House) -> None:
    user, text = house.user(), house.question()
    reply = user.send(user.room(), text)
    house.site.valkey.kill()
    house.site.valkey.start()
    house.site.worker()
    once(house, user, text, reply)


def test_a_worker_that_cannot_go_on_ends_with_a_failure_so_that_a_supervisor_starts_it_again(house: House) -> None:
    another = urlsplit(house.site.valkey.url)._replace(path="/1").geturl()
    with redis.Redis.from_url(another) as broker:
        broker.set("_kombu.binding.gemini-backend", "not what a broker expects")
    assert house.site.worker(BROKER_URL=another).wait(20) == 1


def test_a_worker_that_starts_while_redis_is_away_works_all_the_same(house: House) -> None:
    user, text = house.user(), house.question()
    reply = user.send(user.room(), text)
    house.site.valkey.kill()
    try:
        worker = house.site.worker()
        once(house, user, text, reply)
        worker.ask_to_stop()
        assert worker.wait(15) == 0
    finally:
        house.site.valkey.start()


def test_while_redis_is_away_messages_are_accepted_and_answered_and_afterwards_all_is_as_before(house: House) -> None:
    worker = house.site.worker()
    user, text = house.user(), house.question()
    room = user.room()
    house.site.valkey.kill()
    try:
        reply = user.send(room, text)
        once(house, user, text, reply)
        assert [name for name, _ in user.events(reply)] == ["delta", "done"]
        assert [item["id"] for item in user.call("GET", "/chatroom/").json()["items"]] == [room]
        assert user.call("GET", "/readyz/").json()["status"] == "degraded"
    finally:
        house.site.valkey.start()
    assert until(lambda: user.call("GET", "/readyz/").json()["status"] == "ready", within=20)

    house.site.promote(user)

    def lively() -> bool:
        """Streams come piece by piece again."""
        return len(list(user.events(user.send(room, house.question(pause=0.02))))) > 5

    assert until(lively, within=30)
    assert not worker.ended


def test_while_postgres_is_away_calls_are_refused_politely_and_afterwards_everything_goes_on_by_itself(
    house: House,
) -> None:
    worker = house.site.worker(**SHORT_LEASE)
    user, text = house.user(), house.question(pause=0.3)
    room = user.room()
    reply = user.send(room, text)
    house.reaches_gemini(text)
    house.site.postgres.kill()
    try:
        for _ in range(3):
            refused = user.post(room, "Is anybody there?")
            assert (refused.status_code, refused.headers["Content-Type"]) == (503, "application/problem+json")
            assert refused.json()["type"] == "/problems/unavailable"
            assert int(refused.headers["Retry-After"]) > 0
        assert user.call("GET", "/readyz/").status_code == 503
        # The lease runs out; the answer is complete, and paid for, before there is a place to store it.
        house.site.gemini.wait(lambda records: any(r.text == text and r.finished for r in records), seconds=20)
    finally:
        house.site.postgres.start()
    assert until(lambda: user.call("GET", f"/chatroom/{room}/").status_code == 200, within=20)
    once(house, user, text, reply)
    assert house.asked(text) == 1
    assert not worker.ended
    assert not house.api.ended


def test_an_outage_longer_than_the_leases_takes_no_reply_from_the_worker_that_makes_it(house: House) -> None:
    workers = [house.site.worker(LEASE_SECONDS="4", RENEW_SECONDS="2") for _ in range(2)]
    over, users = Event(), [house.user() for _ in range(6)]
    slow = Scene("slow", (*spoken(HALF), Until(over), *answer("answer").steps))
    texts = [house.question(slow) for _ in users]
    replies = [user.send(user.room(), text) for user, text in zip(users, texts, strict=True)]
    assert until(lambda: sum(house.asked(text) for text in texts) == 6, within=20)
    held = "SELECT max(leased_until), count(*) FROM jobs WHERE leased_until > now()"
    ((leased_until, _),) = house.site.ask(held)
    house.site.postgres.kill()
    try:
        assert until(lambda: all("database away" in worker.log.read_text() for worker in workers), within=20)
        assert until(lambda: datetime.now(UTC) > leased_until + timedelta(seconds=2), within=20)
    finally:
        house.site.postgres.start()
    # By whoever it is, the living or those who take it for dead.
    assert until(lambda: house.site.ask(held)[0][1] == 6, within=20)
    over.set()
    for user, text, reply in zip(users, texts, replies, strict=True):
        final = user.final(reply)
        assert (final["status"], final["content"], house.asked(text)) == ("complete", f"{HALF}answer", 1)


def test_an_api_killed_under_load_leaves_one_message_to_every_key_that_is_tried_again(house: House) -> None:
    user = house.pro()
    rooms = [user.room() for _ in range(4)]
    api = house.site.api()
    there = user.at(api)

    def insist(number: int) -> httpx.Response:
        accepted: list[httpx.Response] = []

        def try_it() -> bool:
            try:
                response = there.post(rooms[number % 4], f"message {number}", f"key-{number}")
            except httpx.TransportError:
                return False
            accepted.append(response)
            return response.status_code == 202

        assert until(try_it, within=60)
        return accepted[-1]

    with ThreadPoolExecutor(30) as pool:
        insisting = [pool.submit(insist, number) for number in range(300)]
        assert until(lambda: user.used() > 50, within=30)
        api.kill()
        api.start()
        answers = [one.result() for one in insisting]
    stored = [message for room in rooms for message in user.messages(room)]
    assert sorted(message["content"] for message in stored if message["role"] == "user") == sorted(
        f"message {number}" for number in range(300)
    )
    assert {message["id"] for message in stored if message["role"] == "user"} == {
        response.json()["message"]["id"] for response in answers
    }
    assert (len(stored), user.used()) == (600, 300)


# --- the provider refuses us ------------------------------------------------------------------------------------------


def test_a_wrong_key_is_told_to_the_operator_and_to_nobody_else(house: House) -> None:
    key = "AIzaSyAnotherKeyThatMustNeverBeSeenAnywhere"
    worker = house.site.worker(GEMINI_API_KEY=key)
    user, text = house.user(), house.question()
    final = user.final(user.send(user.room(), text))
    assert (final["status"], final["error"]["code"]) == ("failed", "provider_misconfigured")
    assert (house.asked(text), user.used()) == (0, 0)
    told_as_error(worker, final)
    assert key not in str(final) + house.site.said()


def test_an_unknown_model_is_told_to_the_operator(house: House) -> None:
    worker = house.site.worker()
    user = house.user()
    final = user.final(user.send(user.room(model="gemini-unheard-of"), house.question()))
    assert (final["status"], final["error"]["code"]) == ("failed", "provider_misconfigured")
    told_as_error(worker, final)
    assert house.site.gemini.key not in str(final) + house.site.said()


def told_as_error(worker: Process, reply: Json) -> None:
    told = [line for line in worker.lines() if line.get("job_id") == reply["id"] and "code" in line]
    assert [(line["level"], line["code"]) for line in told] == [("error", "provider_misconfigured")], told
