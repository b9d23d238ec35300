"""Rooms, and what everything about chat in the process shares."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from adapters.memory.jobs import MemoryJobs
from adapters.memory.once import MemoryKeys
from adapters.memory.store import MemoryStore
from gemini_core.errors import NotFound
from gemini_core.model.chat import (
    Chatroom,
    DayUsage,
    Message,
    RoomChange,
    Status,
    TokenTotals,
    Usage,
    no_message,
    no_more_rooms,
    no_room,
)
from gemini_core.model.ids import ChatroomId, MessageId, UserId
from gemini_core.model.jobs import NewJob
from gemini_core.model.replies import ModelCall
from gemini_core.model.requests import Once, Page

# The plan in force for a user at an instant; raises `NotFound` for no such user.
PlanOf = Callable[[UserId, datetime], str]


@dataclass(slots=True)
class MemoryChat:
    """What the repositories below share: the tables."""

    store: MemoryStore
    jobs: MemoryJobs
    plan_of: PlanOf
    rooms: dict[ChatroomId, Chatroom] = field(default_factory=dict)
    last_ms: dict[ChatroomId, int] = field(default_factory=dict)
    messages: dict[ChatroomId, dict[MessageId, Message]] = field(default_factory=dict)
    summaries: dict[ChatroomId, dict[MessageId, str]] = field(default_factory=dict)
    units: dict[MessageId, date] = field(default_factory=dict)
    used: dict[tuple[UserId, date], int] = field(default_factory=dict)
    refused: set[tuple[UserId, date]] = field(default_factory=set)
    calls: dict[UUID, ModelCall] = field(default_factory=dict)
    keys: MemoryKeys[Any] = field(default_factory=MemoryKeys)

    def __post_init__(self) -> None:
        self.store.erasers.append(self.erase)

    def room(self, owner: UserId, room: ChatroomId) -> Chatroom:
        """The owner's room. Raises `NotFound`."""
        found = self.rooms.get(room)
        if found is None or found.user_id != owner:
            raise no_room()
        return found

    def message(self, reader: UserId, room: ChatroomId, message: MessageId) -> Message:
        """A message in a room of the reader. Raises `NotFound`."""
        found = self.messages.get(room, {}).get(message)
        owned = self.rooms.get(room)
        if found is None or owned is None or owned.user_id != reader:
            raise no_message()
        return found

    def give_back(self, reply: MessageId, owner: UserId) -> None:
        """The unit of a reply returns to its day, once."""
        day = self.units.pop(reply, None)
        if day is not None:
            self.used[owner, day] -= 1

    def conversation(self, room: ChatroomId, *, after: MessageId | None, upto: MessageId) -> list[Message]:
        """The current messages of a room in order."""
        messages = self.messages[room].values()
        current = [m for m in messages if not m.superseded and (after is None or m.id > after) and m.id <= upto]
        return sorted(current, key=lambda message: message.id)

    def drop(self, room: ChatroomId) -> None:
        """The room with everything in it."""
        for message in self.messages.pop(room, {}).values():
            if message.status is Status.PENDING:
                self.give_back(message.id, self.rooms[room].user_id)
            self.units.pop(message.id, None)
        self.jobs.drop_lane(room)
        self.summaries.pop(room, None)
        del self.rooms[room]

    def erase(self, user: UserId) -> None:
        """All that hangs on a user."""
        for room in [room.id for room in self.rooms.values() if room.user_id == user]:
            self.drop(room)
        self.used = {key: used for key, used in self.used.items() if key[0] != user}
        self.refused = {key for key in self.refused if key[0] != user}
        self.calls = {id: call for id, call in self.calls.items() if call.user != user}
        self.keys.erase(user)


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


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """`UsageRepo` in the process."""

    chat: MemoryChat

    def of_day(self, user: UserId, day: date, *, now: datetime) -> DayUsage:
        with self.chat.store.lock:
            return DayUsage(self.chat.plan_of(user, now), self.chat.used.get((user, day), 0))

    def refused(self, user: UserId, day: date, *, then: Iterable[NewJob]) -> None:
        with self.chat.store.lock:
            if (user, day) not in self.chat.refused:
                self.chat.refused.add((user, day))
                for job in then:
                    self.chat.jobs.add(job)

    def tokens(self, user: UserId, *, today: date, since: date) -> TokenTotals:
        with self.chat.store.lock:
            mine = [(call.began.date(), call.usage) for call in self.chat.calls.values() if call.user == user]
        return TokenTotals(
            sum((usage for day, usage in mine if day == today), Usage()),
            sum((usage for day, usage in mine if day >= since), Usage()),
        )

    def record(self, calls: Iterable[ModelCall]) -> None:
        with self.chat.store.lock:
            for call in calls:
                with suppress(NotFound):
                    self.chat.plan_of(call.user, call.began)
                    before = self.chat.calls.get(call.id)
                    if before is None or call.usage.total_tokens > before.usage.total_tokens:
                        self.chat.calls[call.id] = call


class NoRoomListCache:
    """`RoomListCache` that keeps nothing: in the process the lists are close anyway."""

    def fetch(self, owner: UserId, key: str, make: Callable[[], Page[Chatroom]]) -> Page[Chatroom]:
        return make()

    def changed(self, owner: UserId) -> None:
        return None


def within(messages: Sequence[Message], turns: int, reach: int) -> list[Message]:
    """The first so many turns, and none once they have `reach` bytes of text."""
    found: list[Message] = []
    for message in messages[:turns]:
        if reach <= 0:
            break
        found.append(message)
        reach -= len(message.content.encode())
    return found


def of_plan(numbers: Mapping[str, int], plan: str) -> int:
    """The number for this plan; a plan that has none counts as basic."""
    return numbers.get(plan, numbers["basic"])
