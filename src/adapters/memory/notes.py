"""Titles and summaries in the process."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from adapters.memory.chat.tables import MemoryChat, within
from gemini_core.model.chat import Role, Status
from gemini_core.model.ids import ChatroomId, JobId, MessageId
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.model.notes import Exchange, Stretch


@dataclass(frozen=True, slots=True)
class MemoryNotes:
    """`NoteRepo` in the process."""

    chat: MemoryChat

    def exchange(self, room: ChatroomId) -> Exchange | None:
        with self.chat.store.lock:
            found = self.chat.rooms.get(room)
            if found is None or found.title:
                return None
            messages = self.chat.messages[room]
            for message in sorted(messages.values(), key=lambda message: message.id):
                whole = message.status is Status.COMPLETE and not message.superseded
                if message.role is Role.MODEL and message.reply_to is not None and whole:
                    return Exchange(found, messages[message.reply_to].content, message.content)
        return None

    def set_title(self, lease: Lease, room: ChatroomId, title: str) -> bool:
        with self.chat.store.lock:
            if self.chat.jobs.finish(lease) is None or (found := self.chat.rooms.get(room)) is None:
                return False
            if found.title:
                return False
            self.chat.rooms[room] = replace(found, title=title)
            return True

    def stretch(self, room: ChatroomId, upto: MessageId, *, turns: int, reach: int) -> Stretch | None:
        with self.chat.store.lock:
            found, summaries = self.chat.rooms.get(room), self.chat.summaries.get(room, {})
            if found is None:
                return None
            last = max(summaries, default=None)
            said = within(self.chat.conversation(room, after=last, upto=upto), turns, reach)
        return Stretch(found, "" if last is None else summaries[last], tuple(said)) if said else None

    def keep_summary(
        self,
        lease: Lease,
        room: ChatroomId,
        upto: MessageId,
        summary: str,
        *,
        now: datetime,
        then: Iterable[NewJob] = (),
    ) -> Sequence[JobId]:
        with self.chat.store.lock:
            nudge = self.chat.jobs.finish(lease, then=then)
            if nudge is None or room not in self.chat.rooms:
                return nudge or ()
            if summary and not self.chat.messages[room][upto].superseded:
                self.chat.summaries.setdefault(room, {}).setdefault(upto, summary)
            return nudge
