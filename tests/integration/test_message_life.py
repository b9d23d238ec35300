"""The life of a message, end to end: two API processes and a worker as shipped, real servers, Gemini over HTTP."""

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from statistics import median
from threading import Event
from typing import TypeVar

import httpx
import pytest
from tests.crowd import at_once
from tests.fakes.gemini import (
    Play,
    Question,
    Scene,
    Until,
    answer,
    blocked_prompt,
    blocked_reply,
    breaks_off,
    cut_short,
    drips,
    echo,
    empty,
    hangs,
    malformed,
    overloaded,
    reply_to,
    unavailable,
)
from tests.fakes.gemini.script import Script
from tests.fakes.system import Api, Installation, Process, User, installation

from adapters.local.processes import until

T = TypeVar("T")

FALLBACK = "gemini-3.8-pro"
TRIES = 3
# The worker stops within a second; the rest is for a busy machine.
PROMPTLY = 2.5
QUICK = {
    "GEMINI_FALLBACK_MODEL": FALLBACK,
    "GEMINI_FIRST_CHUNK_TIMEOUT": "1.5",
    "GEMINI_CHUNK_TIMEOUT": "1.5",
    "GEMINI_TOTAL_TIMEOUT": "20",
    "GEMINI_ATTEMPTS": str(TRIES),
}


@dataclass(frozen=True)
class House:
    """What stands for all tests of this file."""

    site: Installation
    script: Script
    apis: tuple[Api, Api]
    worker: Process
    http: httpx.Client

    def user(self) -> User:
        return User.sign_up(self.http, self.apis[0].url)

    def pro(self) -> User:
        return self.site.promote(self.user())

    def question(self, *plays: Play, words: str = "tell me more, " * 12, pause: float = 0.0) -> str:
        """One that nobody asked before, with what follows it."""
        return self.script.on(f"{secrets.token_hex(8)}, {words}please", *plays, pause=pause)

    def settled(self, room: str) -> bool:
        """Nothing is promised to the room any more, within a while."""
        return until(lambda: self.site.ask("SELECT id FROM jobs WHERE lane = %s", room) == [], within=60)

    def asked(self, text: str) -> int:
        """How often Gemini got the question."""
        return sum(record.text == text for record in self.site.gemini.records)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    script = Script()
    with installation(script, **QUICK) as site, httpx.Client(timeout=60, limits=httpx.Limits()) as http:
        yield House(site, script, (site.api(), site.api()), site.worker(), http)


def test_a_message_is_answered_and_read_by_waiting_and_by_streaming_at_any_process(house: House) -> None:
    user = house.user()
    text = house.question(pause=0.02)
    reply = user.send(user.room(), text)
    assert reply["status"] == "pending"
    final = user.final(reply)
    assert (final["status"], final["content"], final["error"]) == ("complete", reply_to(text), None)
    assert (final["model"], final["finish_reason"]) == ("gemini-3.8-flash", "stop")
    *deltas, (last, message) = list(user.at(house.apis[1]).events(reply))
    assert {name for name, _ in deltas} == {"delta"}
    assert "".join(data["text"] for _, data in deltas) == reply_to(text)
    assert (last, message) == ("done", final)
    assert house.asked(text) == 1


def test_a_stream_cut_at_every_event_and_resumed_at_the_other_process_joins_to_the_stored_text(house: House) -> None:
    user, text, read = house.user(), f"{secrets.token_hex(8)}, 👩‍👩‍👧 Zoe\u0308 🏳️‍🌈 مرحبا please", Event()
    *said_first, last_words = echo(Question(text, 10), pause=0.05).steps
    house.script.on(text, Scene("waits for its reader", (*said_first, Until(read), last_words)))
    reply = user.send(user.room(), text)
    said, at = "", ""
    ends: list[tuple[str, int]] = []
    while True:
        at, name, data = next(user.at(house.apis[len(ends) % 2]).stream(reply, after=at))
        if name != "delta":
            break
        said += data["text"]
        ends.append((at, len(said)))
        if len(ends) > 3:
            read.set()
    assert (name, data["status"]) == ("done", "complete")
    assert said == data["content"] == reply_to(text)
    assert len(ends) > 3
    for at, characters in ends:  # and the same when it is long over
        *rest, (_, last, _) = user.at(house.apis[1]).stream(reply, after=at)
        assert ("".join(data["text"] for _, _, data in rest), last) == (said[characters:], "done")


@pytest.mark.parametrize("unknown", ["what?", "1:99999", "7:1", "-1:0"])
def test_an_event_that_the_reply_never_had_starts_the_stream_anew_with_one_reset(house: House, unknown: str) -> None:
    user = house.user()
    text = house.question()
    reply = user.send(user.room(), text)
    user.final(reply)
    (_, first, _), *deltas, (_, last, _) = user.stream(reply, after=unknown)
    assert (first, last) == ("reset", "done")
    assert "".join(data["text"] for _, _, data in deltas) == reply_to(text)


def test_messages_of_one_room_are_answered_in_order_with_the_earlier_ones_in_mind(house: House) -> None:
    user = house.user()
    room = user.room()
    texts = [house.question(pause=0.02) for _ in range(3)]
    replies = [user.send(room, text) for text in texts]
    finals = [user.final(reply) for reply in replies]
    assert [final["content"] for final in finals] == [reply_to(text) for text in texts]
    assert sorted(final["completed_at"] for final in finals) == [final["completed_at"] for final in finals]
    last = next(record for record in house.site.gemini.records if record.text == texts[2])
    said = [content["parts"][0]["text"] for content in last.body["contents"]]
    assert said == [texts[0], reply_to(texts[0]), texts[1], reply_to(texts[1]), texts[2]]


def test_the_request_id_is_in_the_workers_lines_about_its_job(house: House) -> None:
    user, asked, deleted = house.user(), secrets.token_hex(8), secrets.token_hex(8)
    room = f"/chatroom/{user.room()}/"
    sent = user.call("POST", f"{room}message/", {"content": house.question()}, **{"X-Request-ID": asked})
    reply = user.final(sent.json()["reply"])
    user.call("DELETE", room, **{"X-Request-ID": deleted})

    def told(id: str) -> list[tuple[object, ...]]:
        lines = [line for line in house.worker.lines() if line.get("request_id") == id and line["event"] == "job"]
        return [(line["kind"], line["attempt"], line["outcome"], line["job_id"]) for line in lines]

    assert until(lambda: ("reply", 1, "done", reply["id"]) in told(asked), within=60)
    assert until(lambda: ("drop_files", 1, "done") in [line[:3] for line in told(deleted)], within=60)
    assert "Task wake" not in house.worker.log.read_text()


@pytest.mark.parametrize(
    "fault",
    [
        overloaded(retry_after="1"),
        overloaded(retry_delay="1s"),
        unavailable(),
        hangs(),
        hangs("Half of an "),
        drips("Half of an "),
        breaks_off("Half of an "),
        cut_short("Half of an "),
        malformed("Half of an "),
        empty(),
    ],
    ids=["429", "429-info", "503", "hang", "hang-between", "drip", "break-off", "cut-short", "malformed", "empty"],
)
def test_a_fault_is_tried_again_and_what_was_said_before_is_reset_and_never_glued(house: House, fault: Play) -> None:
    user = house.user()
    text = house.question(fault, pause=0.02)
    reply = user.send(user.room(), text)
    events = list(user.events(reply))
    assert (events[-1][0], events[-1][1]["content"]) == ("done", reply_to(text))
    told = ""
    for name, data in events[:-1]:
        told = "" if name == "reset" else told + data["text"]
    assert told == reply_to(text)
    names = [name for name, _ in events]
    assert names.count("reset") == ("Half of an " in "".join(d.get("text", "") for _, d in events[:-1]))
    assert house.asked(text) == 2


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (overloaded(), "overloaded"),
        (hangs(), "timeout"),
        (breaks_off("Half of an "), "unreachable"),
        (empty(), "malformed"),
    ],
    ids=["overloaded", "timeout", "unreachable", "malformed"],
)
def test_when_all_tries_failed_the_reply_says_so_and_gives_its_unit_back(house: House, fault: Play, code: str) -> None:
    user = house.user()
    text = house.question(*[fault] * TRIES)
    final = user.final(user.send(user.room(), text))
    assert (final["status"], final["content"]) == ("failed", "")
    assert (final["error"]["code"], final["error"]["retryable"]) == (code, True)
    assert (house.asked(text), user.used()) == (TRIES, 0)


def test_the_fallback_answers_at_once_when_the_model_is_overloaded_and_later_tries_wait_as_long_as_they_are_told(
    house: House,
) -> None:
    user = house.user()
    text = house.question(overloaded(retry_after="1"), overloaded(retry_after="1"))
    final = user.final(user.send(user.room(), text))
    assert (final["status"], final["content"], final["model"]) == ("complete", reply_to(text), FALLBACK)
    first, second, third = (record for record in house.site.gemini.records if record.text == text)
    assert [record.model for record in (first, second, third)] == ["gemini-3.8-flash", FALLBACK, FALLBACK]
    assert third.started - second.started >= 1 > second.started - first.started


@pytest.mark.parametrize(
    "refusal", [blocked_prompt("PROHIBITED_CONTENT"), blocked_reply("Well, ")], ids=["prompt", "reply"]
)
def test_a_blocked_reply_fails_at_once_with_the_reason_and_gives_its_unit_back(house: House, refusal: Play) -> None:
    user = house.user()
    text = house.question(refusal)
    final = user.final(user.send(user.room(), text))
    assert (final["status"], final["content"], final["error"]["code"]) == ("failed", "", "blocked")
    assert final["error"]["retryable"] is False
    assert final["finish_reason"] in ("prohibited_content", "safety")
    assert (house.asked(text), user.used()) == (1, 0)


def test_a_reply_cut_at_the_models_longest_is_complete_and_says_so(house: House) -> None:
    user = house.user()
    final = user.final(user.send(user.room(), house.question(answer("As much as fits", finish="MAX_TOKENS"))))
    assert (final["status"], final["content"], final["finish_reason"]) == ("complete", "As much as fits", "max_tokens")
    assert user.used() == 1


# --- sent once, counted once ------------------------------------------------------------------------------------------


def test_50_equal_requests_at_once_on_two_processes_are_one_message(house: House) -> None:
    user, text = house.user(), house.question()
    room = user.room()
    answers = at_once(50, lambda number: user.at(house.apis[number % 2]).post(room, text, "one-key"))
    assert {response.status_code for response in answers} == {202}
    assert Counter(response.headers.get("Idempotent-Replayed") for response in answers) == {None: 1, "true": 49}
    assert len({response.content for response in answers}) == 1
    reply = user.final(answers[0].json()["reply"])
    assert [message["id"] for message in user.messages(room)] == [answers[0].json()["message"]["id"], reply["id"]]
    assert (user.used(), house.asked(text)) == (1, 1)
    reused = user.post(room, text + "!", "one-key")
    assert (reused.status_code, reused.json()["type"]) == (422, "/problems/idempotency-key-reused")


def test_a_room_is_opened_once_per_key(house: House) -> None:
    user = house.user()
    keyed = {"Idempotency-Key": "one-key"}
    answers = at_once(10, lambda number: user.at(house.apis[number % 2]).call("POST", "/chatroom/", {}, **keyed))
    assert {response.status_code for response in answers} == {201}
    assert len({response.json()["id"] for response in answers}) == 1
    assert len(user.call("GET", "/chatroom/").json()["items"]) == 1


def test_of_200_messages_at_once_on_two_processes_exactly_the_daily_limit_is_accepted(house: House) -> None:
    user = house.user()
    room, text = user.room(), house.question()
    answers = at_once(200, lambda number: user.at(house.apis[number % 2]).post(room, text))
    assert Counter(response.status_code for response in answers) == {202: 5, 402: 195}
    refused = next(response for response in answers if response.status_code == 402)
    assert refused.headers["Content-Type"] == "application/problem+json"
    told, usage = refused.json(), user.usage()
    assert (told["limit"], told["used"], told["resets_at"]) == (5, 5, usage["resets_at"])
    assert told["upgrade_url"] == house.site.settings["PUBLIC_URL"] + "/subscribe/pro/"
    assert (usage["plan"], usage["daily_limit"], usage["used_today"]) == ("basic", 5, 5)
    accepted = [response.json()["reply"] for response in answers if response.status_code == 202]
    assert {user.final(reply)["status"] for reply in accepted} == {"complete"}
    assert (len(user.messages(room)), user.used()) == (10, 5)


def test_the_ledger_has_every_call_as_the_provider_charges_it_with_model_and_plan_also_tries_that_failed(
    house: House,
) -> None:
    user = house.user()
    room, id = user.room(), user.me()["id"]
    as_basic = [
        house.question(),
        house.question(empty(), overloaded()),
        house.question(blocked_prompt()),
        house.question(*[empty()] * TRIES),
    ]
    as_pro = [house.question()]
    finals = [user.final(reply) for reply in [user.send(room, text) for text in as_basic]]
    assert house.settled(room)
    house.site.promote(user)
    finals += [user.final(user.send(room, text)) for text in as_pro]
    assert [final["status"] for final in finals] == ["complete", "complete", "failed", "failed", "complete"]
    assert house.settled(room)
    bill = [
        (record.model, plan, *record.usage)
        for plan, texts in (("basic", as_basic), ("pro", as_pro))
        for record in house.site.gemini.records
        if record.usage and any(text in record.text for text in texts)
    ]
    ledger = house.site.ask("SELECT model, plan, prompt_tokens, output_tokens FROM model_calls WHERE user_id = %s", id)
    assert sorted(ledger) == sorted(bill)
    assert {row[:2] for row in bill} == {
        ("gemini-3.8-flash", "basic"), (FALLBACK, "basic"), ("gemini-3.8-flash", "pro")
    }  # fmt: skip
    assert user.usage()["tokens"]["today"]["total_tokens"] == sum(prompt + output for *_, prompt, output in bill)
    assert all(final["usage"]["total_tokens"] > 0 for final in finals)


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_a_streaming_reply_is_cancelled_within_a_second_and_keeps_its_text_and_its_unit(house: House) -> None:
    user = house.user()
    text = house.question(pause=0.3)
    reply = user.send(user.room(), text)
    events = user.events(reply)
    told = next(events)[1]["text"]
    began = time.monotonic()
    assert user.cancel(reply).status_code == 202
    rest = list(events)
    assert time.monotonic() - began < PROMPTLY
    told += "".join(data["text"] for name, data in rest if name == "delta")
    assert (rest[-1][0], rest[-1][1]["status"], rest[-1][1]["content"]) == ("cancelled", "cancelled", told)
    assert reply_to(text).startswith(told)
    assert len(told) < len(reply_to(text))
    assert user.used() == 1
    assert user.usage()["tokens"]["today"] == rest[-1][1]["usage"]
    again = user.cancel(reply)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/already-final")


def test_a_hanging_reply_is_cancelled_within_a_second_and_gives_its_unit_back(house: House) -> None:
    user = house.user()
    text = house.question(*[hangs()] * TRIES)
    reply = user.send(user.room(), text)
    assert until(lambda: house.asked(text) == 1, within=60)
    began = time.monotonic()
    assert user.cancel(reply).status_code == 202
    final = user.final(reply)
    assert time.monotonic() - began < PROMPTLY
    assert (final["status"], final["content"], user.used()) == ("cancelled", "", 0)
    assert user.cancel({**reply, "id": reply["reply_to"]}).status_code == 404


def test_a_reply_is_cancelled_well_within_a_second(house: House) -> None:
    """By the median of five: a moment in which the machine is busy says nothing."""
    user, took = house.user(), list[float]()
    for _ in range(5):
        text = house.question(*[hangs("Half of an ")] * TRIES)
        reply = user.send(user.room(), text)
        assert next(user.events(reply))[1]["text"]
        began = time.monotonic()
        assert user.cancel(reply).status_code == 202
        assert user.final(reply)["status"] == "cancelled"
        took.append(time.monotonic() - began)
    assert median(took) < 1, took


def test_a_room_deleted_in_mid_reply_stops_the_model_and_leaves_nothing(house: House) -> None:
    user = house.user()
    text = house.question(pause=0.3)
    room = user.room()
    reply = user.send(room, text)
    events = user.events(reply)
    next(events)
    assert user.call("DELETE", f"/chatroom/{room}/").status_code == 204
    began = time.monotonic()
    list(events)
    assert time.monotonic() - began < 3, "the stream ends when the worker has stopped"
    hung_up = house.site.gemini.wait(lambda records: any(r.text == text and r.hung_up for r in records))
    assert sum(record.text == text for record in hung_up) == 1
    assert user.call("GET", f"/chatroom/{room}/message/{reply['id']}/").status_code == 404
    assert house.site.ask("SELECT id FROM jobs WHERE lane = %s", room) == []
    assert house.site.ask("SELECT id FROM messages WHERE chatroom_id = %s", room) == []
    assert until(lambda: user.usage()["tokens"]["today"]["output_tokens"] > 0, within=60), "it was spent all the same"


def test_100_rooms_and_accounts_deleted_at_any_moment_of_a_reply_leave_nothing_behind(house: House) -> None:
    logs = (house.worker, *house.apis)
    before = [len(log.lines()) for log in logs]

    def race(number: int) -> tuple[str, list[str]]:
        user = house.user().at(house.apis[number % 2])
        id, rooms = user.me()["id"], [user.room() for _ in range(5)]
        for place, room in enumerate(rooms):
            reply = user.send(room, house.question(pause=0.02))
            list(islice(user.events(reply), (number + 5 * place) % 20))
            path, status = (f"/chatroom/{room}/", 204) if place < 4 else ("/user/me/", 202)
            assert user.call("DELETE", path).status_code == status
        return id, rooms

    with ThreadPoolExecutor(20) as pool:
        users, rooms = zip(*pool.map(race, range(20)), strict=True)
    ids, lanes = list(users), [room for several in rooms for room in several]
    assert until(lambda: house.site.ask("SELECT id FROM jobs WHERE lane::text = ANY(%s)", lanes) == [], within=60)
    assert until(lambda: house.site.ask("SELECT id FROM users WHERE id::text = ANY(%s)", ids) == [], within=60)
    assert house.site.ask("SELECT id FROM chatrooms WHERE id::text = ANY(%s)", lanes) == []
    assert house.site.ask("SELECT id FROM messages WHERE chatroom_id::text = ANY(%s)", lanes) == []
    assert house.site.ask("SELECT id FROM model_calls WHERE user_id::text = ANY(%s)", ids) == []
    told = [line for log, known in zip(logs, before, strict=True) for line in log.lines()[known:]]
    assert [line for line in told if line["level"] == "error"] == []


def test_an_account_deleted_in_mid_reply_leaves_nothing(house: House) -> None:
    user = house.user()
    room, id = user.room(), user.me()["id"]
    reply = user.send(room, house.question(pause=0.3))
    next(user.events(reply))
    assert user.call("DELETE", "/user/me/").status_code == 202
    assert until(lambda: house.site.ask("SELECT id FROM users WHERE id = %s", id) == [], within=60)
    assert house.site.ask("SELECT id FROM messages WHERE chatroom_id = %s", room) == []
    assert house.site.ask("SELECT id FROM jobs WHERE lane = %s", room) == []
    assert house.site.ask("SELECT model FROM model_calls WHERE user_id = %s", id) == []
