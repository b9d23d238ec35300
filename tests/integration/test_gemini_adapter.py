"""google-genai behind the adapter, over real HTTP: every fault, stops, many streams, and the key that must not show."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from traceback import TracebackException
from typing import Any

import pytest
from tests.fakes import gemini
from tests.fakes.gemini import FakeGemini, Refusal, Scene, answer, chunk, event
from tests.timing import takes_less_than

from adapters.gemini.client import GeminiClient
from gemini_core.model.attachments import File
from gemini_core.model.chat import Role, Usage
from gemini_core.model.replies import ModelFailure, Piece, Prompt, Timeouts, Turn

MODEL = "gemini-3.8-flash"
PATIENT = Timeouts(first=5, between=5, total=10)
HASTY = Timeouts(first=0.25, between=0.25, total=0.6)


def ask(text: str = "Hello", *, model: str = MODEL) -> Prompt:
    return Prompt(model, "", (Turn(Role.USER, text),))


def go_on() -> bool:
    return False


def reply(client: GeminiClient, prompt: Prompt | None = None, timeouts: Timeouts = PATIENT) -> list[Piece]:
    return list(client.stream(prompt or ask(), timeouts=timeouts, stopped=go_on))


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def failure_of(client: GeminiClient, prompt: Prompt | None = None, timeouts: Timeouts = PATIENT) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        reply(client, prompt, timeouts)
    return caught.value


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeGemini]:
    with FakeGemini() as fake:
        yield fake


@pytest.fixture(scope="module")
def client(provider: FakeGemini) -> Iterator[GeminiClient]:
    """One for all tests, as there is one for all calls of a process: no fault may spoil it for the next."""
    with closing(GeminiClient(provider.key, base_url=provider.url, api_version="v1")) as client:
        yield client


@pytest.fixture
def fake(provider: FakeGemini) -> FakeGemini:
    provider.forget()
    return provider


# What is sent


def test_the_prompt_arrives_whole_and_nothing_else_is_asked_for(fake: FakeGemini, client: GeminiClient) -> None:
    turns = (
        Turn(Role.USER, "Hi"),
        Turn(Role.MODEL, "Hello!"),
        Turn(Role.USER, "What is this?", (File("image/png", b"\xff\xfe\xfd"),)),
    )
    reply(client, Prompt(MODEL, "Be brief.", turns))
    (record,) = fake.records
    body = record.body
    assert record.headers["x-goog-api-key"] == fake.key
    assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]
    picture, words = body["contents"][2]["parts"]
    assert urlsafe_b64decode(picture["inlineData"]["data"]) == b"\xff\xfe\xfd"
    assert words == {"text": "What is this?"}
    assert body.get("generationConfig", {}) == {}
    assert body.keys() <= {"systemInstruction", "contents", "generationConfig"}
    assert "x-server-timeout" not in record.headers


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_the_api_version_is_configuration(fake: FakeGemini, version: str) -> None:
    with closing(GeminiClient(fake.key, base_url=fake.url, api_version=version)) as client:
        reply(client)
    assert [record.version for record in fake.records] == [version]


# What comes back


def test_thoughts_are_billed_and_not_shown(fake: FakeGemini, client: GeminiClient) -> None:
    thought = chunk("Hm, let me see.", thought=True)
    fake.play(Scene("thinking", (thought, chunk("Four"), chunk(".", finish="STOP", usage=(10, 9)))))
    pieces = reply(client)
    assert text_of(pieces) == "Four."
    assert pieces[-1].usage == Usage(prompt_tokens=10, output_tokens=9)


def test_usage_that_comes_after_the_finish_reason_is_counted(fake: FakeGemini, client: GeminiClient) -> None:
    late = gemini.Send(event({"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4}}))
    fake.play(Scene("late usage", (chunk("Four.", finish="STOP"), late)))
    assert reply(client)[-1] == Piece(usage=Usage(3, 4), finish_reason="stop", model=MODEL)


FIGURES: dict[str, tuple[list[object], Usage | None]] = {
    "nothing": ([{"promptTokenCount": 10, "candidatesTokenCount": 50}, {}], Usage(10, 50)),
    "a total alone": ([{"promptTokenCount": 10, "candidatesTokenCount": 50}, {"totalTokenCount": 60}], Usage(10, 50)),
    "no prompt": ([{"promptTokenCount": 10}, {"promptTokenCount": None, "candidatesTokenCount": 4}], Usage(10, 4)),
    "no thoughts": ([{"promptTokenCount": 10, "thoughtsTokenCount": 7}, {"candidatesTokenCount": 5}], Usage(10, 12)),
    "thoughts alone": ([{"candidatesTokenCount": 5}, {"thoughtsTokenCount": 7}], Usage(0, 12)),
    "less": ([{"promptTokenCount": 10, "candidatesTokenCount": 50}, {"candidatesTokenCount": 0}], Usage(10, 0)),
    "never anything": ([{}, {"totalTokenCount": 60}], None),
}


@pytest.mark.parametrize(("told", "usage"), FIGURES.values(), ids=FIGURES)
def test_a_figure_holds_until_another_is_told(
    fake: FakeGemini, client: GeminiClient, told: list[object], usage: Usage | None
) -> None:
    first, last = told
    begun, ended = chunk("Hi", usageMetadata=first), chunk("!", finish="STOP", usageMetadata=last)
    fake.play(Scene("figures", (begun, ended)))
    assert reply(client)[-1].usage == usage


def test_whoever_the_provider_says_is_answering_is_told(fake: FakeGemini, client: GeminiClient) -> None:
    begun = chunk("Hi", modelVersion=f"{MODEL}-002")
    fake.play(Scene("another version", (begun, chunk("!", finish="STOP", usage=(3, 9), modelVersion=f"{MODEL}-002"))))
    assert {piece.model for piece in reply(client)} == {f"{MODEL}-002"}
    fake.play(Scene("no version", (chunk("Hi", finish="STOP", usage=(3, 9), modelVersion=None),)))
    assert {piece.model for piece in reply(client)} == {""}


def test_a_stream_left_open_after_its_finish_reason_does_not_hold_the_reply_up(
    fake: FakeGemini, client: GeminiClient
) -> None:
    fake.play(Scene("left open", (chunk("Four.", finish="STOP", usage=(3, 9)), gemini.Hang())))
    assert reply(client, timeouts=Timeouts(1, 1, 2))[-1].finish_reason == "stop"


def test_a_reply_that_reached_its_length_is_complete_and_says_so(fake: FakeGemini, client: GeminiClient) -> None:
    fake.play(answer("A long st", finish="MAX_TOKENS"))
    pieces = reply(client)
    assert text_of(pieces) == "A long st"
    assert pieces[-1].finish_reason == "max_tokens"


def test_heartbeats_in_the_stream_do_no_harm(fake: FakeGemini, client: GeminiClient) -> None:
    beats = [gemini.Send(part) for part in (b": keep-", b"alive\n\n", b"\r\n", b": {\n")]
    fake.play(Scene("heartbeats", (*beats, chunk("One "), *beats, chunk("two: 2", finish="STOP"), beats[-1])))
    assert text_of(reply(client)) == "One two: 2"


SPELLINGS = {
    "no space": lambda data: data.replace(b"data: ", b"data:"),
    "other fields": lambda data: b"event: message\nid: 7\nretry:500\n" + data,
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
}


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_an_event_stream_may_be_spelled_as_the_standard_allows(
    fake: FakeGemini, client: GeminiClient, spelled: Callable[[bytes], bytes]
) -> None:
    first, *more = answer("One ", "two").steps
    assert isinstance(first, gemini.Send)
    fake.play(Scene("spelled", (gemini.Send(spelled(first.data)), *more)))
    assert text_of(reply(client)) == "One two"


HARD_TO_READ = {"heartbeats": lambda data: b": keep-alive\n\n" + data, **SPELLINGS}


@pytest.mark.parametrize("spelled", HARD_TO_READ.values(), ids=HARD_TO_READ)
def test_no_compression_is_asked_for_and_one_that_comes_all_the_same_is_undone(
    fake: FakeGemini, client: GeminiClient, spelled: Callable[[bytes], bytes]
) -> None:
    gzip = zlib.compressobj(wbits=31)
    first, *more = [step.data for step in answer("One ", "two").steps if isinstance(step, gemini.Send)]
    parts = [gzip.compress(data) + gzip.flush(zlib.Z_SYNC_FLUSH) for data in (spelled(first), *more)]
    steps = tuple(gemini.Send(part) for part in (*parts, gzip.flush()))
    fake.play(Scene("compressed", steps, {"Content-Encoding": "gzip"}))
    assert text_of(reply(client)) == "One two"
    assert [record.headers["accept-encoding"] for record in fake.records] == ["identity"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=repr)
def test_lines_may_end_as_the_standard_allows_wherever_they_are_cut(
    fake: FakeGemini, client: GeminiClient, end: str
) -> None:
    said = b"".join(step.data for step in answer("One ", "two").steps if isinstance(step, gemini.Send))
    stream = said.replace(b"\r\n", end.encode())
    fake.play(Scene("cut", tuple(gemini.Send(bytes([byte])) for byte in stream)))
    assert text_of(reply(client)) == "One two"


def test_nonsense_for_a_name_or_a_figure_comes_as_something_that_can_be_kept(
    fake: FakeGemini, client: GeminiClient
) -> None:
    figures = {"promptTokenCount": 3 * 10**9, "candidatesTokenCount": -5}
    body = {
        "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
        "modelVersion": "flash\0\ud800" + "x" * 500,
        "usageMetadata": figures,
    }
    fake.play(Scene("nonsense", (gemini.Send(b"data: " + json.dumps(body).encode() + b"\n\n"),)))
    last = reply(client)[-1]
    assert last.usage == Usage(2**31 - 1, 0)
    assert last.model == "flash" + "x" * 195


# Faults: what they are called, whether asking again may help, what was billed


OVERLOADS = [gemini.overloaded(), *(gemini.unavailable(status) for status in (500, 502, 503, 504, 408))]
OURS = [Refusal(str(status), status, "NO", "Not like that.") for status in (401, 402, 403, 404)]
FAULTS: list[tuple[gemini.Play, str]] = [
    *((play, "overloaded") for play in OVERLOADS),
    *((play, "provider_misconfigured") for play in OURS),
    (Refusal("where", 400, "FAILED_PRECONDITION", "User location is not supported."), "provider_misconfigured"),
    (Refusal("away", 302, "", "", headers={"Location": "/elsewhere"}), "provider_misconfigured"),
    (Refusal("long", 400, "INVALID_ARGUMENT", "The input token count exceeds the maximum."), "rejected"),
    (Refusal("large", 413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."), "rejected"),
    (gemini.breaks_off(), "unreachable"),
    (gemini.breaks_off("Half a "), "unreachable"),
    (gemini.cut_short("Half a "), "unreachable"),
    (gemini.cut_short(), "malformed"),
    (gemini.malformed(), "malformed"),
    (gemini.malformed("Half a "), "malformed"),
    (Scene("no candidate", (gemini.Send(event({"candidates": [], "modelVersion": "x"})),)), "malformed"),
    (Scene("no object", (gemini.Send(event([1, "two"])),)), "malformed"),
    (Scene("wrong types", (gemini.Send(event({"usageMetadata": "much"})),)), "malformed"),
    (Scene("page", (gemini.Send(b"<html>Welcome to the hotel</html>\n\n"),)), "malformed"),
    (
        Scene("late error", (chunk("Half"), gemini.Send(event({"error": {"code": 503, "status": "UNAVAILABLE"}})))),
        "overloaded",
    ),
    (gemini.empty(), "malformed"),
    (answer("Half a ", finish="OTHER"), "malformed"),
    (answer("Half a ", finish="MALFORMED_RESPONSE"), "malformed"),
    (answer("Half a ", finish="MISSING_THOUGHT_SIGNATURE"), "rejected"),
]


@pytest.mark.parametrize(("play", "code"), FAULTS, ids=[play.name + "-" + code for play, code in FAULTS])
def test_a_fault_is_told_by_its_code(fake: FakeGemini, client: GeminiClient, play: Any, code: str) -> None:
    fake.play(play)
    problem = failure_of(client)
    assert problem.error.code == code
    assert problem.error.retryable == (code in {"overloaded", "unreachable", "malformed"})
    assert len(fake.records) == 1, "one call is one request"


@pytest.mark.filterwarnings("ignore:.*is not a valid FinishReason")
def test_a_finish_reason_nobody_has_heard_of_is_no_success(fake: FakeGemini, client: GeminiClient) -> None:
    fake.play(answer("Half a ", finish="MOON_PHASE"))
    problem = failure_of(client)
    assert (problem.error.code, problem.reason) == ("malformed", "moon_phase")


@pytest.mark.parametrize("reason", ["SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "OTHER"])
def test_a_blocked_prompt_is_told_with_its_reason(fake: FakeGemini, client: GeminiClient, reason: str) -> None:
    fake.play(gemini.blocked_prompt(reason))
    problem = failure_of(client)
    assert (problem.error.code, problem.reason, problem.error.retryable) == ("blocked", reason.lower(), False)
    assert problem.usage == Usage(10, 0)


@pytest.mark.parametrize(
    "reason", ["SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"]
)
def test_a_blocked_reply_is_told_with_its_reason(fake: FakeGemini, client: GeminiClient, reason: str) -> None:
    fake.play(gemini.blocked_reply("Well, ", reason=reason))
    problem = failure_of(client)
    assert (problem.error.code, problem.reason, problem.error.retryable) == ("blocked", reason.lower(), False)
    assert problem.usage == Usage(10, 9)


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [
        (gemini.overloaded(retry_after="7"), 7),
        (gemini.overloaded(retry_delay="12s"), 12),
        (gemini.overloaded(retry_delay="0.5s"), 0.5),
        (gemini.overloaded(retry_after="3", retry_delay="9.5s"), 9.5),
        (gemini.overloaded(retry_after=format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True)), 0),
        (gemini.overloaded(retry_after="soon"), None),
        (gemini.overloaded(retry_after="-5", retry_delay="infs"), None),
        (gemini.overloaded(), None),
    ],
)
def test_the_wait_that_is_asked_for_is_understood(
    fake: FakeGemini, client: GeminiClient, refusal: Refusal, seconds: float | None
) -> None:
    fake.play(refusal)
    assert failure_of(client).retry_after == seconds


def test_a_date_to_wait_for_is_understood(fake: FakeGemini, client: GeminiClient) -> None:
    fake.play(gemini.overloaded(retry_after=format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)))
    wait = failure_of(client).retry_after
    assert wait is not None
    assert 50 < wait <= 60


def test_a_refusal_that_is_no_json_is_still_told_by_its_status(client: GeminiClient, fake: FakeGemini) -> None:
    fake.play(Refusal("page", 503, "", "", raw=b"<html>Service Unavailable</html>"))
    assert failure_of(client).error.code == "overloaded"


@pytest.mark.parametrize(
    ("status", "code", "retry_after"),
    [(429, "overloaded", 3), (503, "overloaded", 3), (403, "provider_misconfigured", 3), (400, "rejected", 3)],
)
@pytest.mark.parametrize("more", [{}, {"Content-Encoding": "gzip"}], ids=["not UTF-8", "not compressed as it says"])
def test_a_refusal_that_cannot_be_read_is_still_told_by_its_status(
    fake: FakeGemini, client: GeminiClient, status: int, code: str, retry_after: float, more: dict[str, str]
) -> None:
    page = "<html>Dienst nicht verfügbar</html>".encode("iso-8859-1")
    fake.play(Refusal("page", status, "", "", headers={"Retry-After": "3", **more}, raw=page))
    problem = failure_of(client)
    assert (problem.error.code, problem.retry_after) == (code, retry_after)


ODD: list[object] = [["X"], {"a": 1}, 7, 1.5, True, None, "", [[[]]], "\ud800"]
DEEP = b"[" * 5000 + b"]" * 5000


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_types_in_a_refusal_are_a_failure_at_once(fake: FakeGemini, client: GeminiClient, odd: object) -> None:
    error = {"code": odd, "status": odd, "message": odd, "details": odd}
    detail = {"reason": odd, "retryDelay": odd}
    for body in (odd, {"error": odd}, {"error": error}, [{"error": error}], {"error": {"details": [odd, detail]}}):
        fake.play(Refusal("odd", 400, "", "", raw=json.dumps(body).encode()))
        assert failure_of(client).error.code == "rejected"
        fake.play(Scene("odd", (gemini.Send(event(body, ascii=True)),)))
        assert failure_of(client).error.code == "malformed"


def test_a_refusal_too_deep_to_read_is_told_by_its_status(fake: FakeGemini, client: GeminiClient) -> None:
    fake.play(Refusal("deep", 503, "", "", raw=DEEP), Refusal("deep", 503, "", "", raw=b'{"error": ' + DEEP + b"}"))
    assert [failure_of(client).error.code for _ in range(2)] == ["overloaded"] * 2


WORDS = {
    "UNAVAILABLE": "overloaded",
    "RESOURCE_EXHAUSTED": "overloaded",
    "DEADLINE_EXCEEDED": "overloaded",
    "INTERNAL": "overloaded",
    "UNAUTHENTICATED": "provider_misconfigured",
    "PERMISSION_DENIED": "provider_misconfigured",
    "FAILED_PRECONDITION": "provider_misconfigured",
    "NOT_FOUND": "provider_misconfigured",
    "INVALID_ARGUMENT": "rejected",
    "MOON_PHASE": "malformed",
}


@pytest.mark.parametrize("word", WORDS)
def test_an_error_in_the_stream_is_told_by_its_word_where_its_number_is_missing(
    fake: FakeGemini, client: GeminiClient, word: str
) -> None:
    fake.play(Scene("word", (chunk("Half a ", usage=(10, 9)), gemini.Send(event({"error": {"status": word}})))))
    problem = failure_of(client)
    assert problem.error.code == WORDS[word]
    assert problem.usage == Usage(10, 9)


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3s"}
BUSY = {"message": "Busy.", "status": "UNAVAILABLE", "details": [RETRY]}
IN_A_STREAM = {
    "an event": event({"error": BUSY}),
    "in a list": event([{"error": BUSY}]),
    "a number of gRPC's": event({"error": {"code": 14, **BUSY}}),
    "a number as text": event({"error": {**BUSY, "code": "503", "status": ""}}),
    "not as an event": json.dumps({"error": BUSY}).encode(),
    "a list not as an event": json.dumps([{"error": BUSY}]).encode() + b"\n\n",
    "over many lines": json.dumps([{"error": BUSY}], indent=2).encode(),
    "over many lines of data": b"data:" + json.dumps({"error": BUSY}, indent=2).replace("\n", "\r\ndata: ").encode(),
}


@pytest.mark.parametrize("sent", IN_A_STREAM.values(), ids=IN_A_STREAM)
def test_an_error_in_the_stream_is_understood_however_it_is_wrapped_and_cut(
    fake: FakeGemini, client: GeminiClient, sent: bytes
) -> None:
    fake.play(Scene("wrapped", (chunk("Half a "), *(gemini.Send(bytes([byte])) for byte in sent))))
    problem = failure_of(client)
    assert (problem.error.code, problem.retry_after) == ("overloaded", 3)


def test_a_reply_about_errors_is_none(fake: FakeGemini, client: GeminiClient) -> None:
    fake.play(answer('{"error": {"code": 503}}', ' "error": '))
    assert text_of(reply(client)) == '{"error": {"code": 503}} "error": '


SILENCES = {
    "before its first byte": gemini.hangs(),
    "before the first piece": Scene("head", (gemini.Send(b"\r\n"), gemini.Hang())),
    "between pieces": gemini.hangs("Half a "),
    "with comments": gemini.drips("Half a "),
    "with empty lines": gemini.drips("Half a ", data=b"\n"),
    "within an event": gemini.drips("Half a ", data=b"x"),
    "with an endless reply": Scene("endless", (gemini.Drip(chunk("and ").data),)),
}


@pytest.mark.parametrize("play", SILENCES.values(), ids=SILENCES)
def test_time_is_limited_however_the_provider_is_slow(fake: FakeGemini, client: GeminiClient, play: Scene) -> None:
    def tried() -> float:
        fake.forget()
        fake.play(play)
        start = time.monotonic()
        problem = failure_of(client, timeouts=HASTY)
        took = time.monotonic() - start
        assert problem.error.code == "timeout"
        assert fake.wait(lambda records: bool(records) and records[0].hung_up)
        return took

    takes_less_than(HASTY.total + 0.3, tried)


def test_nobody_listening_is_unreachable(fake: FakeGemini) -> None:
    with FakeGemini() as gone:
        url = gone.url
    with closing(GeminiClient(fake.key, base_url=url)) as client:
        assert failure_of(client).error.code == "unreachable"


@pytest.mark.parametrize("end", [gemini.BreakOff(), chunk(finish="CONTINUATION"), chunk(finish="SAFETY")])
def test_google_genai_asks_nothing_behind_our_back(fake: FakeGemini, client: GeminiClient, end: gemini.Step) -> None:
    part = {"content": {"role": "model", "parts": [{"text": "Half a "}]}, "continuationToken": "dG9rZW4="}
    fake.play(Scene("resumable", (gemini.Send(event({"candidates": [part]})), end)))
    with suppress(ModelFailure):
        assert reply(client)[-1].finish_reason == "continuation"
    assert len(fake.records) == 1


# Stopping


@pytest.mark.parametrize("play", SILENCES.values(), ids=SILENCES)
def test_a_stop_is_heeded_at_once_and_the_provider_sees_it(fake: FakeGemini, client: GeminiClient, play: Scene) -> None:
    def tried() -> float:
        fake.forget()
        fake.play(play)
        stop = threading.Event()
        with ThreadPoolExecutor(1) as thread:
            call = thread.submit(lambda: list(client.stream(ask(), timeouts=PATIENT, stopped=stop.is_set)))
            fake.wait(lambda records: bool(records) and bool(records[0].play))
            stop.set()
            stopped_at = time.monotonic()
            pieces = call.result(5)
            took = time.monotonic() - stopped_at
        assert all(piece.finish_reason is None for piece in pieces)
        (record,) = fake.wait(lambda records: records[0].hung_up and records[0].finished is not None)
        assert record.finished is not None
        return max(took, (record.finished - stopped_at) / 2)

    takes_less_than(0.5, tried)


def test_who_waits_for_a_silent_provider_sleeps_and_is_woken_up_when_there_is_a_stop(
    fake: FakeGemini, client: GeminiClient
) -> None:
    fake.play(gemini.hangs())
    looked: list[int] = []

    def stopped() -> bool:
        looked.append(threading.get_ident())
        return len(looked) > 4

    assert list(client.stream(ask(), timeouts=PATIENT, stopped=stopped)) == []
    assert looked.count(threading.get_ident()) == 4, "before it asked, before it slept, awake, at the end"


# A machine that has too little to give: what has come was charged, and is not late because nobody had time to read it


class Starved:
    """A call's `stopped`. Who reads for all calls asks it too, and stands still there.

    Then the provider plays the scene, and somebody stops the call, if it is one that `stops`. The reader goes on when
    all was said and the call's time is over.
    """

    def __init__(self, fake: FakeGemini, scene: Scene, *, stops: bool = False) -> None:
        self._fake, self._stops = fake, stops
        self._asking, self._late = threading.get_ident(), time.monotonic() + LATE
        self._stands, self._over = threading.Event(), threading.Event()
        self._said = sum(isinstance(step, gemini.Send) for step in scene.steps)
        fake.play(replace(scene, steps=(gemini.Until(self._stands), *scene.steps)))

    def __call__(self) -> bool:
        if threading.get_ident() != self._asking and self._fake.records and not self._stands.is_set():
            self._stands.set()
            self.told()
            if self._stops:
                self._over.set()
            time.sleep(max(0.0, self._late - time.monotonic()))
        return self._over.is_set()

    def told(self) -> Usage:
        """What the provider has charged in the end."""
        (record,) = self._fake.wait(lambda records: len(records[0].told) == self._said)
        assert record.usage is not None
        return Usage(*record.usage)


# Seconds: when the first piece is not in time any more.
LATE = 1.0
SAID = answer("All that ", "was said")
UNREAD = gemini.hangs("Half a ", "word")


def test_what_lay_unread_when_time_was_over_is_not_late(fake: FakeGemini, client: GeminiClient) -> None:
    limits = Timeouts(first=0.8, between=5, total=10)
    pieces = list(client.stream(ask(), timeouts=limits, stopped=Starved(fake, SAID)))
    assert text_of(pieces) == "All that was said"
    assert len(fake.records) == 1


def test_what_lay_unread_when_all_time_was_over_is_billed(fake: FakeGemini, client: GeminiClient) -> None:
    starved = Starved(fake, UNREAD)
    with pytest.raises(ModelFailure) as caught:
        list(client.stream(ask(), timeouts=Timeouts(first=0.8, between=0.8, total=0.8), stopped=starved))
    assert caught.value.error.code == "timeout"
    assert caught.value.usage == starved.told()
    assert fake.wait(lambda records: records[0].hung_up)


def test_a_whole_answer_that_lay_unread_when_all_time_was_over_counts(fake: FakeGemini, client: GeminiClient) -> None:
    limits = Timeouts(first=0.8, between=0.8, total=0.8)
    pieces = list(client.stream(ask(), timeouts=limits, stopped=Starved(fake, SAID)))
    assert (text_of(pieces), pieces[-1].finish_reason) == ("All that was said", "stop")


def test_what_lay_unread_when_a_call_was_stopped_is_billed(fake: FakeGemini, client: GeminiClient) -> None:
    starved = Starved(fake, UNREAD, stops=True)
    pieces = list(client.stream(ask(), timeouts=Timeouts(first=0.8, between=0.8, total=10), stopped=starved))
    assert pieces == [Piece(usage=starved.told())]
    assert fake.wait(lambda records: records[0].hung_up)


def test_a_caller_that_leaves_hangs_up(fake: FakeGemini, client: GeminiClient) -> None:
    fake.play(gemini.hangs("Half a "))
    pieces = client.stream(ask(), timeouts=PATIENT, stopped=go_on)
    assert next(pieces).text == "Half a "
    del pieces
    assert fake.wait(lambda records: records[0].hung_up)


def test_closing_the_client_ends_the_calls_under_way(fake: FakeGemini) -> None:
    fake.play(gemini.hangs("Half a "), gemini.hangs())
    with closing(GeminiClient(fake.key, base_url=fake.url)) as client, ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(failure_of, client) for _ in range(2)]
        fake.wait(lambda records: len(records) == 2 and all(record.play for record in records))
        client.close()
        assert [call.result(30).error.code for call in calls] == ["unreachable"] * 2
    assert text_of(reply(client)), "and a later call starts anew"
    client.close()


def test_a_finished_call_leaves_its_connection_for_the_next(fake: FakeGemini, client: GeminiClient) -> None:
    for _ in range(5):
        reply(client)
    assert len({record.peer for record in fake.records}) == 1


# Many at once


def test_256_replies_stream_at_the_same_time_and_none_is_mixed_up() -> None:
    together = threading.Barrier(256)

    def when_all_are_there(question: gemini.Question) -> Scene:
        together.wait(90)
        return gemini.echo(question)

    questions = [f"Question {number}" for number in range(256)]
    patient = Timeouts(first=90, between=90, total=90)
    with (
        FakeGemini(director=when_all_are_there) as fake,
        closing(GeminiClient(fake.key, base_url=fake.url)) as client,
        ThreadPoolExecutor(256) as threads,
    ):
        replies = list(threads.map(lambda question: text_of(reply(client, ask(question), patient)), questions))
    assert replies == [gemini.reply_to(question) for question in questions]


def test_the_first_calls_may_come_all_at_once(fake: FakeGemini) -> None:
    before = loops()
    with closing(GeminiClient(fake.key, base_url=fake.url)) as client, ThreadPoolExecutor(16) as threads:
        assert len(list(threads.map(lambda _: text_of(reply(client)), range(16)))) == 16
        assert loops() == before + 1
    assert loops() == before


def loops() -> int:
    return sum(thread.name == "gemini-calls" for thread in threading.enumerate())


# The operator's mistakes, and the key


KEYS = {"wrong": "AIzaSyWrongKeyWrongKey", "broken over two lines": "AIzaSy\nWrong", "not ASCII": "AIzaSyWröng…"}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_wrong_key_is_the_operators_to_mend_and_shows_nowhere(
    fake: FakeGemini, key: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with closing(GeminiClient(key, base_url=fake.url)) as client:
        problem = failure_of(client)
        assert problem.error.code == "provider_misconfigured"
        with pytest.raises(ModelFailure):
            client.check(MODEL)
    assert not problem.error.retryable
    told = "".join(TracebackException.from_exception(problem, capture_locals=False).format())
    out, err = capfd.readouterr()
    for place in (told, repr(vars(problem)), caplog.text, out, err, repr(client)):
        assert key not in place
        assert key.splitlines()[-1] not in place
    assert problem.__cause__ is None
    assert problem.__context__ is None


def test_the_right_key_is_in_no_log_either(
    fake: FakeGemini, client: GeminiClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.play(gemini.overloaded(), gemini.breaks_off("Half a "), gemini.malformed())
    problems = [failure_of(client) for _ in range(3)]
    reply(client)
    assert caplog.text
    assert fake.key not in caplog.text
    assert all(fake.key not in repr(vars(problem)) for problem in problems)


def test_what_was_said_is_in_no_failure(fake: FakeGemini, client: GeminiClient) -> None:
    fake.play(Scene("broken", (chunk("my diary"), gemini.Send(b'data: {"text": "my diary\n\n'))))
    assert "diary" not in str(failure_of(client, ask("my diary")))


def test_an_unknown_model_is_the_operators_to_mend(fake: FakeGemini, client: GeminiClient) -> None:
    problem = failure_of(client, ask(model="gemini-0.1-oracle"))
    assert problem.error.code == "provider_misconfigured"
    assert "gemini-0.1-oracle" in problem.operator_detail
    assert "gemini" not in problem.error.message


def test_the_check_tells_a_working_set_up_from_a_broken_one(fake: FakeGemini, client: GeminiClient) -> None:
    client.check(MODEL)
    with pytest.raises(ModelFailure) as caught:
        client.check("gemini-0.1-oracle")
    assert caught.value.error.code == "provider_misconfigured"


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/", "http://"])
def test_a_base_url_that_is_none_is_the_operators_to_mend(url: str) -> None:
    with closing(GeminiClient("key", base_url=url)) as client:
        assert failure_of(client).error.code == "provider_misconfigured"


def test_google_genai_is_not_loaded_before_the_first_call() -> None:
    code = """if True:
        import sys
        from adapters.gemini.client import GeminiClient
        GeminiClient("key")
        print([name for name in sys.modules if name.startswith(("google.genai", "httpx2", "pydantic"))])
        """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert loaded.stdout == b"[]\n"


# The fake as a process of its own, as the chaos run uses it


def test_the_fake_is_a_process_that_answers_rightly_after_its_faults_and_remembers() -> None:
    arguments = ["--script", "faults", "--seed", "7", "--rate", "1", "--most", "1", "--kinds", "429", "cut-short"]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.gemini", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with closing(GeminiClient(gemini.KEY, base_url=url)) as client:
            failure_of(client, ask("Who are you?"))
            assert text_of(reply(client, ask("Who are you?"))) == gemini.reply_to("Who are you?")
        with urllib.request.urlopen(f"{url}/recorded") as recorded:
            assert [record["play"] for record in json.load(recorded)] in (
                [kind, "answer:STOP"] for kind in ("429", "cut-short")
            )
        process.terminate()
    assert process.returncode == 0
