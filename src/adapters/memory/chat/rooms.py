"""Rooms in the process."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from datetime import datetime
from uuid import UUID

from adapters.memory.chat.tables import MemoryChat, of_plan
from gemini_core.model.chat import Chatroom, RoomChange, no_more_rooms
from gemini_core.model.ids import ChatroomId, UserId
from gemini_core.model.jobs import NewJob
from gemini_core.model.requests import Once, Page


@dataclass(frozen=True, slots=True)
class MemoryRooms:
    """`RoomRepo` in the process."""

    chat: MemoryChat

    def create(self, room: Chatroom, *, max_rooms: Mapping[str, int], once: Once | None) -> tuple[Chatroom, bool]:
        chat = self.chat
        with chat.store.lock:
            plan = chat.plan_of(room.user_id, room.created_at)
            if (first := chat.keys.first(room.user_id, once, room.created_at)) is not None:
                return first, True
            if sum(other.user_id == room.user_id for other in chat.rooms.values()) >= of_plan(max_rooms, plan):
                raise no_more_rooms()
            chat.rooms[room.id] = room
            chat.messages[room.id] = {}
            chat.keys.keep(room.user_id, once, room, room.created_at)
            return room, False

    def page(
        self, owner: UserId, *, archived: bool | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[Chatroom]:
        with self.chat.store.lock:
            rooms = [room for room in self.chat.rooms.values() if room.user_id == owner]
        rooms = [room for room in rooms if archived in (None, room.archived)]
        rooms.sort(key=lambda room: (room.updated_at, room.id), reverse=True)
        if after is not None:
            position = (datetime.fromisoformat(after[0]), UUID(after[1]))
            rooms = [room for room in rooms if (room.updated_at, room.id) < position]
        more = len(rooms) > limit
        last = rooms[limit - 1] if more else None
        return Page(tuple(rooms[:limit]), (last.updated_at.isoformat(), str(last.id)) if last else None)

    def show(self, owner: UserId, room: ChatroomId) -> Chatroom:
        with self.chat.store.lock:
            return self.chat.room(owner, room)

    def change(self, owner: UserId, room: ChatroomId, change: RoomChange, *, now: datetime) -> Chatroom:
        named = {item.name: value for item in fields(change) if (value := getattr(change, item.name)) is not None}
        with self.chat.store.lock:
            changed = replace(self.chat.room(owner, room), **named, updated_at=now)
            self.chat.rooms[room] = changed
            return changed

    def delete(self, owner: UserId, room: ChatroomId, *, then: Iterable[NewJob] = ()) -> None:
        with self.chat.store.lock:
            self.chat.room(owner, room)
            self.chat.drop(room)
            for job in then:
                self.chat.jobs.add(job)


class NoRoomListCache:
    """`RoomListCache` that keeps nothing: in the process the lists are close anyway."""

    def fetch(self, owner: UserId, key: str, make: Callable[[], Page[Chatroom]]) -> Page[Chatroom]:
        return make()

    def changing(self, owner: UserId) -> AbstractContextManager[None]:
        return nullcontext()
