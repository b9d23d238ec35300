"""What the verbs of chat refuse of whoever calls them: HTTP is only one of them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from adapters.memory.embedded import EmbeddedChat, chat
from adapters.memory.model import ScriptedModel
from gemini_core.errors import Invalid
from gemini_core.model.chat import Chatroom, RoomChange
from gemini_core.model.ids import MessageId, UserId, uuid7

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ANN, SOME = UserId(uuid7(NOW)), MessageId(uuid7(NOW))


@pytest.fixture
def core() -> Iterator[EmbeddedChat]:
    with chat(ScriptedModel(["Leaves."])) as embedded:
        yield embedded


@pytest.fixture
def room(core: EmbeddedChat) -> Chatroom:
    return core.create_room(ANN, title="Tea")[0]


def refused(deed: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refusal:
        deed()
    return [(error.field, error.code) for error in refusal.value.errors]


@pytest.mark.parametrize("not_text", ["nil\0", "half \ud83e of a pair"])
def test_what_no_store_could_hold_is_refused_by_its_field(core: EmbeddedChat, room: Chatroom, not_text: str) -> None:
    sent = core.send_message(ANN, room.id, "What is tea?")
    for field, deed in (
        ("title", lambda: core.create_room(ANN, title=not_text, key="k")),
        ("system_instruction", lambda: core.create_room(ANN, system_instruction=not_text, key="k")),
        ("title", lambda: core.change_room(ANN, room.id, RoomChange(title=not_text))),
        ("system_instruction", lambda: core.change_room(ANN, room.id, RoomChange(system_instruction=not_text))),
        ("content", lambda: core.send_message(ANN, room.id, not_text, key="k")),
        ("content", lambda: core.edit_message(ANN, room.id, sent.message.id, not_text, key="k")),
        ("q", lambda: core.search_messages(ANN, not_text)),
    ):
        assert refused(deed) == [(field, "invalid_text")]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_of_nothing_is_refused(core: EmbeddedChat, room: Chatroom, limit: int) -> None:
    for field, deed in (
        ("limit", lambda: core.list_rooms(ANN, limit=limit)),
        ("limit", lambda: core.list_messages(ANN, room.id, limit=limit)),
        ("limit", lambda: core.search_messages(ANN, "tea", limit=limit)),
        ("latest", lambda: core.show_room(ANN, room.id, latest=limit)),
    ):
        assert refused(deed) == [(field, "out_of_range")]


def test_messages_before_one_go_neither_with_those_after_one_nor_with_the_replies_to_one(
    core: EmbeddedChat, room: Chatroom
) -> None:
    for deed in (
        lambda: core.list_messages(ANN, room.id, before=SOME, after=SOME),
        lambda: core.list_messages(ANN, room.id, before=SOME, reply_to=SOME),
    ):
        assert refused(deed) == [("before", "contradiction")]
    assert core.list_messages(ANN, room.id, after=SOME, reply_to=SOME).items == ()
