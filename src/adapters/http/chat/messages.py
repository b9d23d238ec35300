"""Messages, and what is done with them."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Annotated
from uuid import UUID

import falcon
from msgspec import Meta, Struct

from adapters.http import bodies, queries
from adapters.http.auth import caller
from adapters.http.chat.answers import MESSAGE_ID, ROOM_ID, MessageAnswer, SentAnswer, message_answer
from adapters.http.chat.streams import Streams
from adapters.http.context import request_id
from adapters.http.describing import IDEMPOTENCY_KEY, PAGED, Parameter, Raw, describe, whole_number
from adapters.http.paging import Cursors, Listing
from adapters.http.shares import Shares
from gemini_core.core.chat import ChatVerbs
from gemini_core.errors import Invalid
from gemini_core.model.attachments import MOST_FILES, File
from gemini_core.model.ids import ChatroomId, MessageId

MAX_WAIT = 30
FORWARDS, BACKWARDS = "forwards", "backwards"
ACCEPTED = {202: SentAnswer, 200: Raw("text/event-stream", "The reply's events, where the client accepts them.")}
ACCEPTED_HEADERS = {
    "Location": "The reply.",
    "RateLimit": "What is left of the day's messages.",
    "RateLimit-Policy": "How many messages a day has.",
    "Idempotent-Replayed": "`true` where this is a replay.",
}


class NewFile(Struct, forbid_unknown_fields=True):
    """A file: what it is, and its bytes in base64."""

    media_type: str
    data: bytes


class NewMessage(Struct, forbid_unknown_fields=True):
    """1 to 32,000 characters after trimming; with files, where the plan has them, up to its size in all."""

    content: str
    attachments: Annotated[list[NewFile], Meta(max_length=MOST_FILES)] = []


class Edit(Struct, forbid_unknown_fields=True):
    """1 to 32,000 characters after trimming."""

    content: str


class Messages:
    """The messages of a chatroom."""

    def __init__(self, core: ChatVerbs, cursors: Cursors, streams: Streams) -> None:
        self._core = core
        self._cursors = cursors
        self._streams = streams
        self._limit = bodies.MAX_BYTES + 4 * core.send_message.attachments.largest // 3

    @describe(
        "Send a message",
        body=NewMessage,
        answers=ACCEPTED,
        path=(ROOM_ID,),
        headers=(IDEMPOTENCY_KEY,),
        answer_headers=ACCEPTED_HEADERS,
        problems=("not-found", "attachments-not-in-plan", "daily-limit-reached", "idempotency-key-reused"),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response, room_id: UUID) -> None:
        """Accepted with everything it promises, or not at all. Replies of a room are made in order, one at a time.

        Files: PNG, JPEG, WebP, HEIC and HEIF, PDF, WAV, MP3, AIFF, AAC, Ogg and FLAC, and plain text. The body may have
        1 MiB, and what the files of the largest plan have in base64.
        """
        asking = caller(req)
        wanted = bodies.read(req, NewMessage, limit=self._limit)
        sent = self._core.send_message(
            asking.user_id,
            ChatroomId(room_id),
            wanted.content,
            files=[File(file.media_type, file.data) for file in wanted.attachments],
            key=req.get_header("Idempotency-Key"),
            request_id=request_id(req),
        )
        self._streams.tell_sent(req, resp, asking, sent)

    @describe(
        "The messages of a chatroom",
        answers={200: Listing[MessageAnswer]},
        path=(ROOM_ID,),
        query=(
            *PAGED,
            Parameter("before", "Scroll back: the latest messages before this one.", UUID),
            Parameter("reply_to", "All replies to this message, the alternatives that were superseded too.", UUID),
        ),
        problems=("not-found",),
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, room_id: UUID) -> None:
        """The conversation as it is now, oldest first. With `before`, `next_cursor` leads further back."""
        reader, room = caller(req).user_id, ChatroomId(room_id)
        before, reply_to = queries.identifier(req, "before"), queries.identifier(req, "reply_to")
        scope = ("messages", reader, room, reply_to)
        limit, after = self._cursors.asked(req, *scope)
        if before is not None and after is not None:
            raise Invalid.field("before", "goes without a cursor", "contradiction")
        backwards, position = (True, MessageId(before)) if before else _position(after)
        page = self._core.list_messages(
            reader,
            room,
            limit=limit,
            before=position if backwards else None,
            after=None if backwards else position,
            reply_to=None if reply_to is None else MessageId(reply_to),
        )
        page = replace(page, next=page.next and (BACKWARDS if backwards else FORWARDS, *page.next))
        resp.data = bodies.write(self._cursors.listing(page, message_answer, *scope))


class OneMessage:
    """One message, and what its author can do about it."""

    def __init__(self, core: ChatVerbs, streams: Streams, followed: Shares) -> None:
        self._core = core
        self._streams = streams
        self._followed = followed

    @describe(
        "A message",
        answers={200: MessageAnswer},
        path=(ROOM_ID, MESSAGE_ID),
        query=(Parameter("wait", "Seconds to wait for the message to be final.", whole_number(0, MAX_WAIT, 0)),),
        problems=("not-found", "invalid-request"),
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, room_id: UUID, message_id: UUID) -> None:
        """At once, or as soon as it is final, but after `wait` seconds at the latest."""
        reader = caller(req).user_id
        wait = queries.whole_number(req, "wait", least=0, most=MAX_WAIT, default=0)
        with self._followed.one(reader) if wait else nullcontext():
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
        room, reply = ChatroomId(room_id), MessageId(message_id)
        self._streams.send(req, resp, asking, room, reply, after=req.get_header("Last-Event-ID") or "")

    @describe(
        "Stop a reply",
        body=bodies.Nothing,
        answers={202: MessageAnswer},
        path=(ROOM_ID, MESSAGE_ID),
        problems=("not-found", "already-final"),
    )
    def on_post_cancel(self, req: falcon.Request, resp: falcon.Response, room_id: UUID, message_id: UUID) -> None:
        """Within a second. What was generated so far is kept."""
        author = caller(req).user_id
        bodies.read(req, bodies.Nothing)
        reply = self._core.cancel_reply(author, ChatroomId(room_id), MessageId(message_id))
        resp.status = falcon.HTTP_202
        resp.data = bodies.write(message_answer(reply))

    @describe(
        "Ask for another reply",
        body=bodies.Nothing,
        answers=ACCEPTED,
        path=(ROOM_ID, MESSAGE_ID),
        headers=(IDEMPOTENCY_KEY,),
        answer_headers=ACCEPTED_HEADERS,
        problems=("not-found", "daily-limit-reached", "reply-under-way", "superseded", "idempotency-key-reused"),
    )
    def on_post_regenerate(self, req: falcon.Request, resp: falcon.Response, room_id: UUID, message_id: UUID) -> None:
        """To the same message: name the reply, or the message itself. Counts like a message.

        The earlier reply, and all that came after it, is kept, but is no part of the conversation any more. All replies
        to a message: `GET /chatroom/<room_id>/message/?reply_to=<message_id>`.
        """
        asking = caller(req)
        bodies.read(req, bodies.Nothing)
        sent = self._core.regenerate_reply(
            asking.user_id,
            ChatroomId(room_id),
            MessageId(message_id),
            key=req.get_header("Idempotency-Key"),
            request_id=request_id(req),
        )
        self._streams.tell_sent(req, resp, asking, sent)

    @describe(
        "Edit a message",
        body=Edit,
        answers=ACCEPTED,
        path=(ROOM_ID, MESSAGE_ID),
        headers=(IDEMPOTENCY_KEY,),
        answer_headers=ACCEPTED_HEADERS,
        problems=("not-found", "daily-limit-reached", "superseded", "idempotency-key-reused"),
    )
    def on_post_edit(self, req: falcon.Request, resp: falcon.Response, room_id: UUID, message_id: UUID) -> None:
        """The user's message anew, with the files it had; the conversation goes on from there. Counts like a message.

        The earlier wording, and all that came after it, is kept, but is no part of the conversation any more; a reply
        that is under way for it is stopped.
        """
        asking = caller(req)
        wanted = bodies.read(req, Edit)
        sent = self._core.edit_message(
            asking.user_id,
            ChatroomId(room_id),
            MessageId(message_id),
            wanted.content,
            key=req.get_header("Idempotency-Key"),
            request_id=request_id(req),
        )
        self._streams.tell_sent(req, resp, asking, sent)


def _position(after: tuple[str, ...] | None) -> tuple[bool, MessageId | None]:
    """Whether a cursor leads backwards, and from where."""
    return (False, None) if after is None else (after[0] == BACKWARDS, MessageId(UUID(after[1])))
