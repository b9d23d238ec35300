"""The send, in PostgreSQL: one statement, one round trip, one transaction."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from adapters.persistence.chat.once import FIND_KEY, TAKE_KEY, key_of, outcome_of
from adapters.persistence.chat.rows import PLAN, attachments_of, files_of, no_room
from adapters.persistence.engine import statement
from gemini_core.errors import LimitReached, NotFound
from gemini_core.model.attachments import Attachment
from gemini_core.model.chat import Message, Role, Sent, Status, day_ends
from gemini_core.model.ids import ChatroomId, MessageId, UserId, unix_ms
from gemini_core.model.requests import Once

# Ids are made here, under the room's lock: their timestamp is the
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
            (lpad(to_hex(ms), 12, '0') || :said_tail)::uuid AS said,
            (lpad(to_hex(ms), 12, '0') || :reply_tail)::uuid AS reply
        FROM room, unit
    ), touched AS (
        UPDATE chatrooms c SET last_message_ms = a.ms, message_count = c.message_count + 2, updated_at = :now
        FROM accepted a WHERE c.id = a.id
    ), stored AS (
        INSERT INTO messages
            (chatroom_id, id, user_id, role, status, content, created_at, completed_at, attachments, reply_to, unit_day)
        SELECT id, said, user_id, 'user', 'complete', :content, :now, :now, CAST(:files AS jsonb), NULL::uuid,
            NULL::date
        FROM accepted
        UNION ALL
        SELECT id, reply, user_id, 'model', 'pending', '', :now, NULL, NULL, said, :day FROM accepted
    ), promised AS (
        INSERT INTO jobs (id, kind, args, lane, request_id, due_at)
        SELECT reply, 'reply', '{{}}', id, :request_id, now() FROM accepted
    ){taken}
    SELECT room.allowed, accepted.used, accepted.said, accepted.reply{key}
    FROM room LEFT JOIN accepted ON true{join}
"""
LIMITS = bindparam("limits", type_=JSONB)
FILES = bindparam("files", type_=JSONB(none_as_null=True))
SEND = text(SEND_SQL.format(plan=PLAN, taken="", key="", join="")).bindparams(LIMITS, FILES)
SEND_OUTCOME = """
    jsonb_build_object('said', said, 'reply', reply, 'at', CAST(:at AS text), 'limit', (SELECT allowed FROM room),
        'used', used, 'files', CAST(:files AS jsonb))
"""
SEND_ONCE = text(
    SEND_SQL.format(
        plan=PLAN,
        taken=f", taken AS ({TAKE_KEY.format(user='user_id', outcome=SEND_OUTCOME, source='accepted')})",
        key=", taken.key",
        join=" LEFT JOIN taken ON true",
    )
).bindparams(LIMITS, FILES)
USED = text("SELECT used FROM daily_usage WHERE user_id = :user_id AND day = :day")


def send(
    engine: Engine,
    author: UserId,
    room: ChatroomId,
    content: str,
    *,
    limits: Mapping[str, int],
    now: datetime,
    attachments: tuple[Attachment, ...],
    once: Once | None,
    request_id: str,
) -> Sent:
    """As `MessageRepo.send`."""
    said_tail, reply_tail = id_tails()
    values = {
        "author": author,
        "room": room,
        "content": content,
        "files": files_of(attachments),
        "limits": dict(limits),
        "now": now,
        "now_ms": unix_ms(now),
        "day": now.date(),
        "said_tail": said_tail,
        "reply_tail": reply_tail,
        "request_id": request_id,
    }
    if once is not None:
        return _send_once(engine, once, values)
    with statement(engine) as connection:
        row = connection.execute(SEND, values).one_or_none()
    if row is None or row.used is None:
        raise _refusal(engine, author, row, now)
    return _sent(values, row.said, row.reply, limit=row.allowed, used=row.used)


def _send_once(engine: Engine, once: Once, values: dict[str, Any]) -> Sent:
    author, now = values["author"], values["now"]
    key = key_of(once, now)
    with statement(engine) as autocommitting:
        connection = autocommitting.execution_options(isolation_level="READ COMMITTED")
        with connection.begin() as attempt:
            row = connection.execute(SEND_ONCE, {**values, **key, "at": now.isoformat()}).one_or_none()
            if row is not None and row.key is not None:
                return _sent(values, row.said, row.reply, limit=row.allowed, used=row.used)
            # Not accepted: the key was used before, or there is no unit or room left (perhaps *because* the key was
            # used before). Either way nothing of this attempt stays.
            attempt.rollback()
        found = connection.execute(FIND_KEY, {"user_id": author, **key}).one_or_none()
    if found is None:
        raise _refusal(engine, author, row, now)
    first = outcome_of(found, once)
    values |= {"now": datetime.fromisoformat(first["at"]), "files": first["files"]}
    ids = UUID(first["said"]), UUID(first["reply"])
    return _sent(values, *ids, limit=first["limit"], used=first["used"], replayed=True)


def _refusal(engine: Engine, author: UserId, row: Row[Any] | None, now: datetime) -> NotFound | LimitReached:
    if row is None:
        return no_room()
    with statement(engine) as connection:
        used = connection.execute(USED, {"user_id": author, "day": now.date()}).scalar() or 0
    # A unit may have come back since; the answer stays true for the instant of the refusal.
    return limit_reached(row.allowed, max(used, row.allowed), now)


def limit_reached(limit: int, used: int, now: datetime) -> LimitReached:
    """The day of `now` has no unit left."""
    return LimitReached(f"Your plan allows {limit} messages a day.", limit=limit, used=used, resets_at=day_ends(now))


def id_tails() -> tuple[str, str]:
    """The last 20 hex digits of two UUIDv7s of one millisecond, the second always greater than the first."""
    said, reply = secrets.randbits(73), secrets.randbits(73) | 1 << 73
    return _tail(said), _tail(reply)


def _tail(random: int) -> str:
    return f"7{random >> 62:03x}{0b10 << 62 | random & ((1 << 62) - 1):016x}"


def _sent(values: Mapping[str, Any], said: UUID, reply: UUID, *, limit: int, used: int, replayed: bool = False) -> Sent:
    message = Message(
        id=MessageId(said),
        chatroom_id=values["room"],
        role=Role.USER,
        content=values["content"],
        status=Status.COMPLETE,
        created_at=values["now"],
        completed_at=values["now"],
        attachments=attachments_of(values["files"]),
    )
    return Sent(message=message, reply=message.promised(MessageId(reply)), limit=limit, used=used, replayed=replayed)
