"""Rooms, messages and replies in PostgreSQL.

Locks are always taken in the same order: room, then the day's units, then the idempotency key; and on the worker's
side job, then message, then units. So nobody waits in a circle.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, bindparam, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB

from adapters.persistence.engine import statement, transaction
from adapters.persistence.jobs import finish_job, next_in_lane, put_job_back
from adapters.persistence.tables import chatrooms, messages
from gemini_core.errors import Conflict, LimitReached, NotFound
from gemini_core.model.chat import (
    Answer,
    Chatroom,
    Conversation,
    DayUsage,
    Message,
    ReplyError,
    Role,
    RoomChange,
    Sent,
    Status,
    TokenTotals,
    Usage,
    day_ends,
)
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId, unix_ms
from gemini_core.model.jobs import Lease
from gemini_core.model.requests import KEY_LIVES, Once, Page, key_reused

PLAN = "CASE WHEN u.plan_until IS NULL OR u.plan_until > :now THEN u.plan ELSE 'basic' END"
REPLY_JOB = "reply"

# --- rooms ------------------------------------------------------------------------------------------------------------

# A statement of its own, so that the count that follows it sees what was stored while it waited for the lock.
LOCK_OWNER = text(f"SELECT {PLAN} AS plan FROM users u WHERE u.id = :user_id FOR NO KEY UPDATE")  # noqa: S608
CREATE_ROOM = text(
    """
    INSERT INTO chatrooms (id, user_id, title, titled_by_user, system_instruction, model, created_at, updated_at)
    SELECT :id, :user_id, :title, :titled_by_user, :system_instruction, :model, :now, :now
    WHERE (SELECT count(*) FROM chatrooms WHERE user_id = :user_id) < :allowed
    RETURNING id
    """
)
ROOM_COLUMNS = [
    chatrooms.c[name]
    for name in (
        "id", "user_id", "title", "system_instruction", "model", "created_at", "updated_at", "message_count",
        "pinned", "archived",
    )
]  # fmt: skip
ROOM = select(*ROOM_COLUMNS).where(chatrooms.c.id == bindparam("room"), chatrooms.c.user_id == bindparam("owner"))
ROOM_PAGE = (
    select(*ROOM_COLUMNS)
    .where(chatrooms.c.user_id == bindparam("owner"))
    .order_by(chatrooms.c.updated_at.desc(), chatrooms.c.id.desc())
    .limit(bindparam("limit"))
)
DELETE_ROOM = text("DELETE FROM chatrooms WHERE id = :room AND user_id = :owner RETURNING id")
LOCK_ROOM = text("SELECT id FROM chatrooms WHERE id = :room AND user_id = :owner FOR UPDATE")
DROP_JOBS = text("DELETE FROM jobs WHERE lane = :room")
# Promises that nobody began to keep give their units back.
GIVE_BACK_PENDING = text(
    """
    UPDATE daily_usage d SET used = greatest(d.used - held.units, 0)
    FROM (SELECT unit_day, count(*) AS units FROM messages
          WHERE chatroom_id = :room AND status = 'pending' AND unit_day IS NOT NULL GROUP BY unit_day) held
    WHERE d.user_id = :owner AND d.day = held.unit_day
    """
)

# --- idempotency ------------------------------------------------------------------------------------------------------

# An expired key is free again. Whoever comes second at the same instant waits here for the first to commit.
TAKE_KEY = """
    INSERT INTO idempotency_keys AS held (user_id, key, fingerprint, outcome, created_at)
    SELECT {user}, :key, :fingerprint, {outcome}, :now FROM {source}
    ON CONFLICT (user_id, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, outcome = excluded.outcome, created_at = excluded.created_at
        WHERE held.created_at <= :expired
    RETURNING key
"""
TAKE_ROOM_KEY = text(
    TAKE_KEY.format(user=":user_id", outcome=":outcome", source="(SELECT) one")
).bindparams(bindparam("outcome", type_=JSONB))
FIND_KEY = text(
    "SELECT fingerprint, outcome FROM idempotency_keys WHERE user_id = :user_id AND key = :key AND created_at > :expired"
)

# --- sending ----------------------------------------------------------------------------------------------------------

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

# --- messages ---------------------------------------------------------------------------------------------------------

MESSAGE_COLUMNS = [column for column in messages.c if column.name not in ("superseded", "unit_day")]
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

# --- replies ----------------------------------------------------------------------------------------------------------

BEGIN = text(
    """
    UPDATE messages m SET status = 'generating', attempt = j.attempt FROM jobs j
    WHERE j.id = :id AND j.lease = :token AND m.chatroom_id = j.lane AND m.id = j.id
    RETURNING m.chatroom_id
    """
)
BEGUN = text(
    f"SELECT r.user_id, {PLAN} AS plan FROM chatrooms r JOIN users u ON u.id = r.user_id WHERE r.id = :room"  # noqa: S608
)
HISTORY = (
    select(*MESSAGE_COLUMNS)
    .where(messages.c.chatroom_id == bindparam("room"), messages.c.id <= bindparam("reply"), ~messages.c.superseded)
    .order_by(messages.c.id.desc())
    .limit(bindparam("limit"))
)
GIVE_BACK = text(
    """
    WITH held AS (SELECT unit_day FROM messages WHERE chatroom_id = :room AND id = :reply AND unit_day IS NOT NULL),
    freed AS (UPDATE messages SET unit_day = NULL FROM held WHERE chatroom_id = :room AND id = :reply)
    UPDATE daily_usage d SET used = greatest(d.used - 1, 0) FROM held, chatrooms r
    WHERE r.id = :room AND d.user_id = r.user_id AND d.day = held.unit_day
    """
)
BILL = text(
    f"""
    INSERT INTO token_usage AS t (user_id, day, model, plan, prompt_tokens, output_tokens, calls)
    SELECT r.user_id, :day, :model, {PLAN}, :prompt_tokens, :output_tokens, 1
    FROM chatrooms r JOIN users u ON u.id = r.user_id WHERE r.id = :room
    ON CONFLICT (user_id, day, model, plan) DO UPDATE SET prompt_tokens = t.prompt_tokens + excluded.prompt_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens, calls = t.calls + 1
    """  # noqa: S608
)
FINAL = (
    update(messages)
    .where(messages.c.chatroom_id == bindparam("room"), messages.c.id == bindparam("reply"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "status", "content", "completed_at", "model", "finish_reason", "prompt_tokens", "output_tokens",
                "error_code", "error_message", "error_retryable",
            )
        }
    )
)  # fmt: skip

# --- usage ------------------------------------------------------------------------------------------------------------

DAY_USAGE = text(
    f"""
    SELECT {PLAN} AS plan, coalesce(d.used, 0) AS used
    FROM users u LEFT JOIN daily_usage d ON d.user_id = u.id AND d.day = :day WHERE u.id = :user_id
    """  # noqa: S608
)
TOKENS = text(
    """
    SELECT coalesce(sum(prompt_tokens) FILTER (WHERE day = :today), 0)::bigint AS prompt_today,
        coalesce(sum(output_tokens) FILTER (WHERE day = :today), 0)::bigint AS output_today,
        coalesce(sum(prompt_tokens), 0)::bigint AS prompt, coalesce(sum(output_tokens), 0)::bigint AS output
    FROM token_usage WHERE user_id = :user_id AND day >= :since
    """
)


@dataclass(frozen=True, slots=True)
class SqlRooms:
    """`RoomRepo` on PostgreSQL."""

    engine: Engine

    def create(self, room: Chatroom, *, max_rooms: Mapping[str, int], once: Once | None) -> tuple[Chatroom, bool]:
        with transaction(self.engine) as connection:
            if once is not None and (first := self._first(connection, room, once)) is not None:
                return first, True
            self._insert(connection, room, max_rooms)
        return room, False

    def _first(self, connection: Connection, room: Chatroom, once: Once) -> Chatroom | None:
        """The room as first answered under this key; None if the key is new, and now ours."""
        outcome = {"id": str(room.id), "at": room.created_at.isoformat(), "model": room.model}
        key = {"user_id": room.user_id, **_key(once, room.created_at)}
        if connection.execute(TAKE_ROOM_KEY, {**key, "now": room.created_at, "outcome": outcome}).one_or_none():
            return None
        outcome = _found(connection, key, once)
        at = datetime.fromisoformat(outcome["at"])
        return Chatroom(
            id=ChatroomId(UUID(outcome["id"])),
            user_id=room.user_id,
            title=room.title,
            system_instruction=room.system_instruction,
            model=outcome["model"],
            created_at=at,
            updated_at=at,
        )

    def _insert(self, connection: Connection, room: Chatroom, max_rooms: Mapping[str, int]) -> None:
        plan = connection.execute(LOCK_OWNER, {"user_id": room.user_id, "now": room.created_at}).scalar_one_or_none()
        if plan is None:
            raise NotFound("There is no such user.")
        values = {
            "id": room.id,
            "user_id": room.user_id,
            "title": room.title,
            "titled_by_user": bool(room.title),
            "system_instruction": room.system_instruction,
            "model": room.model,
            "now": room.created_at,
            "allowed": max_rooms.get(plan, max_rooms["basic"]),
        }
        if connection.execute(CREATE_ROOM, values).one_or_none() is None:
            raise Conflict("Your plan has no room for another chatroom.", code="room-limit-reached")

    def page(
        self, owner: UserId, *, archived: bool | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[Chatroom]:
        query = ROOM_PAGE
        if archived is not None:
            query = query.where(chatrooms.c.archived == archived)
        if after is not None:
            position = (datetime.fromisoformat(after[0]), UUID(after[1]))
            query = query.where(tuple_(chatrooms.c.updated_at, chatrooms.c.id) < position)
        with statement(self.engine) as connection:
            rooms = [_room(row) for row in connection.execute(query, {"owner": owner, "limit": limit + 1})]
        more = len(rooms) > limit
        last = rooms[limit - 1] if more else None
        return Page(tuple(rooms[:limit]), (last.updated_at.isoformat(), str(last.id)) if last else None)

    def show(self, owner: UserId, room: ChatroomId) -> Chatroom:
        with statement(self.engine) as connection:
            row = connection.execute(ROOM, {"owner": owner, "room": room}).one_or_none()
        if row is None:
            raise _no_room()
        return _room(row)

    def change(self, owner: UserId, room: ChatroomId, change: RoomChange, *, now: datetime) -> Chatroom:
        named = {name: value for name in change.__slots__ if (value := getattr(change, name)) is not None}
        if "title" in named:
            named["titled_by_user"] = bool(named["title"])
        query = (
            update(chatrooms)
            .where(chatrooms.c.id == room, chatrooms.c.user_id == owner)
            .values(**named, updated_at=now)
            .returning(*ROOM_COLUMNS)
        )
        with statement(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise _no_room()
        return _room(row)

    def delete(self, owner: UserId, room: ChatroomId) -> None:
        key = {"owner": owner, "room": room}
        with transaction(self.engine) as connection:
            if connection.execute(LOCK_ROOM, key).one_or_none() is None:
                raise _no_room()
            connection.execute(DROP_JOBS, {"room": room})
            connection.execute(GIVE_BACK_PENDING, key)
            connection.execute(DELETE_ROOM, key)


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
        key = _key(once, now)
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
        outcome = _outcome(found, once)
        at = datetime.fromisoformat(outcome["at"])
        ids = UUID(outcome["said"]), UUID(outcome["reply"])
        return _sent(room, content, at, *ids, limit=outcome["limit"], used=outcome["used"], replayed=True)

    def _refusal(self, author: UserId, row: Row[Any] | None, now: datetime) -> NotFound | LimitReached:
        if row is None:
            return _no_room()
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
            raise _no_message()
        return _message(row)

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
                raise _no_room()
        found = [_message(row) for row in rows[:limit]]
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
                raise _no_message()
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
            return _message(connection.execute(MESSAGE, reader).one()), nudge


@dataclass(frozen=True, slots=True)
class SqlReplies:
    """`ReplyRepo` on PostgreSQL."""

    engine: Engine

    def begin(self, lease: Lease, *, history: int) -> Conversation | None:
        with transaction(self.engine) as connection:
            room_id = connection.execute(BEGIN, {"id": lease.id, "token": lease.token}).scalar_one_or_none()
            if room_id is None:
                return None
            owner = connection.execute(BEGUN, {"room": room_id, "now": lease.trying_since}).one()
            room = connection.execute(ROOM, {"room": room_id, "owner": owner.user_id}).one()
            rows = connection.execute(HISTORY, {"room": room_id, "reply": lease.id, "limit": history + 1})
            reply, *turns = [_message(row) for row in rows]
        return Conversation(
            user_id=UserId(owner.user_id), room=_room(room), plan=owner.plan, reply=reply, turns=tuple(reversed(turns))
        )

    def finish(self, lease: Lease, answer: Answer, *, now: datetime) -> Sequence[JobId] | None:
        with transaction(self.engine) as connection:
            nudge = finish_job(connection, lease)
            if nudge is None:
                return None
            key = {"room": lease.lane, "reply": lease.id}
            connection.execute(FINAL, {**key, **_final(answer, now)})
            if answer.give_back:
                connection.execute(GIVE_BACK, key)
            _bill(connection, lease, answer.model, answer.billed, now)
            return nudge

    def try_again(
        self, lease: Lease, *, after: timedelta, error: str, billed: Usage | None, model: str, now: datetime
    ) -> bool:
        with transaction(self.engine) as connection:
            if not put_job_back(connection, lease, after=after, failed=True, error=error):
                return False
            _bill(connection, lease, model, billed, now)
            return True


@dataclass(frozen=True, slots=True)
class SqlUsage:
    """`UsageRepo` on PostgreSQL."""

    engine: Engine

    def of_day(self, user: UserId, day: date, *, now: datetime) -> DayUsage:
        with statement(self.engine) as connection:
            row = connection.execute(DAY_USAGE, {"user_id": user, "day": day, "now": now}).one_or_none()
        if row is None:
            raise NotFound("There is no such user.")
        return DayUsage(row.plan, row.used)

    def tokens(self, user: UserId, *, today: date, since: date) -> TokenTotals:
        with statement(self.engine) as connection:
            row = connection.execute(TOKENS, {"user_id": user, "today": today, "since": since}).one()
        return TokenTotals(Usage(row.prompt_today, row.output_today), Usage(row.prompt, row.output))


def _id_tails() -> tuple[str, str]:
    """The last 20 hex digits of two UUIDv7s of one millisecond, the second always greater than the first."""
    first, second = (secrets.randbits(73) for _ in range(2))
    said, reply = first, second | 1 << 73
    return tuple(f"7{value >> 62:03x}{0b10 << 62 | value & ((1 << 62) - 1):016x}" for value in (said, reply))  # type: ignore[return-value]


def _key(once: Once, now: datetime) -> dict[str, Any]:
    return {"key": once.key, "fingerprint": once.fingerprint, "expired": now - KEY_LIVES}


def _found(connection: Connection, key: dict[str, Any], once: Once) -> dict[str, Any]:
    return _outcome(connection.execute(FIND_KEY, key).one(), once)


def _outcome(found: Row[Any], once: Once) -> dict[str, Any]:
    if bytes(found.fingerprint) != once.fingerprint:
        raise key_reused()
    outcome: dict[str, Any] = found.outcome
    return outcome


def _bill(connection: Connection, lease: Lease, model: str, billed: Usage | None, now: datetime) -> None:
    if billed is not None:
        connection.execute(
            BILL,
            {
                "room": lease.lane,
                "day": now.date(),
                "now": now,
                "model": model,
                "prompt_tokens": billed.prompt_tokens,
                "output_tokens": billed.output_tokens,
            },
        )


def _final(answer: Answer, now: datetime) -> dict[str, Any]:
    error, usage = answer.error, answer.billed
    return {
        "new_status": answer.status,
        "new_content": answer.content,
        "new_completed_at": now,
        "new_model": answer.model or None,
        "new_finish_reason": answer.finish_reason,
        "new_prompt_tokens": usage.prompt_tokens if usage else None,
        "new_output_tokens": usage.output_tokens if usage else None,
        "new_error_code": error.code if error else None,
        "new_error_message": error.message if error else None,
        "new_error_retryable": error.retryable if error else None,
    }


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


def _room(row: Row[Any]) -> Chatroom:
    return Chatroom(**row._mapping)


def _message(row: Row[Any]) -> Message:
    return Message(
        id=MessageId(row.id),
        chatroom_id=ChatroomId(row.chatroom_id),
        role=Role(row.role),
        content=row.content,
        status=Status(row.status),
        created_at=row.created_at,
        completed_at=row.completed_at,
        reply_to=row.reply_to,
        model=row.model,
        finish_reason=row.finish_reason,
        usage=None if row.prompt_tokens is None else Usage(row.prompt_tokens, row.output_tokens),
        error=None
        if row.error_code is None
        else ReplyError(row.error_code, row.error_message, row.error_retryable),
        attempt=row.attempt,
    )


def _no_room() -> NotFound:
    return NotFound("There is no such chatroom.")


def _no_message() -> NotFound:
    return NotFound("There is no such message.")
