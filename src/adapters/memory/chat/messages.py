"""Messages in the process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from adapters.memory.chat.tables import MemoryChat, of_plan
from gemini_core.model.attachments import Attachment
from gemini_core.model.chat import (
    Chatroom,
    Message,
    Role,
    Sent,
    Status,
    already_final,
    day_used_up,
    no_message,
    under_way,
)
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId, unix_ms, uuid7_of_ms
from gemini_core.model.jobs import NewJob
from gemini_core.model.replies import REPLY_JOB
from gemini_core.model.requests import Once, Page


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
            if (first := chat.keys.first(author, once, now)) is not None:
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
            if content is None:
                chat.room(author, room)  # What was said is told again, and goes with the room.
            if (first := chat.keys.first(author, once, now)) is not None:
                sent: Sent = replace(first, replayed=True)
                return sent
            owned = chat.room(author, room)
            found = chat.message(author, room, message)
            if content is None:
                said = self._to_answer(found)
                new, after = [], said.id
            else:
                old = self._to_edit(found)
                said = self._said(owned, content, old.attachments, now)
                new, after = [said], MessageId(UUID(int=old.id.int - 1))
            return self._accept(owned, said, new, limits, now=now, once=once, request_id=request_id, superseding=after)

    def _to_edit(self, message: Message) -> Message:
        if message.role is not Role.USER:
            raise no_message()
        return message.current()

    def _to_answer(self, message: Message) -> Message:
        messages = self.chat.messages[message.chatroom_id]
        said = messages[message.reply_to or message.id].current()
        replies = [other for other in messages.values() if other.reply_to == said.id and not other.superseded]
        if any(not reply.status.final for reply in replies):
            raise under_way()
        return said

    def _said(self, room: Chatroom, content: str, attachments: tuple[Attachment, ...], now: datetime) -> Message:
        return Message.said(self._id(room, now, Role.USER), room.id, content, at=now, attachments=attachments)

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
        limit, stoppable = of_plan(limits, chat.plan_of(author, now)), self._stoppable(room.id, superseding)
        used, back = chat.used.get(day, 0), sum(chat.units.get(reply) == now.date() for reply in stoppable)
        if used - back >= limit:
            raise day_used_up(limit, used, now)
        gone = self._supersede(room, superseding, stoppable, now)
        reply = said.promised(self._id(room, now, Role.MODEL), at=now)
        chat.last_ms[room.id] = reply.id.int >> 80
        chat.messages[room.id] |= {message.id: message for message in (*new, reply)}
        count = room.message_count + len(new) + 1 - gone
        chat.rooms[room.id] = replace(room, updated_at=now, message_count=count)
        chat.used[day] = chat.used.get(day, 0) + 1
        chat.units[reply.id] = now.date()
        chat.jobs.add(NewJob(id=JobId(reply.id), kind=REPLY_JOB, lane=room.id, request_id=request_id))
        sent = Sent(message=said, reply=reply, limit=limit, used=chat.used[day], stopped=stoppable)
        chat.keys.keep(author, once, replace(sent, stopped=()), now)
        return sent

    def _stoppable(self, room: ChatroomId, superseding: MessageId | None) -> tuple[MessageId, ...]:
        """The replies above an id that no worker has."""
        if superseding is None:
            return ()
        jobs = self.chat.jobs
        above = [id for id in self.chat.messages[room] if id > superseding and JobId(id) in jobs.jobs]
        return tuple(sorted(id for id in above if not jobs.held(JobId(id))))

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
                raise no_message()
            if message.status.final:
                raise already_final()
            job = JobId(reply)
            if chat.jobs.held(job):
                chat.jobs.ask_to_stop(job)
                return message, ()
            del chat.jobs.jobs[job]
            chat.give_back(reply, author)
            chat.messages[room][reply] = replace(message, status=Status.CANCELLED, completed_at=now)
            return chat.messages[room][reply], chat.jobs.next_in_lane(room, job)
