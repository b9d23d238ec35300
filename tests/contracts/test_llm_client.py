"""The exam of `LLMClient`: what every language model behind the port must do, sat by all of them."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from tests.fakes import gemini
from tests.timing import takes_less_than

from adapters.gemini.client import GeminiClient
from adapters.gemini.failures import failure
from adapters.local.demo_model import DemoModel
from adapters.memory.model import ScriptedModel
from gemini_core.model.attachments import File
from gemini_core.model.chat import Role
from gemini_core.model.replies import ModelFailure, Piece, Prompt, Timeouts, Turn
from gemini_core.ports.replies import LLMClient

MODEL = "gemini-3.8-flash"
PATIENT = Timeouts(first=5, between=5, total=10)
HASTY = Timeouts(first=0.3, between=0.3, total=5)
UNICODE = "Grüße 👩‍👩‍👧 an Zoe\u0308, \u2028 مرحبا und 漢字"


def ask(text: str) -> Prompt:
    return Prompt(MODEL, "Be kind.", (Turn(Role.USER, text),))


def go_on() -> bool:
    return False


def reply(model: LLMClient, prompt: Prompt, timeouts: Timeouts = PATIENT) -> list[Piece]:
    return list(model.stream(prompt, timeouts=timeouts, stopped=go_on))


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


@pytest.fixture(scope="module")
def provider() -> Iterator[gemini.FakeGemini]:
    with gemini.FakeGemini() as fake:
        yield fake


@pytest.fixture
def fake(provider: gemini.FakeGemini) -> gemini.FakeGemini:
    provider.forget()
    return provider


@pytest.fixture(scope="module")
def on_fake(provider: gemini.FakeGemini) -> Iterator[GeminiClient]:
    with closing(GeminiClient(provider.key, base_url=provider.url, api_version="v1")) as client:
        yield client


@pytest.fixture(scope="module")
def on_llmock(llmock_server: Any) -> Iterator[GeminiClient]:
    with closing(GeminiClient("any-key", base_url=llmock_server.base_url("gemini"), api_version="v1beta")) as client:
        yield client


Candidate = Callable[[str], LLMClient]
"""The model that sits the exam, made ready to answer a question with a reply that holds it."""


@pytest.fixture(params=["gemini on our fake", "gemini on llmock", "demo", "scripted"])
def candidate(request: pytest.FixtureRequest) -> Candidate:
    match request.param:
        case "gemini on our fake":
            client = request.getfixturevalue("on_fake")
            return lambda question: client
        case "gemini on llmock":
            client, llmock = request.getfixturevalue("on_llmock"), request.getfixturevalue("llmock")
            return lambda question: llmock.reply(f"You said: {question}") and client
        case "demo":
            return lambda question: DemoModel(pause=0.001)
        case _:
            return lambda question: ScriptedModel([f"You said: {question}"])


def test_the_pieces_make_a_reply_and_only_the_last_has_a_finish_reason(candidate: Candidate) -> None:
    pieces = reply(candidate(UNICODE), ask(UNICODE))
    assert UNICODE in text_of(pieces)
    assert [piece.finish_reason for piece in pieces] == [None] * (len(pieces) - 1) + ["stop"]


def test_tokens_are_told_with_the_last_piece(candidate: Candidate) -> None:
    last = reply(candidate("How many?"), ask("How many?"))[-1]
    assert last.usage is not None
    assert last.usage.prompt_tokens > 0
    assert last.usage.output_tokens > 0


def test_a_conversation_with_files_and_the_same_side_twice_in_a_row_is_taken(candidate: Candidate) -> None:
    picture = File("image/png", b"\x89PNG\r\n\x1a\n\xff")
    turns = (
        Turn(Role.USER, "One"),
        Turn(Role.USER, "Two"),
        Turn(Role.MODEL, "Three"),
        Turn(Role.USER, "Four", (picture, File("text/plain", b"five"))),
        Turn(Role.USER, "", (picture,)),
    )
    assert text_of(reply(candidate("Four"), Prompt(MODEL, "", turns)))


def test_a_call_that_nobody_wants_any_more_yields_nothing(candidate: Candidate) -> None:
    assert list(candidate("Hi").stream(ask("Hi"), timeouts=PATIENT, stopped=lambda: True)) == []


def test_a_call_stopped_in_mid_reply_ends_without_a_finish_reason(candidate: Candidate) -> None:
    heard: list[Piece] = []
    pieces = candidate("Hello there").stream(ask("Hello there"), timeouts=PATIENT, stopped=lambda: bool(heard))
    heard.extend(next(pieces) for _ in range(1))
    assert heard[0].finish_reason is None
    for last in pieces:  # none, or what it has cost
        assert last == Piece(usage=last.usage)


def test_a_caller_may_leave_in_mid_reply_and_ask_again(candidate: Candidate) -> None:
    pieces = candidate("Hello there").stream(ask("Hello there"), timeouts=PATIENT, stopped=go_on)
    assert isinstance(next(pieces), Piece)
    del pieces
    assert reply(candidate("Again"), ask("Again"))[-1].finish_reason == "stop"


def test_replies_given_side_by_side_are_not_mixed_up(candidate: Candidate) -> None:
    model = candidate("the same")
    questions = [ask(f"Question {number}") for number in range(8)]
    alone = [text_of(reply(model, question)) for question in questions]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda question: text_of(reply(model, question)), questions))
    assert together[1:] == alone[1:]


# What only those can show whose provider can fail.

Patient = Callable[[str], LLMClient]
"""The model, made ready to fail in its next call with this code."""

CODES = ["overloaded", "unreachable", "malformed", "blocked", "provider_misconfigured", "rejected"]


@pytest.fixture(params=["gemini on our fake", "gemini on llmock", "scripted"])
def patient(request: pytest.FixtureRequest) -> Patient:
    match request.param:
        case "gemini on our fake":
            fake, client = request.getfixturevalue("fake"), request.getfixturevalue("on_fake")
            return lambda code: fake.play(FAULTS[code]) or client
        case "gemini on llmock":
            llmock, mocked = request.getfixturevalue("llmock"), request.getfixturevalue("on_llmock")
            return lambda code: LLMOCK_FAULTS[code](llmock) and mocked
        case _:
            return lambda code: ScriptedModel([failure(code, "as told", retry_after=2, reason="safety")])


FAULTS: dict[str, gemini.Scene | gemini.Refusal] = {
    "overloaded": gemini.overloaded(retry_after="2"),
    "unreachable": gemini.cut_short("Half a "),
    "malformed": gemini.malformed("Half a "),
    "blocked": gemini.blocked_reply("Half a "),
    "provider_misconfigured": gemini.Refusal("403", 403, "PERMISSION_DENIED", "no"),
    "rejected": gemini.Refusal("400", 400, "INVALID_ARGUMENT", "The input token count exceeds the maximum"),
}
LLMOCK_FAULTS: dict[str, Callable[[Any], Any]] = {
    "overloaded": lambda llmock: llmock.rate_limit(retry_after=2),
    "unreachable": lambda llmock: llmock.disconnect(),
    "malformed": lambda llmock: llmock.corrupt(),
    "blocked": lambda llmock: llmock.add(_filtered()),
    "provider_misconfigured": lambda llmock: llmock.fail(401),
    "rejected": lambda llmock: llmock.context_overflow(),
}


def _filtered() -> object:
    from llmock.scenarios import Reply

    return Reply(text="Half a ", finish_reason="content_filter")


@pytest.mark.parametrize("code", CODES)
def test_a_failure_has_a_code_a_sentence_and_says_whether_to_ask_again(patient: Patient, code: str) -> None:
    model = patient(code)
    with pytest.raises(ModelFailure) as caught:
        reply(model, ask("Hello"))
    assert caught.value.error.code == code
    assert caught.value.error.message.endswith(".")
    assert caught.value.error.retryable == (code in {"overloaded", "unreachable", "malformed"})
    assert caught.value.operator_detail


def test_the_wait_that_was_asked_for_is_told(patient: Patient) -> None:
    with pytest.raises(ModelFailure) as caught:
        reply(patient("overloaded"), ask("Hello"))
    assert caught.value.retry_after == 2


def test_why_a_reply_was_blocked_is_told(patient: Patient) -> None:
    with pytest.raises(ModelFailure) as caught:
        reply(patient("blocked"), ask("Hello"))
    assert caught.value.reason == "safety"


Silent = Callable[[], GeminiClient]
"""A client whose provider says a first word in its next call and then nothing more."""


@pytest.fixture(params=["our fake", "llmock"])
def silent(request: pytest.FixtureRequest) -> Silent:
    if request.param == "our fake":
        fake, client = request.getfixturevalue("fake"), request.getfixturevalue("on_fake")
        return lambda: fake.play(gemini.hangs("Half a ")) or client
    llmock, mocked = request.getfixturevalue("llmock"), request.getfixturevalue("on_llmock")
    return lambda: llmock.stall(seconds=20) and mocked


def test_a_provider_that_falls_silent_is_a_timeout(silent: Silent) -> None:
    with pytest.raises(ModelFailure) as caught:
        reply(silent(), ask("Hello there"), HASTY)
    assert caught.value.error.code == "timeout"
    assert caught.value.error.retryable


def test_a_call_is_stopped_within_half_a_second_though_the_provider_is_silent(silent: Silent) -> None:
    def tried() -> float:
        stop = threading.Event()
        pieces = silent().stream(ask("Hello there"), timeouts=PATIENT, stopped=stop.is_set)
        assert next(pieces).text
        stop.set()
        stopped_at = time.monotonic()
        assert list(pieces) == []
        return time.monotonic() - stopped_at

    takes_less_than(0.5, tried)


def persistently(model: LLMClient, prompt: Prompt) -> list[Piece]:
    """What a caller does that believes the failures."""
    while True:
        try:
            return reply(model, prompt)
        except ModelFailure as problem:
            if not problem.error.retryable:
                raise


def test_a_caller_that_does_as_it_is_told_passes_for_resilient(on_llmock: GeminiClient, llmock: Any) -> None:
    """The verdict is llmock's: what can succeed is tried again, and no half answer is taken for a whole one."""
    llmock.fail(503, retry_after=0).truncate().corrupt().disconnect().reply("At last", times=None)
    assert text_of(persistently(on_llmock, ask("Hello there"))) == "At last"
    assert len(llmock.requests) == 5
    llmock.assert_resilient()
