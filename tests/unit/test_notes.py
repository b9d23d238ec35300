"""What a small model wrote, made into a title; and a room's title and summary as its owner sees them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from uuid import uuid4

import pytest

from adapters.local.processes import until
from adapters.memory.embedded import EmbeddedChat, chat
from gemini_core.model.billing.plans import BASIC, PRO, Plans
from gemini_core.model.chat import ReplyError, RoomChange, Status, Usage
from gemini_core.model.ids import ChatroomId, UserId
from gemini_core.model.notes import LONGEST_TITLE, SUMMARY_INSTRUCTION, TITLE_INSTRUCTION, first_words, title_of
from gemini_core.model.replies import ModelFailure, Piece, Prompt, Timeouts

ANN = UserId(uuid4())
TIRED = ModelFailure(ReplyError("overloaded", "Too busy.", retryable=True), usage=Usage(3, 0))


class Model:
    """Answers, writes titles and sums up; what is asked of it is kept."""

    def __init__(self, title: str | ModelFailure = "Tea in Japan", answer: str = "Matcha is a tea.") -> None:
        self.title, self.answer = title, answer
        self.asked: list[Prompt] = []

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        self.asked.append(prompt)
        if prompt.system == TITLE_INSTRUCTION:
            if isinstance(self.title, ModelFailure):
                raise self.title
            yield Piece(self.title)
        elif prompt.system == SUMMARY_INSTRUCTION:
            yield Piece(f"Summary number {len(self.of(SUMMARY_INSTRUCTION))}.")
        else:
            yield Piece(self.answer)
        yield Piece(usage=Usage(5, 2), finish_reason="stop")

    def of(self, instruction: str) -> list[Prompt]:
        return [prompt for prompt in self.asked if prompt.system == instruction]


def talk(backend: EmbeddedChat, room: ChatroomId, *texts: str) -> None:
    """Each text is sent when the one before is answered."""
    for text in texts:
        sent = backend.send_message(ANN, room, text)
        assert backend.read_message(ANN, room, sent.reply.id, wait=20).status is Status.COMPLETE


def idle(backend: EmbeddedChat) -> bool:
    """Nothing is promised any more."""
    return not backend.job_admin.list_jobs(state=None, kind=None, limit=1, after=None).items


def title(backend: EmbeddedChat, room: ChatroomId) -> str:
    return backend.show_room(ANN, room)[0].title


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("Tea in Japan", "Tea in Japan"),
        ('  "Tea in Japan."\n', "Tea in Japan"),
        ("**Tee in Japan**\n\nEin Gespräch", "Tee in Japan"),
        ("# „Tee“", "Tee"),
        ("\n \n日本のお茶", "日本のお茶"),
        ("**Title:** Tea", "Tea"),
        ('title: "Tea in Japan"', "Tea in Japan"),
        ("# Title\u00a0: **Tea** in Japan", "Tea in Japan"),
        ("Title:\n**Tea**", "Tea"),
        ("A book's title: Tea", "A book's title: Tea"),
        ("", ""),
        ("\n*\n", ""),
        ("...", ""),
    ],
)
def test_a_title_is_the_first_line_without_decoration(written: str, title: str) -> None:
    assert title_of(written) == title


@pytest.mark.parametrize("text", ["word " * 40, "x" * 500, "日本" * 100, "👩\u200d👧" * 60])
def test_a_long_title_is_cut_and_shows_it(text: str) -> None:
    for title in (title_of(text), first_words(text)):
        assert len(title) <= LONGEST_TITLE
        assert title.endswith("…")


def test_first_words_are_one_line() -> None:
    assert first_words("What is\n\n  tea?") == "What is tea?"


def test_a_first_exchange_gives_a_room_its_title_by_the_small_model() -> None:
    model = Model()
    backend = chat(model, scribe="small")
    room, _ = backend.create_room(ANN)
    talk(backend, room.id, "What is matcha?")
    assert until(lambda: title(backend, room.id) == "Tea in Japan", within=10)
    (asked,) = model.of(TITLE_INSTRUCTION)
    assert (asked.model, asked.turns[0].text) == ("small", "User: What is matcha?\n\nModel: Matcha is a tea.")
    assert backend.show_usage(ANN).tokens.today == Usage(10, 4)
    assert backend.show_room(ANN, room.id)[0].updated_at > room.updated_at


def test_the_rooms_own_model_writes_the_title_where_no_small_one_is_named() -> None:
    model = Model()
    backend = chat(model, model="large", scribe="")
    room, _ = backend.create_room(ANN)
    talk(backend, room.id, "What is matcha?")
    assert until(lambda: title(backend, room.id) != "", within=10)
    assert {prompt.model for prompt in model.asked} == {"large"}


@pytest.mark.parametrize(
    ("model", "scribe"),
    [(Model(TIRED), "small"), (Model(""), "small"), (Model(), None)],
    ids=["the model fails", "the model says nothing", "no model"],
)
def test_the_users_first_words_are_the_title_where_no_model_gives_one(model: Model, scribe: str | None) -> None:
    backend = chat(model, scribe=scribe)
    room, _ = backend.create_room(ANN)
    talk(backend, room.id, "Was ist  Matcha?")
    assert until(lambda: title(backend, room.id) == "Was ist Matcha?", within=10)


def test_a_title_that_the_user_set_is_never_overwritten() -> None:
    model = Model()
    backend = chat(model, scribe="small")
    mine, _ = backend.create_room(ANN, title="Mine")
    talk(backend, mine.id, "What is matcha?")
    other, _ = backend.create_room(ANN)
    talk(backend, other.id, "What is sencha?")
    backend.change_room(ANN, other.id, RoomChange(title="Mine too"))
    assert until(lambda: idle(backend), within=10)
    assert (title(backend, mine.id), title(backend, other.id)) == ("Mine", "Mine too")
    assert model.of(TITLE_INSTRUCTION) == []


def test_a_long_conversation_is_summed_up_and_its_prompts_stay_small_and_begin_alike() -> None:
    model = Model(answer="a" * 1_000)
    plans = Plans(replace(BASIC, daily_messages=100, context_tokens=4_000), PRO)
    backend = chat(model, plans=plans, scribe="small")
    room, _ = backend.create_room(ANN, title="Tea", system_instruction="Be brief.")
    for number in range(24):
        talk(backend, room.id, f"{number} " + "q" * 1_000)
        assert until(lambda: idle(backend), within=10)
    told = [prompt for prompt in model.asked if prompt.system.startswith("Be brief.")]
    assert len(told) == 24
    sizes = [sum(len(turn.text) for turn in prompt.turns) // 4 for prompt in told]
    assert max(sizes) <= 4_000
    summaries = model.of(SUMMARY_INSTRUCTION)
    assert 2 <= len(summaries) <= 8
    assert "Nothing: this is the beginning." in summaries[0].turns[0].text
    assert "Summary number 1." in summaries[1].turns[0].text
    assert f"Summary number {len(summaries)}." in told[-1].system or len(told[-1].turns) > 1
    beginnings = [(prompt.system, prompt.turns[0]) for prompt in told]
    changes = sum(earlier != later for earlier, later in pairwise(beginnings))
    assert changes == len(set(beginnings)) - 1 <= len(summaries)
    assert len(told[-1].turns) % 2 == 1
    assert told[-1].turns[-1].text.startswith("23 ")
