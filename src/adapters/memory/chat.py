"""Rooms and messages in the process."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from adapters.memory.jobs import MemoryJobs
from adapters.memory.store import MemoryStore
from gemini_core.errors import Conflict, LimitReached, NotFound
from gemini_core.model.attachments import Attachment
from gemini_core.model.chat import (
    Chatroom,
    DayUsage,
    Message,
    Role,
    RoomChange,
    Sent,
    Status,
    TokenTotals,
    Usage,
    day_ends,
)
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId, unix_ms, uuid7_of_ms
from gemini_core.model.jobs import NewJob
from gemini_core.model.requests import KEY_LIVES, Once, Page, key_reused

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
    tokens: dict[tuple[UserId, date, str, str], Usage] = field(default_factory=dict)
    keys: dict[tuple[UserId, str], tuple[Once, datetime, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store.erasers.append(self.erase)

    def room(self, owner: UserId, room: ChatroomId) -> Chatroom:
        """The owner's room. Raises `NotFound`."""
        found = self.rooms.get(room)
        if found is None or found.user_id != owner:
            raise NotFound("There is no such chatroom.")
        return found

    def message(self, reader: UserId, room: ChatroomId, message: MessageId) -> Message:
        """A message in a room of the reader. Raises `NotFound`."""
        found = self.messages.get(room, {}).get(message)
        owned = self.rooms.get(room)
        if found is None or owned is None or owned.user_id != reader:
            raise NotFound("There is no such message.")
        return found

    def first(self, user: UserId, once: Once | None, now: datetime) -> Any:
        """The first outcome under this key; None if there is none. Raises `Invalid` for another request's key."""
        if once is None or (user, once.key) not in self.keys:
            return None
        kept, at, outcome = self.keys[user, once.key]
        if at + KEY_LIVES <= now:
            return None
        if kept.fingerprint != once.fingerprint:
            raise key_reused()
        return outcome

    def give_back(self, reply: MessageId, owner: UserId) -> None:
        """The unit of a reply returns to its day, once."""
        day = self.units.pop(reply, None)
        if day is not None:
            self.used[owner, day] -= 1

    def bill(self, user: UserId, model: str, billed: Usage | None, now: datetime) -> None:
        """Count what the provider billed."""
        if billed is not None:
            key = (user, now.date(), model, self.plan_of(user, now))
            self.tokens[key] = self.tokens.get(key, Usage()) + billed

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
        self.tokens = {key: usage for key, usage in self.tokens.items() if key[0] != user}
        self.keys = {key: kept for key, kept in self.keys.items() if key[0] != user}


@dataclass(frozen=True, slots=True)
class MemoryRooms:
    """`RoomRepo` in the process."""

    chat: MemoryChat

    def create(self, room: Chatroom, *, max_rooms: Mapping[str, int], once: Once | None) -> tuple[Chatroom, bool]:
        chat = self.chat
        with chat.store.lock:
            plan = chat.plan_of(room.user_id, room.created_at)
            if (first := chat.first(room.user_id, once, room.created_at)) is not None:
                return first, True
            if sum(other.user_id == room.user_id for other in chat.rooms.values()) >= _of_plan(max_rooms, plan):
                raise Conflict("Your plan has no room for another chatroom.", code="room-limit-reached")
            chat.rooms[room.id] = room
            chat.messages[room.id] = {}
            if once is not None:
                chat.keys[room.user_id, once.key] = (once, room.created_at, room)
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
class MemoryMessages:
    """`MessageRepo` in the process."""

    chat: MemoryChat

    def send(
        self,
        author: UserId,
        room: ChatroomId,
        content: str,
        *,
        limits: Mapping[str, int],
        now: datetime,
        attachments: tuple[Attachment, ...] = (),
        once: Once | None = None,
        request_id: str = "",
    ) -> Sent:
        chat = self.chat
        with chat.store.lock:
            if (first := chat.first(author, once, now)) is not None:
                sent: Sent = replace(first, replayed=True)
                return sent
            owned = chat.room(author, room)
            said = self._said(owned, content, attachments, now)
            return self._accept(owned, said, [said], limits, now=now, once=once, request_id=request_id)

    def redo(
        self,
        author: UserId,
        room: ChatroomId,
        message: MessageId,
        content: str | None,
        *,
        limits: Mapping[str, int],
        now: datetime,
        once: Once | None = None,
        request_id: str = "",
    ) -> Sent:
        chat = self.chat
        with chat.store.lock:
            owned = chat.room(author, room)
            if (first := chat.first(author, once, now)) is not None:
                sent: Sent = replace(first, replayed=True)
                return sent
            found = chat.message(author, room, message)
            if content is None:
                said = self._to_answer(found)
                new, after = [], said.id
            else:
                old = self._to_edit(found)
                said = self._said(owned, content, old.attachments, now)
                new, after = [said], MessageId(UUID(int=old.id.int - 1))
            return self._accept(
                owned, said, new, limits, now=now, once=once, request_id=request_id, superseding=after
            )

    def _to_edit(self, message: Message) -> Message:
        if message.role is not Role.USER:
            raise NotFound("There is no such message.")
        return _current(message)

    def _to_answer(self, message: Message) -> Message:
        messages = self.chat.messages[message.chatroom_id]
        said = _current(messages[message.reply_to or message.id])
        replies = [other for other in messages.values() if other.reply_to == said.id and not other.superseded]
        if any(not reply.status.final for reply in replies):
            raise Conflict("The reply to this message is still under way.", code="reply-under-way")
        return said

    def _said(self, room: Chatroom, content: str, attachments: tuple[Attachment, ...], now: datetime) -> Message:
        return Message(
            id=self._id(room, now, Role.USER),
            chatroom_id=room.id,
            role=Role.USER,
            content=content,
            status=Status.COMPLETE,
            created_at=now,
            completed_at=now,
            attachments=attachments,
        )

    def _id(self, room: Chatroom, now: datetime, role: Role) -> MessageId:
        """Above all that the room has; a reply's is above that of what it answers."""
        made = uuid7_of_ms(max(unix_ms(now), self.chat.last_ms.get(room.id, 0) + 1)).int
        return MessageId(UUID(int=made | 1 << 75 if role is Role.MODEL else made & ~(1 << 75)))

    def _accept(
        self,
        room: Chatroom,
        said: Message,
        new: list[Message],
        limits: Mapping[str, int],
        *,
        now: datetime,
        once: Once | None,
        request_id: str,
        superseding: MessageId | None = None,
    ) -> Sent:
        """The one transaction: everything is checked by now but the unit of the day."""
        chat, author, day = self.chat, room.user_id, (room.user_id, now.date())
        limit, stoppable = _of_plan(limits, chat.plan_of(author, now)), self._stoppable(room.id, superseding)
        used, back = chat.used.get(day, 0), sum(chat.units.get(reply) == now.date() for reply in stoppable)
        if used - back >= limit:
            detail = f"Your plan allows {limit} messages a day."
            raise LimitReached(detail, limit=limit, used=used, resets_at=day_ends(now))
        gone = self._supersede(room, superseding, stoppable, now)
        reply = said.promised(self._id(room, now, Role.MODEL), at=now)
        chat.last_ms[room.id] = reply.id.int >> 80
        chat.messages[room.id] |= {message.id: message for message in (*new, reply)}
        count = room.message_count + len(new) + 1 - gone
        chat.rooms[room.id] = replace(room, updated_at=now, message_count=count)
        chat.used[day] = chat.used.get(day, 0) + 1
        chat.units[reply.id] = now.date()
        chat.jobs.add(NewJob(id=JobId(reply.id), kind="reply", lane=room.id, request_id=request_id))
        sent = Sent(message=said, reply=reply, limit=limit, used=chat.used[day], stopped=stoppable)
        if once is not None:
            chat.keys[author, once.key] = (once, now, replace(sent, stopped=()))
        return sent

    def _stoppable(self, room: ChatroomId, superseding: MessageId | None) -> tuple[MessageId, ...]:
        """The replies above an id that nobody works on."""
        if superseding is None:
            return ()
        jobs = self.chat.jobs
        above = [id for id in self.chat.messages[room] if id > superseding and JobId(id) in jobs.jobs]
        return tuple(sorted(id for id in above if not jobs.leased(JobId(id))))

    def _supersede(
        self, room: Chatroom, after: MessageId | None, stoppable: tuple[MessageId, ...], now: datetime
    ) -> int:
        """Answers how many messages are no part of the conversation any more."""
        if after is None:
            return 0
        chat, messages = self.chat, self.chat.messages[room.id]
        for reply in stoppable:
            del chat.jobs.jobs[JobId(reply)]
            chat.give_back(reply, room.user_id)
            messages[reply] = replace(messages[reply], status=Status.CANCELLED, completed_at=now)
        gone = [message for message in messages.values() if message.id > after and not message.superseded]
        for message in gone:
            messages[message.id] = replace(message, superseded=True)
            if JobId(message.id) in chat.jobs.jobs:
                chat.jobs.ask_to_stop(JobId(message.id))
        summaries = chat.summaries.get(room.id, {})
        chat.summaries[room.id] = {upto: text for upto, text in summaries.items() if upto <= after}
        return len(gone)

    def show(self, reader: UserId, room: ChatroomId, message: MessageId) -> Message:
        with self.chat.store.lock:
            return self.chat.message(reader, room, message)

    def page(
        self,
        reader: UserId,
        room: ChatroomId,
        *,
        limit: int,
        after: MessageId | None = None,
        before: MessageId | None = None,
        reply_to: MessageId | None = None,
    ) -> Page[Message]:
        with self.chat.store.lock:
            self.chat.room(reader, room)
            current = [
                message
                for message in self.chat.messages[room].values()
                if (not message.superseded if reply_to is None else message.reply_to == reply_to)
            ]
        current.sort(key=lambda message: message.id, reverse=before is not None)
        if before is not None:
            current = [message for message in current if message.id < before]
        elif after is not None:
            current = [message for message in current if message.id > after]
        found = current[:limit]
        more = (str(found[-1].id),) if len(current) > limit else None
        return Page(tuple(found if before is None else reversed(found)), more)

    def cancel(
        self, author: UserId, room: ChatroomId, reply: MessageId, *, now: datetime
    ) -> tuple[Message, Sequence[JobId]]:
        chat = self.chat
        with chat.store.lock:
            message = chat.message(author, room, reply)
            if message.role is not Role.MODEL:
                raise NotFound("There is no such message.")
            if message.status.final:
                raise Conflict("This reply is final already.", code="already-final")
            job = JobId(reply)
            if chat.jobs.leased(job):
                chat.jobs.ask_to_stop(job)
                return message, ()
            del chat.jobs.jobs[job]
            chat.give_back(reply, author)
            chat.messages[room][reply] = replace(message, status=Status.CANCELLED, completed_at=now)
            return chat.messages[room][reply], chat.jobs.next_in_lane(room, job)


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """`UsageRepo` in the process."""

    chat: MemoryChat

    def of_day(self, user: UserId, day: date, *, now: datetime) -> DayUsage:
        with self.chat.store.lock:
            return DayUsage(self.chat.plan_of(user, now), self.chat.used.get((user, day), 0))

    def tokens(self, user: UserId, *, today: date, since: date) -> TokenTotals:
        with self.chat.store.lock:
            mine = [(key[1], usage) for key, usage in self.chat.tokens.items() if key[0] == user]
        return TokenTotals(
            sum((usage for day, usage in mine if day == today), Usage()),
            sum((usage for day, usage in mine if day >= since), Usage()),
        )


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


def _current(message: Message) -> Message:
    if message.superseded:
        raise Conflict("This message is no part of the conversation any more.", code="superseded")
    return message


def _of_plan(numbers: Mapping[str, int], plan: str) -> int:
    return numbers.get(plan, numbers["basic"])
