"""The send, in PostgreSQL: one statement, one round trip, one transaction, for one message or for a crowd of them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Row, TextClause, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from adapters.persistence.chat.rows import attachments_of, files_of
from adapters.persistence.engine import RolledBack, statement
from adapters.persistence.once import first_outcome
from adapters.persistence.tables import PLAN
from adapters.together import Together
from gemini_core.errors import LimitReached, NotFound
from gemini_core.model.attachments import Attachment
from gemini_core.model.chat import Message, Sent, day_used_up, no_room
from gemini_core.model.ids import ChatroomId, MessageId, UserId, random_bits, unix_ms
from gemini_core.model.replies import REPLY_JOB
from gemini_core.model.requests import KEY_LIVES, Once

# Messages that are accepted together at the most.
AT_MOST = 64
# A crowd waits for nobody's lock any longer than this.
PATIENCE = "100ms"

# What was asked comes as one JSON array, each author once at the most, and is worked off in the order of authors: so
# two crowds lock in the same order. Whatever can not be accepted has no row in the answer, or one without `reply`.
#
# Ids are made here, under the room's lock: their timestamp is the clock's or, if that is behind, the newest id's plus
# one; so the order of ids is the order of acceptance.
#
# A key that is known is not asked for again. One that somebody else took at this very instant becomes an outcome of
# NULL, which the table refuses: nothing of the statement stays.
SEND_SQL = """
    WITH asked AS (
        SELECT asked.* FROM jsonb_to_recordset(CAST(:asked AS jsonb)) AS asked (
            author uuid, room uuid, content text, files jsonb, request_id text, limits jsonb, now timestamptz,
            now_ms bigint, day date, said_tail text, reply_tail text, key text, fingerprint bytea, expired timestamptz
        ), set_config('lock_timeout', :patience, true)
        WHERE NOT EXISTS (
            SELECT FROM idempotency_keys known
            WHERE known.user_id = asked.author AND known.key = asked.key AND known.created_at > asked.expired
        )
        ORDER BY author
    ), room AS (
        SELECT asked.*, held.* FROM asked CROSS JOIN LATERAL (
            SELECT greatest(now_ms, r.last_message_ms + 1) AS ms,
                coalesce((limits ->> {plan})::int, (limits ->> 'basic')::int) AS allowed
            FROM chatrooms r JOIN users u ON u.id = r.user_id
            WHERE r.id = asked.room AND r.user_id = asked.author AND u.status <> 'erasing'
            FOR NO KEY UPDATE OF r {or_not}
        ) held
    ), unit AS (
        INSERT INTO daily_usage AS d (user_id, day, used) SELECT author, day, 1 FROM room WHERE allowed > 0
        ON CONFLICT (user_id, day) DO UPDATE SET used = d.used + 1
            WHERE d.used < (SELECT allowed FROM room WHERE author = d.user_id)
        RETURNING user_id, used
    ), accepted AS (
        SELECT room.*, used, (lpad(to_hex(ms), 12, '0') || said_tail)::uuid AS said,
            (lpad(to_hex(ms), 12, '0') || reply_tail)::uuid AS reply
        FROM room JOIN unit ON user_id = author
    ), touched AS (
        UPDATE chatrooms c SET last_message_ms = ms, message_count = message_count + 2, updated_at = now
        FROM accepted WHERE c.id = room AND c.id = ANY (ARRAY(SELECT room FROM accepted))
    ), stored AS (
        INSERT INTO messages
            (chatroom_id, id, user_id, role, status, content, created_at, completed_at, attachments, reply_to, unit_day)
        SELECT room, said, author, 'user', 'complete', content, now, now, files, NULL::uuid, NULL::date FROM accepted
        UNION ALL
        SELECT room, reply, author, 'model', 'pending', '', now, NULL, NULL, said, day FROM accepted
    ), promised AS (
        INSERT INTO jobs (id, kind, args, lane, request_id, due_at)
        SELECT reply, '{kind}', '{{}}', room, request_id, now() FROM accepted
    ), taken AS (
        INSERT INTO idempotency_keys AS held (user_id, key, fingerprint, outcome, created_at)
        SELECT author, key, fingerprint, jsonb_build_object('said', said, 'reply', reply, 'at', now, 'limit', allowed,
            'used', used, 'files', files), now
        FROM accepted WHERE key IS NOT NULL
        ON CONFLICT (user_id, key) DO UPDATE
            SET fingerprint = excluded.fingerprint, created_at = excluded.created_at,
                outcome = CASE WHEN held.created_at <= (SELECT expired FROM room WHERE author = held.user_id)
                    THEN excluded.outcome END
    )
    SELECT room.author, room.room, room.allowed, used, said, reply
    FROM room LEFT JOIN accepted ON accepted.author = room.author
"""
SEND = text(SEND_SQL.format(kind=REPLY_JOB, plan=PLAN.replace(":now", "now"), or_not=""))
# As a crowd does it: rooms that somebody else has at this moment are left out.
SEND_FREE = text(SEND_SQL.format(kind=REPLY_JOB, plan=PLAN.replace(":now", "now"), or_not="SKIP LOCKED"))
# Not null, as the outcome of a key must be; and a foreign key.
KEY_IS_TAKEN, AUTHOR_IS_GONE = "23502", "23503"
USED = text("SELECT used FROM daily_usage WHERE user_id = :user_id AND day = :day")


class Sending:
    """The sends of a process. Those of a crowd go together; whom the crowd can not take along goes alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._together = Together(self._crowd, at_most=AT_MOST)

    def send(
        self,
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
        asked = {
            "author": str(author),
            "room": str(room),
            "content": content,
            "files": files_of(attachments),
            "request_id": request_id,
            "limits": dict(limits),
            "now": now.isoformat(),
            "now_ms": unix_ms(now),
            "day": now.date().isoformat(),
            "said_tail": said_tail,
            "reply_tail": reply_tail,
        }
        if once is not None:
            asked |= {
                "key": once.key,
                "fingerprint": rf"\x{once.fingerprint.hex()}",
                "expired": (now - KEY_LIVES).isoformat(),
            }
        row = self._together.run(asked) or self._alone(asked)
        if row is not None and row.reply is not None:
            return _sent(room, content, attachments, now, row.said, row.reply, limit=row.allowed, used=row.used)
        if once is not None and (first := self._first(author, once, now)) is not None:
            at, files = datetime.fromisoformat(first["at"]), attachments_of(first["files"])
            ids = UUID(first["said"]), UUID(first["reply"])
            return _sent(room, content, files, at, *ids, limit=first["limit"], used=first["used"], replayed=True)
        raise self._refusal(author, row, now)

    def _crowd(self, wanted: Sequence[Mapping[str, Any]]) -> Sequence[Row[Any] | None]:
        """A row for each that was decided. If the statement fails, each finds out alone whose fault it was."""
        first = {asked["author"]: asked for asked in reversed(wanted)}
        try:
            rows = self._executed(SEND_FREE, list(first.values()), PATIENCE)
        except (DBAPIError, RolledBack):
            return [None] * len(wanted)
        found = {str(row.author): row for row in rows}
        return [found.get(asked["author"]) if first[asked["author"]] is asked else None for asked in wanted]

    def _alone(self, asked: Mapping[str, Any]) -> Row[Any] | None:
        """None: there is no such room, or the key is known; also if only since this instant."""
        try:
            rows = self._executed(SEND, [asked], "0")
        except IntegrityError as error:
            if getattr(error.orig, "sqlstate", None) not in (KEY_IS_TAKEN, AUTHOR_IS_GONE):
                raise
            return None
        return rows[0] if rows else None

    def _executed(self, query: TextClause, asked: Sequence[Mapping[str, Any]], patience: str) -> Sequence[Row[Any]]:
        values = {"asked": json.dumps(asked, ensure_ascii=False), "patience": patience}
        with statement(self._engine) as connection:
            return connection.execute(query, values).all()

    def _first(self, author: UserId, once: Once, now: datetime) -> dict[str, Any] | None:
        with statement(self._engine) as connection:
            return first_outcome(connection, author, once, now)

    def _refusal(self, author: UserId, row: Row[Any] | None, now: datetime) -> NotFound | LimitReached:
        if row is None:
            return no_room()
        with statement(self._engine) as connection:
            used = connection.execute(USED, {"user_id": author, "day": now.date()}).scalar() or 0
        # A unit may have come back since; the answer stays true for the instant of the refusal.
        return day_used_up(row.allowed, max(used, row.allowed), now)


def id_tails() -> tuple[str, str]:
    """The last 20 hex digits of two UUIDv7s of one millisecond, the second always greater than the first."""
    said, reply = random_bits(73), random_bits(73) | 1 << 73
    return _tail(said), _tail(reply)


def _tail(random: int) -> str:
    return f"7{random >> 62:03x}{0b10 << 62 | random & ((1 << 62) - 1):016x}"


def _sent(
    room: ChatroomId,
    content: str,
    attachments: tuple[Attachment, ...],
    now: datetime,
    said: UUID,
    reply: UUID,
    *,
    limit: int,
    used: int,
    replayed: bool = False,
) -> Sent:
    message = Message.said(MessageId(said), room, content, at=now, attachments=attachments)
    return Sent(message=message, reply=message.promised(MessageId(reply)), limit=limit, used=used, replayed=replayed)
