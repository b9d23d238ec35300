"""Titles and summaries in PostgreSQL. They lock their job, then the room, then the message they are about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, bindparam, select, text

from adapters.persistence.chat.rows import ROOM_COLUMNS, message_of, room_of, stretch_of
from adapters.persistence.engine import transaction
from adapters.persistence.jobs import finish_job
from adapters.persistence.tables import chatrooms, messages
from gemini_core.model.ids import NIL, ChatroomId, JobId, MessageId
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.model.notes import Exchange, Stretch

ROOM = select(*ROOM_COLUMNS).where(chatrooms.c.id == bindparam("room"))
FIRST_EXCHANGE = text(
    """
    SELECT said.content AS said, reply.content AS reply FROM messages reply
    JOIN messages said ON said.chatroom_id = reply.chatroom_id AND said.id = reply.reply_to
    WHERE reply.chatroom_id = :room AND reply.role = 'model' AND reply.status = 'complete' AND NOT reply.superseded
    ORDER BY reply.id LIMIT 1
    """
)
SET_TITLE = text("UPDATE chatrooms SET title = :title WHERE id = :room AND title = ''")
LAST_SUMMARY = text("SELECT upto, content FROM summaries WHERE chatroom_id = :room ORDER BY upto DESC LIMIT 1")
STRETCH = stretch_of(
    messages.c.chatroom_id == bindparam("room"),
    messages.c.id > bindparam("after"),
    messages.c.id <= bindparam("upto"),
    order=messages.c.id,
)
LOCK_ROOM = text("SELECT FROM chatrooms WHERE id = :room FOR KEY SHARE")
# The lock makes whoever supersedes the message wait until this is stored, and then remove it.
KEEP_SUMMARY = text(
    """
    INSERT INTO summaries (chatroom_id, upto, content, created_at)
    SELECT chatroom_id, id, :summary, :now FROM messages
    WHERE chatroom_id = :room AND id = :upto AND NOT superseded FOR SHARE
    ON CONFLICT DO NOTHING
    """
)


@dataclass(frozen=True, slots=True)
class SqlNotes:
    """`NoteRepo` on PostgreSQL."""

    engine: Engine

    def exchange(self, room: ChatroomId) -> Exchange | None:
        with transaction(self.engine) as connection:
            found = connection.execute(ROOM, {"room": room}).one_or_none()
            if found is None or found.title:
                return None
            row = connection.execute(FIRST_EXCHANGE, {"room": room}).one_or_none()
        return None if row is None else Exchange(room_of(found), row.said, row.reply)

    def set_title(self, lease: Lease, room: ChatroomId, title: str) -> bool:
        with transaction(self.engine) as connection:
            if finish_job(connection, lease) is None:
                return False
            return connection.execute(SET_TITLE, {"room": room, "title": title}).rowcount > 0

    def stretch(self, room: ChatroomId, upto: MessageId, *, turns: int, reach: int) -> Stretch | None:
        with transaction(self.engine) as connection:
            found = connection.execute(ROOM, {"room": room}).one_or_none()
            if found is None:
                return None
            last = connection.execute(LAST_SUMMARY, {"room": room}).one_or_none()
            after, summary = (NIL, "") if last is None else (last.upto, last.content)
            asked = {"room": room, "after": after, "upto": upto, "limit": turns, "reach": reach}
            rows = connection.execute(STRETCH, asked).all()
        return Stretch(room_of(found), summary, tuple(message_of(row) for row in rows)) if rows else None

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
        with transaction(self.engine) as connection:
            nudge = finish_job(connection, lease, then)
            if nudge is None:
                return ()
            if summary and connection.execute(LOCK_ROOM, {"room": room}).one_or_none() is not None:
                connection.execute(KEEP_SUMMARY, {"room": room, "upto": upto, "summary": summary, "now": now})
        return nudge
