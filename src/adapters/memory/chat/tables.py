"""What the repositories of chat share in the process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from adapters.memory.jobs import MemoryJobs
from adapters.memory.once import MemoryKeys
from adapters.memory.store import MemoryStore
from gemini_core.model.chat import Chatroom, Message, Status, no_message, no_room
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId
from gemini_core.model.replies import ModelCall

# The plan in force for a user at an instant; raises `NotFound` for no such user.
PlanOf = Callable[[UserId, datetime], str]


@dataclass(slots=True)
class MemoryChat:
    """The tables."""

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
    # The plan in force when a call began.
    plans: dict[UUID, str] = field(default_factory=dict)
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
            if message.status is Status.PENDING or (
                message.status is Status.GENERATING and not self.jobs.held(JobId(message.id))
            ):
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
        self.plans = {id: plan for id, plan in self.plans.items() if id in self.calls}
        self.keys.erase(user)


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
