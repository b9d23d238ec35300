"""Rooms and messages as they are answered."""

from typing import Any
from uuid import UUID

import falcon
from msgspec import Struct

from adapters.http import bodies, ratelimits
from adapters.http.describing import Moment, Parameter
from gemini_core.model.chat import Chatroom, Message, Role, Sent, Status, Usage, day_ends

ROOM_ID = Parameter("room_id", "The chatroom.", UUID)
MESSAGE_ID = Parameter("message_id", "The message.", UUID)


class RoomAnswer(Struct):
    """A chatroom. `title` is null until it has one."""

    id: UUID
    title: str | None
    system_instruction: str | None
    model: str
    created_at: Moment
    updated_at: Moment
    message_count: int
    pinned: bool
    archived: bool


class UsageAnswer(Struct):
    """Tokens as the provider reported them; thoughts count as output."""

    prompt_tokens: int
    output_tokens: int
    total_tokens: int


class ErrorAnswer(Struct):
    """Why a reply failed. `retryable`: the same question may well be answered another time."""

    code: str
    message: str
    retryable: bool


class AttachmentAnswer(Struct):
    """A file that came with a message; `size` in bytes. Its own bytes: `…/message/<message_id>/attachment/<id>/`."""

    id: UUID
    media_type: str
    size: int


class MessageAnswer(Struct, omit_defaults=True):
    """A message of the user, or the model's reply to one.

    `attachments` are there where there are any. `superseded` is there, and true, where the message is kept but is no
    part of the conversation any more.
    """

    id: UUID
    chatroom_id: UUID
    role: Role
    content: str
    status: Status
    created_at: Moment
    completed_at: Moment | None
    reply_to: UUID | None
    model: str | None
    finish_reason: str | None
    usage: UsageAnswer | None
    error: ErrorAnswer | None
    superseded: bool = False
    attachments: list[AttachmentAnswer] = []


class RoomWithMessages(RoomAnswer):
    """A chatroom with its latest 20 messages, oldest first."""

    messages: list[MessageAnswer]


class SentAnswer(Struct):
    """The message as stored, and the reply that is promised for it."""

    message: MessageAnswer
    reply: MessageAnswer


def room_answer(room: Chatroom) -> RoomAnswer:
    """A room as it is answered."""
    return RoomAnswer(**room_fields(room))


def message_answer(message: Message) -> MessageAnswer:
    """A message as it is answered."""
    return MessageAnswer(**message_fields(message))


def message_fields(message: Message) -> dict[str, Any]:
    """What every answer tells of a message."""
    error = message.error
    return {
        "id": message.id,
        "chatroom_id": message.chatroom_id,
        "role": message.role,
        "content": message.content,
        "status": message.status,
        "created_at": message.created_at,
        "completed_at": message.completed_at,
        "reply_to": message.reply_to,
        "model": message.model,
        "finish_reason": message.finish_reason,
        "usage": None if message.usage is None else usage_answer(message.usage),
        "error": None if error is None else ErrorAnswer(error.code, error.message, error.retryable),
        "superseded": message.superseded,
        "attachments": [AttachmentAnswer(file.id, file.media_type, file.size) for file in message.attachments],
    }


def usage_answer(usage: Usage) -> UsageAnswer:
    """Tokens as they are answered."""
    return UsageAnswer(usage.prompt_tokens, usage.output_tokens, usage.total_tokens)


def tell_sent(resp: falcon.Response, sent: Sent) -> None:
    """An accepted message: where its reply will be, and what is left of the day it was accepted on."""
    resp.status = falcon.HTTP_202
    resp.set_header("Location", f"/chatroom/{sent.reply.chatroom_id}/message/{sent.reply.id}/")
    tell_replay(resp, replayed=sent.replayed)
    at = sent.reply.created_at
    resets = int((day_ends(at) - at).total_seconds())
    ratelimits.tell(resp, ratelimits.daily(sent.limit, sent.used, resets))
    resp.data = bodies.write(SentAnswer(message_answer(sent.message), message_answer(sent.reply)))


def tell_replay(resp: falcon.Response, *, replayed: bool) -> None:
    """A replay says that it is one."""
    if replayed:
        resp.set_header("Idempotent-Replayed", "true")


def room_fields(room: Chatroom) -> dict[str, Any]:
    """What every answer tells of a room."""
    named = {name: getattr(room, name) for name in RoomAnswer.__struct_fields__}
    return named | {"title": room.title or None, "system_instruction": room.system_instruction or None}
