"""Replies in the process, while they are made and followed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Condition
from uuid import UUID

from adapters.memory.chat import MemoryChat
from gemini_core.model.chat import Chatroom, Message, Status, Usage
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId
from gemini_core.model.jobs import Lease
from gemini_core.model.replies import Answer, Conversation, FeedEvent


@dataclass(frozen=True, slots=True)
class MemoryReplies:
    """`ReplyRepo` in the process."""

    chat: MemoryChat

    def begin(self, lease: Lease, *, history: int) -> Conversation | None:
        chat = self.chat
        with chat.store.lock:
            if not chat.jobs.holds(lease):
                return None
            room, reply = self._found(lease)
            chat.messages[room.id][reply.id] = reply = replace(reply, status=Status.GENERATING, attempt=lease.attempt)
            before = [m for m in chat.messages[room.id].values() if m.id < reply.id and not m.superseded]
            before.sort(key=lambda message: message.id)
            plan = chat.plan_of(room.user_id, lease.trying_since)
        turns = tuple(before[-history:])
        return Conversation(user_id=room.user_id, room=room, plan=plan, reply=reply, turns=turns)

    def finish(self, lease: Lease, answer: Answer, *, now: datetime) -> Sequence[JobId] | None:
        chat = self.chat
        with chat.store.lock:
            nudge = chat.jobs.finish(lease)
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
                usage=answer.billed,
                error=answer.error,
            )
            if answer.give_back:
                chat.give_back(reply.id, room.user_id)
            self._bill(room.user_id, answer.model, answer.billed, now)
            return nudge

    def try_again(
        self, lease: Lease, *, after: timedelta, error: str, billed: Usage | None, model: str, now: datetime
    ) -> bool:
        with self.chat.store.lock:
            if not self.chat.jobs.put_back(lease, after=after, failed=True, error=error):
                return False
            room, _ = self._found(lease)
            self._bill(room.user_id, model, billed, now)
            return True

    def _found(self, lease: Lease) -> tuple[Chatroom, Message]:
        room = self.chat.rooms[ChatroomId(lease.lane or UUID(int=0))]
        return room, self.chat.messages[room.id][MessageId(lease.id)]

    def _bill(self, user: UserId, model: str, billed: Usage | None, now: datetime) -> None:
        if billed is not None:
            key = (user, now.date(), model, self.chat.plan_of(user, now))
            self.chat.tokens[key] = self.chat.tokens.get(key, Usage()) + billed


@dataclass(frozen=True, slots=True)
class MemoryFeed:
    """`ReplyFeed` in the process."""

    logs: dict[MessageId, list[FeedEvent]] = field(default_factory=dict)
    grown: Condition = field(default_factory=Condition)

    def append(self, reply: MessageId, attempt: int, start: int, text: str) -> None:
        self._add(reply, FeedEvent(attempt, start, text))

    def end(self, reply: MessageId) -> None:
        self._add(reply, FeedEvent(0, 0, "", end=True))

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
            self.grown.notify_all()
