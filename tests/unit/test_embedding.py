"""Chat in somebody's own program: who its users are, where files are kept, and how it ends."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event

import pytest

from adapters.memory.attachments import MemoryAttachments
from adapters.memory.embedded import EmbeddedChat, chat
from adapters.memory.model import ScriptedModel
from gemini_core.errors import NotFound
from gemini_core.model.attachments import File
from gemini_core.model.billing.plans import BASIC, PRO
from gemini_core.model.chat import Status
from gemini_core.model.ids import ChatroomId, MessageId, UserId, uuid7
from gemini_core.model.replies import Piece, Prompt, Timeouts
from gemini_core.model.requests import no_user

ANN, BOB, EVE = (UserId(uuid7(datetime.now(UTC))) for _ in range(3))


def send(backend: EmbeddedChat, *files: File) -> tuple[ChatroomId, MessageId]:
    """The room, and the reply to come."""
    room, _ = backend.create_room(ANN, title="Tea")
    return room.id, backend.send_message(ANN, room.id, "What is tea?", files=files).reply.id


def plan_of(user: UserId, now: datetime) -> str:
    if user == EVE:
        raise no_user()
    return "pro" if user == ANN else "basic"


def test_a_program_says_who_its_users_are_and_on_which_plan() -> None:
    with chat(ScriptedModel(["Leaves."]), plan_of=plan_of) as backend:
        assert (backend.show_usage(ANN).plan, backend.show_usage(BOB).plan) == (PRO, BASIC)
        with pytest.raises(NotFound):
            backend.show_usage(EVE)


def test_a_program_keeps_files_where_it_likes() -> None:
    mine = MemoryAttachments()
    with chat(ScriptedModel(["Leaves."]), plan_of=plan_of, attachments=mine) as backend:
        send(backend, File("text/plain", b"Oolong"))
        assert list(mine.files.values()) == [b"Oolong"]


@dataclass
class Slow:
    """A language model that is half done when its program wants to end, and sees it out."""

    asked: Event = field(default_factory=Event)
    go_on: Event = field(default_factory=Event)

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        yield Piece("Leaves")
        self.asked.set()
        self.go_on.wait(10)
        yield Piece(".", finish_reason="stop")


def test_a_chat_that_is_closed_finishes_what_it_has_and_begins_nothing_more() -> None:
    model = Slow()
    with chat(model) as backend:
        under_way = send(backend)
        assert model.asked.wait(10)
        model.go_on.set()
    model.asked.clear()
    waiting = send(backend)
    assert backend.read_message(ANN, *under_way).status is Status.COMPLETE
    assert backend.read_message(ANN, *waiting).status is Status.PENDING
    assert not model.asked.is_set()
