"""Replies in the process, while they are made and followed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Condition
from uuid import UUID

from adapters.memory.chat.tables import MemoryChat, within
from gemini_core.model.chat import Chatroom, Message, Role, Status
from gemini_core.model.ids import NIL, ChatroomId, JobId, MessageId, UserId
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.model.replies import Answer, Conversation, FeedEvent


@dataclass(frozen=True, slots=True)
class MemoryReplies:
    """`ReplyRepo` in the process."""

    chat: MemoryChat

    def begin(self, lease: Lease, *, history: int, reach: int) -> Conversation | None:
        chat = self.chat
        with chat.store.lock:
            if not chat.jobs.holds(lease):
                return None
            room, reply = self._found(lease)
            chat.messages[room.id][reply.id] = reply = replace(reply, status=Status.GENERATING, attempt=lease.attempt)
            last = max((upto for upto in chat.summaries.get(room.id, {}) if upto < reply.id), default=None)
            turns = chat.conversation(room.id, after=last, upto=MessageId(UUID(int=reply.id.int - 1)))
            return Conversation(
                user_id=room.user_id,
                room=room,
                plan=chat.plan_of(room.user_id, lease.trying_since),
                reply=reply,
                turns=tuple(reversed(within(turns[::-1], history, reach))),
                summary="" if last is None else chat.summaries[room.id][last],
            )

    def finish(
        self, lease: Lease, answer: Answer, *, now: datetime, then: Iterable[NewJob] = ()
    ) -> Sequence[JobId] | None:
        chat = self.chat
        with chat.store.lock:
            nudge = chat.jobs.finish(lease, then=then)
            if nudge is None:
                return None
            room, reply = self._found(lease)
            chat.messages[room.id][reply.id] = replace(
                reply,
                status=answer.status,
                content=answer.content,
                completed_at=now,
                model=answer.model or None,
                finish_reason=answer.finish_reason,
                usage=answer.usage,
                error=answer.error,
            )
            if answer.give_back:
                chat.give_back(reply.id, room.user_id)
            return nudge

    def owner(self, lease: Lease) -> UserId | None:
        with self.chat.store.lock:
            room = self.chat.rooms.get(ChatroomId(lease.lane or NIL))
            return room.user_id if room else None

    def not_final_before(self, user: UserId, instant: datetime) -> Sequence[MessageId]:
        with self.chat.store.lock:
            return [
                message.id
                for room in self.chat.rooms.values()
                if room.user_id == user
                for message in self.chat.messages[room.id].values()
                if message.role is Role.MODEL and not (message.completed_at and message.completed_at <= instant)
            ]

    def _found(self, lease: Lease) -> tuple[Chatroom, Message]:
        room = self.chat.rooms[ChatroomId(lease.lane or NIL)]
        return room, self.chat.messages[room.id][MessageId(lease.id)]


# Logs. Afterwards the stored text serves.
KEPT = 1_000
END = FeedEvent(0, 0, "", end=True)


@dataclass(frozen=True, slots=True)
class MemoryFeed:
    """`ReplyFeed` in the process. Of replies that are made and followed, the latest ones are kept."""

    logs: dict[MessageId, list[FeedEvent]] = field(default_factory=dict)
    grown: Condition = field(default_factory=Condition)

    def append(self, reply: MessageId, attempt: int, start: int, text: str) -> None:
        self._add(reply, FeedEvent(attempt, start, text))

    def end(self, reply: MessageId) -> None:
        self._add(reply, END)

    def forget(self, reply: MessageId) -> None:
        with self.grown:
            self.logs.pop(reply, []).append(END)  # for those who follow it
            self.grown.notify_all()

    def follow(self, reply: MessageId, *, patience: float) -> Iterator[Sequence[FeedEvent]]:
        log = self.logs.setdefault(reply, [])
        news = log[:]
        position = len(news)
        yield news
        while not (news and news[-1].end):
            news = self._news(log, position, patience)
            position += len(news)
            yield news

    def _news(self, log: list[FeedEvent], position: int, patience: float) -> list[FeedEvent]:
        with self.grown:
            self.grown.wait_for(lambda: len(log) > position, patience)
            return log[position:]

    def _add(self, reply: MessageId, event: FeedEvent) -> None:
        with self.grown:
            self.logs.setdefault(reply, []).append(event)
            if event.end and len(self.logs) > KEPT:
                del self.logs[next(iter(self.logs))]
            self.grown.notify_all()
