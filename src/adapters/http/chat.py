"""Chatrooms and messages."""

from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

import falcon
from msgspec import UNSET, Meta, Struct, UnsetType

from adapters.http import bodies, events, queries, ratelimits
from adapters.http.auth import caller
from adapters.http.context import request_id
from adapters.http.describing import IDEMPOTENCY_KEY, PAGED, Parameter, Raw, describe
from adapters.http.paging import Cursors, Listing
from adapters.http.replies import Streams
from gemini_core.core import Core
from gemini_core.errors import Invalid
from gemini_core.model.chat import Chatroom, Message, RoomChange, Sent, Usage, day_ends
from gemini_core.model.ids import ChatroomId, MessageId
from gemini_core.use_cases.chat import MAX_CONTENT, MAX_MODEL, MAX_SYSTEM_INSTRUCTION, MAX_TITLE

ROOM_ID = Parameter("room_id", "The chatroom.", UUID)
MESSAGE_ID = Parameter("message_id", "The message.", UUID)
LATEST = 20
MAX_WAIT = 30
FORWARDS, BACKWARDS = "forwards", "backwards"
# More than any content can be in bytes, escaped as JSON: the limit in characters is told by the field.
Text = Annotated[str, Meta(max_length=4 * MAX_CONTENT)]


class RoomAnswer(Struct):
    """A chatroom. `title` is null until it has one."""

    id: UUID
    title: str | None
    system_instruction: str | None
    model: str
    created_at: datetime
    updated_at: datetime
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


class MessageAnswer(Struct):
    """A message of the user, or the model's reply to one."""

    id: UUID
    chatroom_id: UUID
    role: str
    content: str
    status: str
    created_at: datetime
    completed_at: datetime | None
    reply_to: UUID | None
    model: str | None
    finish_reason: str | None
    usage: UsageAnswer | None
    error: ErrorAnswer | None


class RoomWithMessages(RoomAnswer):
    """A chatroom with its latest 20 messages, oldest first."""

    messages: list[MessageAnswer]


class SentAnswer(Struct):
    """The message as stored, and the reply that is promised for it."""

    message: MessageAnswer
    reply: MessageAnswer


class NewRoom(Struct, forbid_unknown_fields=True):
    """What a chatroom starts with; all of it can be changed later."""

    title: Annotated[str, Meta(max_length=4 * MAX_TITLE)] | None = None
    system_instruction: Annotated[str, Meta(max_length=4 * MAX_SYSTEM_INSTRUCTION)] | None = None
    model: Annotated[str, Meta(max_length=MAX_MODEL)] | None = None


class RoomPatch(Struct, forbid_unknown_fields=True):
    """What changes; null takes a title or an instruction away."""

    title: Annotated[str, Meta(max_length=4 * MAX_TITLE)] | UnsetType | None = UNSET
    system_instruction: Annotated[str, Meta(max_length=4 * MAX_SYSTEM_INSTRUCTION)] | UnsetType | None = UNSET
    model: Annotated[str, Meta(max_length=MAX_MODEL)] | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


class NewMessage(Struct, forbid_unknown_fields=True):
    """1 to 32,000 characters after trimming."""

    content: Text


class Rooms:
    """A user's chatrooms."""

    def __init__(self, core: Core, cursors: Cursors) -> None:
        self._core = core
        self._cursors = cursors

    @describe(
        "Open a chatroom",
        body=NewRoom,
        answers={201: RoomAnswer},
        headers=(IDEMPOTENCY_KEY,),
        answer_headers={"Location": "The new chatroom.", "Idempotent-Replayed": "`true` where this is a replay."},
        problems=("idempotency-key-reused", "model-not-in-plan", "room-limit-reached"),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """An empty body will do: the room then uses the default model, and gets its title from its first exchange."""
        asking = caller(req)
        wanted = bodies.read(req, NewRoom)
        room, replayed = self._core.create_room(
            asking.user_id,
            title=wanted.title or "",
            system_instruction=wanted.system_instruction or "",
            model=wanted.model,
            key=req.get_header("Idempotency-Key"),
        )
        resp.status = falcon.HTTP_201
        resp.set_header("Location", f"/chatroom/{room.id}/")
        _tell_replay(resp, replayed=replayed)
        resp.data = bodies.write(room_answer(room))

    @describe(
        "The user's chatrooms",
        answers={200: Listing[RoomAnswer], 304: None},
        query=(*PAGED, Parameter("archived", "`true` or `false`: only those that are archived, or are not.", bool)),
        headers=(Parameter("If-None-Match", "The `ETag` of an earlier answer: 304 if nothing has changed since."),),
        answer_headers={"ETag": "Changes with every change of this list."},
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Latest activity first. What the user changed is in the very next list."""
        owner = caller(req).user_id
        archived = _flag(req, "archived")
        scope = ("rooms", owner, archived)
        limit, after = self._cursors.asked(req, *scope)
        page = self._core.list_rooms(owner, limit=limit, after=after, archived=archived)
        resp.data = bodies.write(self._cursors.listing(page, room_answer, *scope))
        etag = f'"{sha256(resp.data).hexdigest()[:32]}"'
        resp.set_header("ETag", etag)
        resp.set_header("Cache-Control", "private, no-cache")
        if _matches(req, etag):
            resp.status = falcon.HTTP_304
            resp.data = None


class Room:
    """One chatroom."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe("A chatroom", answers={200: RoomWithMessages}, path=(ROOM_ID,), problems=("not-found",))
    def on_get(self, req: falcon.Request, resp: falcon.Response, room_id: UUID) -> None:
        """With its latest messages, oldest first."""
        room, messages = self._core.show_room(caller(req).user_id, ChatroomId(room_id), latest=LATEST)
        resp.data = bodies.write(
            RoomWithMessages(**_room_fields(room), messages=[message_answer(message) for message in messages])
        )

    @describe(
        "Change a chatroom",
        body=RoomPatch,
        answers={200: RoomAnswer},
        path=(ROOM_ID,),
        problems=("not-found", "model-not-in-plan"),
    )
    def on_patch(self, req: falcon.Request, resp: falcon.Response, room_id: UUID) -> None:
        """Title, instruction, model, pinned, archived."""
        asking = caller(req)
        patch = bodies.read(req, RoomPatch)
        named: dict[str, Any] = {
            name: "" if value is None else value
            for name in patch.__struct_fields__
            if (value := getattr(patch, name)) is not UNSET
        }
        room = self._core.change_room(asking.user_id, ChatroomId(room_id), RoomChange(**named))
        resp.data = bodies.write(room_answer(room))

    @describe("Delete a chatroom", answers={204: None}, path=(ROOM_ID,), problems=("not-found",))
    def on_delete(self, req: falcon.Request, resp: falcon.Response, room_id: UUID) -> None:
        """With everything in it; a reply under way for it is stopped."""
        self._core.delete_room(caller(req).user_id, ChatroomId(room_id))
        resp.status = falcon.HTTP_204


class Messages:
    """The messages of a chatroom."""

    def __init__(self, core: Core, cursors: Cursors, streams: Streams) -> None:
        self._core = core
        self._cursors = cursors
        self._streams = streams

    @describe(
        "Send a message",
        body=NewMessage,
        answers={202: SentAnswer, 200: Raw("text/event-stream", "The reply's events, where the client accepts them.")},
        path=(ROOM_ID,),
        headers=(IDEMPOTENCY_KEY,),
        answer_headers={
            "Location": "The reply.",
            "RateLimit": "What is left of the day's messages.",
            "Idempotent-Replayed": "`true` where this is a replay.",
        },
        problems=("not-found", "daily-limit-reached", "idempotency-key-reused"),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response, room_id: UUID) -> None:
        """Accepted with everything it promises, or not at all. Replies of a room are made in order, one at a time."""
        asking = caller(req)
        wanted = bodies.read(req, NewMessage)
        sent = self._core.send_message(
            asking.user_id,
            ChatroomId(room_id),
            wanted.content,
            key=req.get_header("Idempotency-Key"),
            request_id=request_id(req),
        )
        tell_sent(resp, sent)
        if events.wanted(req):
            self._streams.send(req, resp, asking, sent.reply)

    @describe(
        "The messages of a chatroom",
        answers={200: Listing[MessageAnswer]},
        path=(ROOM_ID,),
        query=(*PAGED, Parameter("before", "Scroll back: the latest messages before this one.", UUID)),
        problems=("not-found",),
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, room_id: UUID) -> None:
        """Oldest first. With `before`, `next_cursor` leads further back."""
        reader, room = caller(req).user_id, ChatroomId(room_id)
        before = queries.identifier(req, "before")
        scope = ("messages", reader, room)
        limit, after = self._cursors.asked(req, *scope)
        if before is not None and after is not None:
            raise Invalid.field("before", "goes without a cursor", "contradiction")
        backwards, position = (True, MessageId(before)) if before else _position(after)
        page = self._core.list_messages(
            reader, room, limit=limit, before=position if backwards else None, after=None if backwards else position
        )
        page = replace(page, next=page.next and (BACKWARDS if backwards else FORWARDS, *page.next))
        resp.data = bodies.write(self._cursors.listing(page, message_answer, *scope))


class OneMessage:
    """One message, and what its author can do about it."""

    def __init__(self, core: Core, streams: Streams) -> None:
        self._core = core
        self._streams = streams

    @describe(
        "A message",
        answers={200: MessageAnswer},
        path=(ROOM_ID, MESSAGE_ID),
        query=(Parameter("wait", f"Seconds to wait for the message to be final: 0 to {MAX_WAIT}.", int),),
        problems=("not-found", "invalid-request"),
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, room_id: UUID, message_id: UUID) -> None:
        """At once, or as soon as it is final, but after `wait` seconds at the latest."""
        reader = caller(req).user_id
        wait = queries.whole_number(req, "wait", least=0, most=MAX_WAIT, default=0)
        message = self._core.read_message(reader, ChatroomId(room_id), MessageId(message_id), wait=wait)
        resp.data = bodies.write(message_answer(message))

    @describe(
        "Follow a reply",
        answers={200: Raw("text/event-stream", "`delta`, `reset`, then one of `done`, `failed`, `cancelled`.")},
        path=(ROOM_ID, MESSAGE_ID),
        headers=(Parameter("Last-Event-ID", "Go on after this event, on any API process."),),
        problems=("not-found",),
    )
    def on_get_stream(self, req: falcon.Request, resp: falcon.Response, room_id: UUID, message_id: UUID) -> None:
        """Its text as it is made, and then its end with the whole message; also when it is final already."""
        asking = caller(req)
        message = self._core.read_message(asking.user_id, ChatroomId(room_id), MessageId(message_id))
        self._streams.send(req, resp, asking, message, after=req.get_header("Last-Event-ID") or "")

    @describe(
        "Stop a reply",
        answers={202: MessageAnswer},
        path=(ROOM_ID, MESSAGE_ID),
        problems=("not-found", "already-final"),
    )
    def on_post_cancel(self, req: falcon.Request, resp: falcon.Response, room_id: UUID, message_id: UUID) -> None:
        """Within a second. What was generated so far is kept."""
        reply = self._core.cancel_reply(caller(req).user_id, ChatroomId(room_id), MessageId(message_id))
        resp.status = falcon.HTTP_202
        resp.data = bodies.write(message_answer(reply))


class TokensAnswer(Struct):
    """Tokens of today and of this month (UTC)."""

    today: UsageAnswer
    month: UsageAnswer


class UserUsage(Struct):
    """Where the user stands."""

    plan: str
    daily_limit: int
    used_today: int
    resets_at: datetime
    tokens: TokensAnswer


class Usages:
    """What a user has used."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe("Messages and tokens used", answers={200: UserUsage})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The plan, how much of its daily limit is used, when it starts anew, and the tokens."""
        report = self._core.show_usage(caller(req).user_id)
        resp.data = bodies.write(
            UserUsage(
                plan=report.plan.name,
                daily_limit=report.plan.daily_messages,
                used_today=report.day.used,
                resets_at=report.resets_at,
                tokens=TokensAnswer(usage_answer(report.tokens.today), usage_answer(report.tokens.since)),
            )
        )


def room_answer(room: Chatroom) -> RoomAnswer:
    """A room as it is answered."""
    return RoomAnswer(**_room_fields(room))


def message_answer(message: Message) -> MessageAnswer:
    """A message as it is answered."""
    error = message.error
    return MessageAnswer(
        id=message.id,
        chatroom_id=message.chatroom_id,
        role=message.role,
        content=message.content,
        status=message.status,
        created_at=message.created_at,
        completed_at=message.completed_at,
        reply_to=message.reply_to,
        model=message.model,
        finish_reason=message.finish_reason,
        usage=None if message.usage is None else usage_answer(message.usage),
        error=None if error is None else ErrorAnswer(error.code, error.message, error.retryable),
    )


def usage_answer(usage: Usage) -> UsageAnswer:
    """Tokens as they are answered."""
    return UsageAnswer(usage.prompt_tokens, usage.output_tokens, usage.total_tokens)


def tell_sent(resp: falcon.Response, sent: Sent) -> None:
    """An accepted message: where its reply will be, and what is left of the day."""
    resp.status = falcon.HTTP_202
    resp.set_header("Location", f"/chatroom/{sent.reply.chatroom_id}/message/{sent.reply.id}/")
    _tell_replay(resp, replayed=sent.replayed)
    at = sent.message.created_at
    resets = int((day_ends(at) - at).total_seconds())
    ratelimits.tell(resp, ratelimits.daily(sent.limit, sent.used, resets))
    resp.data = bodies.write(SentAnswer(message_answer(sent.message), message_answer(sent.reply)))


def _tell_replay(resp: falcon.Response, *, replayed: bool) -> None:
    if replayed:
        resp.set_header("Idempotent-Replayed", "true")


def _room_fields(room: Chatroom) -> dict[str, Any]:
    named = {name: getattr(room, name) for name in RoomAnswer.__struct_fields__}
    return named | {"title": room.title or None, "system_instruction": room.system_instruction or None}


def _position(after: tuple[str, ...] | None) -> tuple[bool, MessageId | None]:
    """Whether a cursor leads backwards, and from where."""
    return (False, None) if after is None else (after[0] == BACKWARDS, MessageId(UUID(after[1])))


def _flag(req: falcon.Request, name: str) -> bool | None:
    value = queries.text(req, name)
    if value not in (None, "true", "false"):
        raise Invalid.field(name, "must be true or false", "not_a_choice")
    return None if value is None else value == "true"


def _matches(req: falcon.Request, etag: str) -> bool:
    asked = req.get_header("If-None-Match", default="")
    return asked.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in asked.split(",")]
