"""What the model is told of a conversation: bounded, and alike from turn to turn."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from uuid import uuid4

from gemini_core.model.attachments import Attachment, File
from gemini_core.model.chat import Chatroom, Message, ReplyError, Role, Status
from gemini_core.model.context import KEPT, due_for_summary, prompt_for, size_of
from gemini_core.model.ids import ChatroomId, MessageId, UserId, uuid7
from gemini_core.model.replies import Conversation

NOW = datetime(2026, 5, 17, 12, tzinfo=UTC)
TOKENS = 4_000


def said(
    role: Role, content: str, status: Status = Status.COMPLETE, reply_to: MessageId | None = None, blocked: bool = False
) -> Message:
    return Message(
        id=MessageId(uuid7(NOW)),
        chatroom_id=ChatroomId(uuid7(NOW)),
        role=role,
        content=content,
        status=status,
        created_at=NOW,
        reply_to=reply_to,
        error=ReplyError("blocked", "No.", retryable=False) if blocked else None,
    )


def turns(number: int, length: int = 400) -> tuple[Message, ...]:
    """So many exchanges, and a question."""
    sides = ((Role.USER, "q"), (Role.MODEL, "a"))
    told = [said(role, f"{side}{place} ".ljust(length, ".")) for place in range(number) for role, side in sides]
    return (*told, said(Role.USER, "now"))


def conversation(turns: tuple[Message, ...], instruction: str = "Be brief.", summary: str = "") -> Conversation:
    user, room = UserId(uuid7(NOW)), ChatroomId(uuid7(NOW))
    return Conversation(
        user_id=user,
        room=Chatroom(
            id=room, user_id=user, title="", system_instruction=instruction, model="m", created_at=NOW, updated_at=NOW
        ),
        plan="basic",
        reply=said(Role.MODEL, "", Status.GENERATING),
        turns=turns,
        summary=summary,
    )


def firsts(conversation: Conversation, tokens: int = TOKENS) -> list[str]:
    """The first words of what the model is told."""
    prompt = prompt_for(conversation, model="m", context_tokens=tokens)
    return [turn.text.split()[0] for turn in prompt.turns]


def test_what_fits_is_told_whole_with_the_instruction_and_the_summary_before_it() -> None:
    prompt = prompt_for(conversation(turns(2), summary="They met."), model="m", context_tokens=TOKENS)
    assert prompt.system == "Be brief.\n\nEarlier in this conversation, in short:\nThey met."
    assert [turn.role for turn in prompt.turns] == [Role.USER, Role.MODEL, Role.USER, Role.MODEL, Role.USER]
    assert prompt_for(conversation(turns(0), ""), model="m", context_tokens=TOKENS).system == ""


def test_an_error_is_never_told_nor_what_the_model_refused_and_what_a_cancelled_reply_had_said_is() -> None:
    question, refused = said(Role.USER, "one"), said(Role.USER, "refused")
    told = (
        question,
        said(Role.MODEL, "half", Status.CANCELLED, question.id),
        said(Role.USER, "two"),
        said(Role.MODEL, "", Status.FAILED),
        refused,
        said(Role.MODEL, "", Status.FAILED, refused.id, blocked=True),
        said(Role.USER, "three"),
    )
    assert firsts(conversation(told)) == ["one", "half", "two", "three"]


def test_a_prompt_stays_within_its_tokens_and_begins_with_the_user() -> None:
    for number in range(200):
        told = prompt_for(conversation(turns(number)), model="m", context_tokens=TOKENS)
        assert sum(len(turn.text) // 4 + 4 for turn in told.turns) <= TOKENS
        assert told.turns[0].role is Role.USER
        assert told.turns[-1].text == "now"


def test_the_question_is_told_whatever_its_size() -> None:
    assert len(firsts(conversation((*turns(3)[:-1], said(Role.USER, "x" * 100_000))))) == 1


def test_prompts_begin_alike_for_many_turns_in_a_row() -> None:
    beginnings = [firsts(conversation(turns(number)))[0] for number in range(200)]
    changes = sum(earlier != later for earlier, later in pairwise(beginnings))
    # A step is a quarter of 4,000 tokens; an exchange is 208: the beginning moves at every fifth turn at the most.
    assert changes <= 200 / 4


def test_a_summary_is_due_when_the_turns_have_filled_their_part_and_leaves_some_as_they_were_said() -> None:
    due = [due_for_summary(conversation(turns(number)), TOKENS) for number in range(40)]
    first = next(number for number, upto in enumerate(due) if upto is not None)
    assert 12 <= first <= 15
    told = turns(first)
    upto = due_for_summary(conversation(told), TOKENS)
    place = next(place for place, turn in enumerate(told) if turn.id == upto)
    assert told[place].role is Role.MODEL
    kept = sum(size_of(turn) for turn in told[place + 1 :])
    assert TOKENS * KEPT * 0.9 <= kept <= TOKENS * KEPT * 1.2


def test_one_long_turn_alone_is_nothing_to_sum_up() -> None:
    assert due_for_summary(conversation((said(Role.USER, "x" * 100_000),)), TOKENS) is None


def test_an_instruction_that_takes_everything_leaves_room_for_the_question() -> None:
    assert firsts(conversation(turns(50), instruction="x" * 32_000))[-1] == "now"


def test_files_count() -> None:
    plain = said(Role.USER, "look")
    picture = Message(
        id=plain.id,
        chatroom_id=plain.chatroom_id,
        role=plain.role,
        content=plain.content,
        status=plain.status,
        created_at=NOW,
        attachments=(Attachment(uuid4(), "image/png", 500_000), Attachment(uuid4(), "text/plain", 4_000)),
    )
    assert size_of(picture) - size_of(plain) > 1_000 + 1_000


def test_files_of_earlier_turns_are_left_out_where_a_request_would_become_too_large() -> None:
    def with_file(content: str, size: int) -> Message:
        return replace(said(Role.USER, content), attachments=(Attachment(uuid4(), "image/png", size),))

    told = (
        with_file("one", 1_000),
        said(Role.MODEL, "1"),
        with_file("two", 7_000_000),
        said(Role.MODEL, "2"),
        with_file("three", 6_000_000),
    )
    prompt = prompt_for(
        conversation(told),
        model="m",
        context_tokens=128_000,
        files=lambda turn: (File("image/png", turn.content.encode()),) if turn.attachments else (),
    )
    assert [turn.text for turn in prompt.turns] == ["one", "1", "two", "2", "three"]
    assert [len(turn.attachments) for turn in prompt.turns] == [0, 0, 0, 0, 1]
