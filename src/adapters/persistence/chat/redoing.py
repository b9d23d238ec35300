"""Going on from an earlier point of a conversation, in PostgreSQL: what came after it is superseded, and kept."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from adapters.persistence.chat.rows import IDS, MESSAGE, attachments_of, files_of, message_of
from adapters.persistence.chat.sending import id_tails
from adapters.persistence.chat.stopping import stop_replies
from adapters.persistence.engine import transaction
from adapters.persistence.jobs import insert_job
from adapters.persistence.once import first_outcome, take_key
from adapters.persistence.tables import PLAN
from gemini_core.model.chat import Message, Role, Sent, day_used_up, no_message, no_room, under_way
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId, unix_ms
from gemini_core.model.jobs import NewJob
from gemini_core.model.replies import REPLY_JOB
from gemini_core.model.requests import Once, key_reused

LOCK_ROOM = text(
    f"""
    SELECT greatest(:now_ms, r.last_message_ms + 1) AS ms,
        coalesce((:limits ->> {PLAN})::int, (:limits ->> 'basic')::int) AS allowed,
        coalesce((SELECT used FROM daily_usage WHERE user_id = :author AND day = :day), 0) AS used
    FROM chatrooms r JOIN users u ON u.id = r.user_id
    WHERE r.id = :room AND r.user_id = :author AND u.status <> 'erasing'
    FOR NO KEY UPDATE OF r
    """  # noqa: S608 - a constant
).bindparams(bindparam("limits", type_=JSONB))
UNDER_WAY = text(
    """
    SELECT FROM messages WHERE chatroom_id = :room AND id > :said AND reply_to = :said AND NOT superseded
        AND status IN ('pending', 'generating')
    """
)
LOCK_JOBS = text(
    "SELECT id, lease IS NOT NULL AS held FROM jobs WHERE lane = :room AND id > :after ORDER BY id FOR UPDATE"
)
TELL_WORKERS = text("UPDATE jobs SET cancelled = true WHERE id = ANY(:ids)").bindparams(IDS)
SUPERSEDE = text("UPDATE messages SET superseded = true WHERE chatroom_id = :room AND id > :after AND NOT superseded")
FORGET_SUMMARIES = text("DELETE FROM summaries WHERE chatroom_id = :room AND upto > :after")
RESERVE = text(
    """
    INSERT INTO daily_usage AS d (user_id, day, used) SELECT :author, :day, 1 WHERE :allowed > 0
    ON CONFLICT (user_id, day) DO UPDATE SET used = d.used + 1 WHERE d.used < :allowed
    RETURNING used
    """
)
STORE = text(
    """
    INSERT INTO messages
        (chatroom_id, id, user_id, role, status, content, created_at, completed_at, attachments, reply_to, unit_day)
    VALUES (:room, :id, :author, :role, :status, :content, :now, :completed_at, :files, :reply_to, :unit_day)
    """
).bindparams(bindparam("files", type_=JSONB(none_as_null=True)))
TOUCH = text(
    """
    UPDATE chatrooms SET last_message_ms = :ms, message_count = message_count + :more, updated_at = :now
    WHERE id = :room
    """
)


def redo(
    engine: Engine,
    author: UserId,
    room: ChatroomId,
    message: MessageId,
    content: str | None,
    *,
    limits: Mapping[str, int],
    now: datetime,
    once: Once | None,
    request_id: str,
) -> Sent:
    """As `MessageRepo.redo`."""
    values = {"author": author, "room": room, "limits": dict(limits), "now": now, "day": now.date()}
    with transaction(engine) as connection:
        held = connection.execute(LOCK_ROOM, {**values, "now_ms": unix_ms(now)}).one_or_none()
        work = _Redo(connection, author, room, now)
        if once is not None and (first := work.first(once, content)) is not None:
            return first
        if held is None:
            raise no_room()
        before = work.found(message)
        said = work.to_edit(before) if content is not None else work.to_answer(before)
        # An edited message is itself superseded: its id is not above the one that is just below it.
        after = said.id if content is None else UUID(int=said.id.int - 1)
        stopped, gone = work.supersede(after)
        used = work.reserve(held.allowed, held.used)
        said_tail, reply_tail = id_tails()
        if content is not None:
            said = work.say(UUID(f"{held.ms:012x}{said_tail}"), content, said)
        reply = work.promise(UUID(f"{held.ms:012x}{reply_tail}"), said, request_id)
        connection.execute(TOUCH, {**values, "ms": held.ms, "more": (1 if content is None else 2) - gone})
        sent = Sent(message=said, reply=reply, limit=held.allowed, used=used, stopped=stopped)
        if once is not None:
            work.remember(once, sent)
        return sent


@dataclass(frozen=True, slots=True)
class _Redo:
    """The steps, in one transaction that holds the room."""

    connection: Connection
    author: UserId
    room: ChatroomId
    now: datetime

    def found(self, message: UUID) -> Message:
        values = {"reader": self.author, "room": self.room, "message": message}
        row = self.connection.execute(MESSAGE, values).one_or_none()
        if row is None:
            raise no_message()
        return message_of(row)

    def to_edit(self, message: Message) -> Message:
        if message.role is not Role.USER:
            raise no_message()
        return message.current()

    def to_answer(self, message: Message) -> Message:
        said = (message if message.reply_to is None else self.found(message.reply_to)).current()
        if self.connection.execute(UNDER_WAY, {"room": self.room, "said": said.id}).one_or_none() is not None:
            raise under_way()
        return said

    def supersede(self, after: UUID) -> tuple[tuple[MessageId, ...], int]:
        """Everything above this id; answers the replies that nobody had begun, and how many messages it were."""
        key = {"room": self.room, "after": after}
        jobs = self.connection.execute(LOCK_JOBS, key).all()
        waiting = [job.id for job in jobs if not job.held]
        self.connection.execute(TELL_WORKERS, {"ids": [job.id for job in jobs if job.held]})
        stop_replies(self.connection, self.room, waiting, self.now)
        gone = self.connection.execute(SUPERSEDE, key).rowcount
        self.connection.execute(FORGET_SUMMARIES, key)
        return tuple(MessageId(id) for id in waiting), gone

    def reserve(self, allowed: int, before: int) -> int:
        """One more unit; `before`: how many were used, also by whoever had a larger plan then."""
        values = {"author": self.author, "day": self.now.date(), "allowed": allowed}
        used: int | None = self.connection.execute(RESERVE, values).scalar_one_or_none()
        if used is None:
            raise day_used_up(allowed, max(before, allowed), self.now)
        return used

    def say(self, id: UUID, content: str, instead_of: Message) -> Message:
        said = Message.said(MessageId(id), self.room, content, at=self.now, attachments=instead_of.attachments)
        self._store(said)
        return said

    def promise(self, id: UUID, said: Message, request_id: str) -> Message:
        reply = said.promised(MessageId(id), at=self.now)
        self._store(reply)
        insert_job(self.connection, NewJob(id=JobId(id), kind=REPLY_JOB, lane=self.room, request_id=request_id))
        return reply

    def _store(self, message: Message) -> None:
        self.connection.execute(
            STORE,
            {
                "room": self.room,
                "id": message.id,
                "author": self.author,
                "role": message.role,
                "status": message.status,
                "content": message.content,
                "now": self.now,
                "completed_at": message.completed_at,
                "files": files_of(message.attachments),
                "reply_to": message.reply_to,
                "unit_day": None if message.role is Role.USER else self.now.date(),
            },
        )

    def first(self, once: Once, content: str | None) -> Sent | None:
        """What came of this key before. What was answered anew, and not said anew, is in the room alone."""
        first = first_outcome(self.connection, self.author, once, self.now)
        if first is None:
            return None
        at, id = datetime.fromisoformat(first["at"]), MessageId(UUID(first["said"]))
        if content is None:
            said = replace(self.found(id), superseded=False)
        else:
            said = Message.said(id, self.room, content, at=at, attachments=attachments_of(first["files"]))
        reply = said.promised(MessageId(UUID(first["reply"])), at=at)
        return Sent(message=said, reply=reply, limit=first["limit"], used=first["used"], replayed=True)

    def remember(self, once: Once, sent: Sent) -> None:
        outcome = {
            "said": str(sent.message.id),
            "files": files_of(sent.message.attachments),
            "reply": str(sent.reply.id),
            "at": self.now.isoformat(),
            "limit": sent.limit,
            "used": sent.used,
        }
        if not take_key(self.connection, self.author, once, outcome, self.now):
            # Somebody used it for another room at this very instant, so for another request.
            raise key_reused()
