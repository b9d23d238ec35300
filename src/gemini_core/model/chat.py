"""Chatrooms, and the messages in them."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Literal

from gemini_core.errors import Conflict, LimitReached, NotFound
from gemini_core.model.attachments import Attachment
from gemini_core.model.ids import ChatroomId, MessageId, UserId


class Role(StrEnum):
    """Who speaks."""

    USER = "user"
    MODEL = "model"


class Status(StrEnum):
    """Where a message is in its life. A user's message is born complete; a final status never changes."""

    PENDING = "pending"
    GENERATING = "generating"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Nothing changes after this."""
        return self not in (Status.PENDING, Status.GENERATING)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply as the provider reported them. Thoughts are billed as output and counted there."""

    prompt_tokens: int = 0
    output_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Both sides together."""
        return self.prompt_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.prompt_tokens + other.prompt_tokens, self.output_tokens + other.output_tokens)


@dataclass(frozen=True, slots=True)
class ReplyError:
    """Why a reply failed, in words for the person who asked. `code` is stable; `retryable`: asking again may help."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chatroom:
    """A conversation of one user."""

    id: ChatroomId
    user_id: UserId
    title: str
    system_instruction: str
    model: str
    created_at: datetime
    updated_at: datetime
    message_count: int = 0
    pinned: bool = False
    archived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a user said, or the model's reply to it (`reply_to`).

    `attempt`: the last one that was begun, and so the one whose text `content` is; 0 where nobody began.
    `superseded`: kept, but no part of the conversation any more: there is another reply, or the message was edited.
    """

    id: MessageId
    chatroom_id: ChatroomId
    role: Role
    content: str
    status: Status
    created_at: datetime
    completed_at: datetime | None = None
    reply_to: MessageId | None = None
    model: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    error: ReplyError | None = None
    attempt: int = 0
    attachments: tuple[Attachment, ...] = ()
    superseded: bool = False

    @classmethod
    def said(
        cls, id: MessageId, room: ChatroomId, content: str, *, at: datetime, attachments: tuple[Attachment, ...] = ()
    ) -> "Message":
        """What a user says in a room."""
        return cls(
            id=id,
            chatroom_id=room,
            role=Role.USER,
            content=content,
            status=Status.COMPLETE,
            created_at=at,
            completed_at=at,
            attachments=attachments,
        )

    def promised(self, reply: MessageId, *, at: datetime | None = None) -> "Message":
        """The reply that is owed to this message of a user; `at` the instant of the message if not said otherwise."""
        return Message(
            id=reply,
            chatroom_id=self.chatroom_id,
            role=Role.MODEL,
            content="",
            status=Status.PENDING,
            created_at=at or self.created_at,
            reply_to=self.id,
        )

    def current(self) -> "Message":
        """Itself. Raises `Conflict` (`superseded`) where nothing can go on from it."""
        if self.superseded:
            raise Conflict("This message is no part of the conversation any more.", code="superseded")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomChange:
    """What a user changes about a room; None leaves a thing as it is."""

    title: str | None = None
    system_instruction: str | None = None
    model: str | None = None
    pinned: bool | None = None
    archived: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A message that a search found. `highlights`: where in the snippet the words are, as start and length."""

    message: Message
    room_title: str
    snippet: str
    highlights: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class DayUsage:
    """The plan in force, and the units used of one UTC day."""

    plan: str
    used: int


@dataclass(frozen=True, slots=True)
class TokenTotals:
    """Tokens of one user, added up."""

    today: Usage
    since: Usage


TokensBy = Literal["day", "user", "model", "plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSum:
    """What calls to the model have cost together. `of`: what they have in common, in the order asked for."""

    of: tuple[str, ...]
    calls: int
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An accepted message with the reply that is promised for it, and where the day's limit stands after it.

    `stopped`: replies that nobody had begun, and nobody will: what they were to answer is superseded.
    """

    message: Message
    reply: Message
    limit: int
    used: int
    replayed: bool = False
    stopped: tuple[MessageId, ...] = ()


def no_room() -> NotFound:
    """There is none, or it is somebody else's."""
    return NotFound("There is no such chatroom.")


def no_message() -> NotFound:
    """There is none, or it is somebody else's."""
    return NotFound("There is no such message.")


def no_more_rooms() -> Conflict:
    """The plan's rooms are all taken."""
    return Conflict("Your plan has no room for another chatroom.", code="room-limit-reached")


def under_way() -> Conflict:
    """There can be another reply when this one is final."""
    return Conflict("The reply to this message is still under way.", code="reply-under-way")


def already_final() -> Conflict:
    """There is nothing to stop."""
    return Conflict("This reply is final already.", code="already-final")


def day_used_up(limit: int, used: int, at: datetime) -> LimitReached:
    """The UTC day of this instant has no unit left."""
    return LimitReached(f"Your plan allows {limit} messages a day.", limit=limit, used=used, resets_at=day_ends(at))


def day_ends(at: datetime) -> datetime:
    """When the UTC day of this instant ends, and the daily limit starts anew."""
    return datetime.combine(at.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
