"""Messages in PostgreSQL."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Row, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from adapters.persistence.chat.once import FIND_KEY, TAKE_KEY, key_of, outcome_of
from adapters.persistence.chat.rows import GIVE_BACK, MESSAGE_COLUMNS, PLAN, ROOM, message_of, no_message, no_room
from adapters.persistence.engine import statement, transaction
from adapters.persistence.jobs import next_in_lane
from adapters.persistence.tables import chatrooms, messages
from gemini_core.errors import Conflict, LimitReached, NotFound
from gemini_core.model.chat import Message, Role, Sent, Status, day_ends
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId, unix_ms
from gemini_core.model.requests import Once, Page

# One statement, so one round trip and one transaction. Ids are made here, under the room's lock: their timestamp is the
# clock's or, if that is behind, the newest id's plus one; so the order of ids is the order of acceptance.
# {taken} is empty, or takes the idempotency key; if the key was taken before, the caller rolls everything back.
SEND_SQL = """
    WITH room AS (
        SELECT r.id, r.user_id, greatest(:now_ms, r.last_message_ms + 1) AS ms,
            coalesce((:limits ->> {plan})::int, (:limits ->> 'basic')::int) AS allowed
        FROM chatrooms r JOIN users u ON u.id = r.user_id
        WHERE r.id = :room AND r.user_id = :author
        FOR NO KEY UPDATE OF r
    ), unit AS (
        INSERT INTO daily_usage AS d (user_id, day, used) SELECT user_id, :day, 1 FROM room WHERE allowed > 0
        ON CONFLICT (user_id, day) DO UPDATE SET used = d.used + 1 WHERE d.used < (SELECT allowed FROM room)
        RETURNING used
    ), accepted AS (
        SELECT room.id, room.user_id, room.ms, unit.used,
            (lpad(to_hex(ms), 12, '0') || :said_tail)::uuid AS said, (lpad(to_hex(ms), 12, '0') || :reply_tail)::uuid AS reply
        FROM room, unit
    ), touched AS (
        UPDATE chatrooms c SET last_message_ms = a.ms, message_count = c.message_count + 2, updated_at = :now
        FROM accepted a WHERE c.id = a.id
    ), stored AS (
        INSERT INTO messages
            (chatroom_id, id, role, status, content, created_at, completed_at, reply_to, unit_day)
        SELECT id, said, 'user', 'complete', :content, :now, :now, NULL::uuid, NULL::date FROM accepted
        UNION ALL
        SELECT id, reply, 'model', 'pending', '', :now, NULL, said, :day FROM accepted
    ), promised AS (
        INSERT INTO jobs (id, kind, args, lane, request_id, due_at)
        SELECT reply, 'reply', '{{}}', id, :request_id, now() FROM accepted
    ){taken}
    SELECT room.allowed, accepted.used, accepted.said, accepted.reply{key}
    FROM room LEFT JOIN accepted ON true{join}
"""
LIMITS = bindparam("limits", type_=JSONB)
SEND = text(SEND_SQL.format(plan=PLAN, taken="", key="", join="")).bindparams(LIMITS)
SEND_OUTCOME = (
    "jsonb_build_object('said', said, 'reply', reply, 'at', CAST(:at AS text), 'limit', (SELECT allowed FROM room), 'used', used)"
)
SEND_ONCE = text(
    SEND_SQL.format(
        plan=PLAN,
        taken=f", taken AS ({TAKE_KEY.format(user='user_id', outcome=SEND_OUTCOME, source='accepted')})",
        key=", taken.key",
        join=" LEFT JOIN taken ON true",
    )
).bindparams(LIMITS)
USED = text("SELECT used FROM daily_usage WHERE user_id = :user_id AND day = :day")
OWN_ROOM = messages.c.chatroom_id == (
    select(chatrooms.c.id)
    .where(chatrooms.c.id == bindparam("room"), chatrooms.c.user_id == bindparam("reader"))
    .scalar_subquery()
)
MESSAGE = select(*MESSAGE_COLUMNS).where(OWN_ROOM, messages.c.id == bindparam("message"))
MESSAGE_PAGE = select(*MESSAGE_COLUMNS).where(OWN_ROOM, ~messages.c.superseded).limit(bindparam("limit"))
FORWARD = MESSAGE_PAGE.where(messages.c.id > bindparam("after")).order_by(messages.c.id)
BACKWARD = MESSAGE_PAGE.where(messages.c.id < bindparam("before")).order_by(messages.c.id.desc())
FIRST, LAST = UUID(int=0), UUID(int=(1 << 128) - 1)
LOCK_JOB = text("SELECT leased_until > now() AS leased FROM jobs WHERE id = :reply AND lane = :room FOR UPDATE")
TELL_WORKER = text("UPDATE jobs SET cancelled = true WHERE id = :reply")
DROP_JOB = text("DELETE FROM jobs WHERE id = :reply")
CANCEL = (
    update(messages)
    .where(messages.c.chatroom_id == bindparam("room"), messages.c.id == bindparam("reply"))
    .values(status="cancelled", completed_at=bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class SqlMessages:
    """`MessageRepo` on PostgreSQL."""

    engine: Engine

    def send(
        self,
        author: UserId,
        room: ChatroomId,
        content: str,
        *,
        limits: Mapping[str, int],
        now: datetime,
        once: Once | None = None,
        request_id: str = "",
    ) -> Sent:
        said_tail, reply_tail = _id_tails()
        values = {
            "author": author,
            "room": room,
            "content": content,
            "limits": dict(limits),
            "now": now,
            "now_ms": unix_ms(now),
            "day": now.date(),
            "said_tail": said_tail,
            "reply_tail": reply_tail,
            "request_id": request_id,
        }
        if once is None:
            with statement(self.engine) as connection:
                row = connection.execute(SEND, values).one_or_none()
            if row is None or row.used is None:
                raise self._refusal(author, row, now)
            return _sent(room, content, now, row.said, row.reply, limit=row.allowed, used=row.used)
        return self._send_once(once, values)

    def _send_once(self, once: Once, values: dict[str, Any]) -> Sent:
        author, room, content, now = values["author"], values["room"], values["content"], values["now"]
        key = key_of(once, now)
        with statement(self.engine) as autocommitting:
            connection = autocommitting.execution_options(isolation_level="READ COMMITTED")
            with connection.begin() as attempt:
                row = connection.execute(SEND_ONCE, {**values, **key, "at": now.isoformat()}).one_or_none()
                if row is not None and row.key is not None:
                    return _sent(room, content, now, row.said, row.reply, limit=row.allowed, used=row.used)
                # Not accepted: the key was used before, or there is no unit or room left (perhaps *because* the key was
                # used before). Either way nothing of this attempt stays.
                attempt.rollback()
            found = connection.execute(FIND_KEY, {"user_id": author, **key}).one_or_none()
        if found is None:
            raise self._refusal(author, row, now)
        outcome = outcome_of(found, once)
        at = datetime.fromisoformat(outcome["at"])
        ids = UUID(outcome["said"]), UUID(outcome["reply"])
        return _sent(room, content, at, *ids, limit=outcome["limit"], used=outcome["used"], replayed=True)

    def _refusal(self, author: UserId, row: Row[Any] | None, now: datetime) -> NotFound | LimitReached:
        if row is None:
            return no_room()
        with statement(self.engine) as connection:
            used = connection.execute(USED, {"user_id": author, "day": now.date()}).scalar() or 0
        # A unit may have come back since; the answer stays true for the instant of the refusal.
        return LimitReached(
            f"Your plan allows {row.allowed} messages a day.",
            limit=row.allowed,
            used=max(used, row.allowed),
            resets_at=day_ends(now),
        )

    def show(self, reader: UserId, room: ChatroomId, message: MessageId) -> Message:
        with statement(self.engine) as connection:
            row = connection.execute(MESSAGE, {"reader": reader, "room": room, "message": message}).one_or_none()
        if row is None:
            raise no_message()
        return message_of(row)

    def page(
        self,
        reader: UserId,
        room: ChatroomId,
        *,
        limit: int,
        after: MessageId | None = None,
        before: MessageId | None = None,
    ) -> Page[Message]:
        query, position = (FORWARD, {"after": after or FIRST}) if before is None else (BACKWARD, {"before": before})
        with statement(self.engine) as connection:
            rows = connection.execute(query, {"reader": reader, "room": room, "limit": limit + 1, **position}).all()
            if not rows and connection.execute(ROOM, {"owner": reader, "room": room}).one_or_none() is None:
                raise no_room()
        found = [message_of(row) for row in rows[:limit]]
        more = (str(found[-1].id),) if len(rows) > limit else None
        return Page(tuple(found if before is None else reversed(found)), more)

    def cancel(
        self, author: UserId, room: ChatroomId, reply: MessageId, *, now: datetime
    ) -> tuple[Message, Sequence[JobId]]:
        with transaction(self.engine) as connection:
            key = {"room": room, "reply": reply}
            reader = {"reader": author, "room": room, "message": reply}
            row = connection.execute(MESSAGE, reader).one_or_none()
            if row is None or row.role != Role.MODEL:
                raise no_message()
            job = connection.execute(LOCK_JOB, key).one_or_none()
            if job is None:
                raise Conflict("This reply is final already.", code="already-final")
            nudge: list[JobId] = []
            if job.leased:
                connection.execute(TELL_WORKER, key)
            else:
                connection.execute(DROP_JOB, key)
                connection.execute(CANCEL, {**key, "now": now})
                connection.execute(GIVE_BACK, key)
                nudge = next_in_lane(connection, room, JobId(reply))
            return message_of(connection.execute(MESSAGE, reader).one()), nudge


def _id_tails() -> tuple[str, str]:
    """The last 20 hex digits of two UUIDv7s of one millisecond, the second always greater than the first."""
    first, second = (secrets.randbits(73) for _ in range(2))
    said, reply = first, second | 1 << 73
    return tuple(f"7{value >> 62:03x}{0b10 << 62 | value & ((1 << 62) - 1):016x}" for value in (said, reply))  # type: ignore[return-value]


def _sent(
    room: ChatroomId,
    content: str,
    at: datetime,
    said: UUID,
    reply: UUID,
    *,
    limit: int,
    used: int,
    replayed: bool = False,
) -> Sent:
    message = Message(
        id=MessageId(said),
        chatroom_id=room,
        role=Role.USER,
        content=content,
        status=Status.COMPLETE,
        created_at=at,
        completed_at=at,
    )
    return Sent(message=message, reply=message.promised(MessageId(reply)), limit=limit, used=used, replayed=replayed)
