"""Chatrooms."""

from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

import falcon
from msgspec import UNSET, Meta, Struct, UnsetType

from adapters.http import bodies, queries
from adapters.http.auth import caller
from adapters.http.chat.answers import (
    ROOM_ID,
    RoomAnswer,
    RoomWithMessages,
    message_answer,
    room_answer,
    room_fields,
    tell_replay,
)
from adapters.http.context import request_id
from adapters.http.describing import IDEMPOTENCY_KEY, PAGED, Parameter, describe
from adapters.http.paging import Cursors, Listing
from gemini_core.core.chat import ChatVerbs
from gemini_core.errors import Invalid
from gemini_core.model.chat import RoomChange
from gemini_core.model.ids import ChatroomId
from gemini_core.use_cases.chat.rooms import MAX_MODEL

LATEST = 20


class NewRoom(Struct, forbid_unknown_fields=True):
    """What a chatroom starts with; all of it can be changed later.

    After trimming a title has at most 200 characters, and an instruction 8,000.
    """

    title: str | None = None
    system_instruction: str | None = None
    model: Annotated[str, Meta(max_length=MAX_MODEL)] | None = None


class RoomPatch(Struct, forbid_unknown_fields=True):
    """What changes; null takes a title or an instruction away."""

    title: str | UnsetType | None = UNSET
    system_instruction: str | UnsetType | None = UNSET
    model: Annotated[str, Meta(max_length=MAX_MODEL)] | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


class Rooms:
    """A user's chatrooms."""

    def __init__(self, core: ChatVerbs, cursors: Cursors) -> None:
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
        tell_replay(resp, replayed=replayed)
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

    def __init__(self, core: ChatVerbs) -> None:
        self._core = core

    @describe("A chatroom", answers={200: RoomWithMessages}, path=(ROOM_ID,), problems=("not-found",))
    def on_get(self, req: falcon.Request, resp: falcon.Response, room_id: UUID) -> None:
        """With its latest messages, oldest first."""
        room, messages = self._core.show_room(caller(req).user_id, ChatroomId(room_id), latest=LATEST)
        resp.data = bodies.write(
            RoomWithMessages(**room_fields(room), messages=[message_answer(message) for message in messages])
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
        self._core.delete_room(caller(req).user_id, ChatroomId(room_id), request_id=request_id(req))
        resp.status = falcon.HTTP_204


def _flag(req: falcon.Request, name: str) -> bool | None:
    value = queries.text(req, name)
    if value not in (None, "true", "false"):
        raise Invalid.field(name, "must be true or false", "not_a_choice")
    return None if value is None else value == "true"


def _matches(req: falcon.Request, etag: str) -> bool:
    asked = req.get_header("If-None-Match", default="")
    return asked.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in asked.split(",")]
