"""The worker's side of replies in PostgreSQL."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Engine, bindparam, case, null, text, update

from adapters.persistence.chat.rows import GIVE_BACK, ROOM, message_of, room_of, stretch_of
from adapters.persistence.engine import statement, transaction
from adapters.persistence.jobs import finish_job
from adapters.persistence.tables import PLAN, messages
from gemini_core.model.ids import NIL, JobId, MessageId, UserId
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.model.replies import Answer, Conversation

BEGIN = text(
    """
    UPDATE messages m SET status = 'generating', attempt = j.attempt FROM jobs j
    WHERE j.id = :id AND j.lease = :token AND m.chatroom_id = j.lane AND m.id = j.id
    RETURNING m.*
    """
)
BEGUN = text(
    f"SELECT r.user_id, {PLAN} AS plan FROM chatrooms r JOIN users u ON u.id = r.user_id WHERE r.id = :room"  # noqa: S608
)
HISTORY = stretch_of(
    messages.c.chatroom_id == bindparam("room"),
    messages.c.id > bindparam("after"),
    messages.c.id < bindparam("reply"),
    order=messages.c.id.desc(),
)
OWNER = text("SELECT user_id FROM chatrooms WHERE id = :room")
NOT_FINAL_BEFORE = text(
    """
    SELECT m.id FROM messages m JOIN chatrooms r ON r.id = m.chatroom_id
    WHERE r.user_id = :user AND m.role = 'model' AND (m.completed_at IS NULL OR m.completed_at > :instant)
    """
)
SUMMARY = text(
    "SELECT upto, content FROM summaries WHERE chatroom_id = :room AND upto < :reply ORDER BY upto DESC LIMIT 1"
)
FINAL = (
    update(messages)
    .where(messages.c.chatroom_id == bindparam("room"), messages.c.id == bindparam("reply"))
    .values(
        unit_day=case((bindparam("give_back", type_=Boolean), null()), else_=messages.c.unit_day),
        **{
            name: bindparam(f"new_{name}")
            for name in (
                "status", "content", "completed_at", "model", "finish_reason", "prompt_tokens", "output_tokens",
                "error_code", "error_message", "error_retryable",
            )
        },
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SqlReplies:
    """`ReplyRepo` on PostgreSQL."""

    engine: Engine

    def begin(self, lease: Lease, *, history: int, reach: int) -> Conversation | None:
        with transaction(self.engine) as connection:
            begun = connection.execute(BEGIN, {"id": lease.id, "token": lease.token}).one_or_none()
            if begun is None:
                return None
            room_id = begun.chatroom_id
            owner = connection.execute(BEGUN, {"room": room_id, "now": lease.trying_since}).one()
            room = connection.execute(ROOM, {"room": room_id, "owner": owner.user_id}).one()
            last = connection.execute(SUMMARY, {"room": room_id, "reply": lease.id}).one_or_none()
            after, summary = (NIL, "") if last is None else (last.upto, last.content)
            key = {"room": room_id, "reply": lease.id, "after": after}
            turns = connection.execute(HISTORY, {**key, "limit": history, "reach": reach}).all()
        return Conversation(
            user_id=UserId(owner.user_id),
            room=room_of(room),
            plan=owner.plan,
            reply=message_of(begun),
            summary=summary,
            turns=tuple(message_of(row) for row in reversed(turns)),
        )

    def finish(
        self, lease: Lease, answer: Answer, *, now: datetime, then: Iterable[NewJob] = ()
    ) -> Sequence[JobId] | None:
        with transaction(self.engine) as connection:
            nudge = finish_job(connection, lease, then)
            if nudge is None:
                return None
            if answer.give_back:
                connection.execute(GIVE_BACK, {"room": lease.lane, "ids": [lease.id]})
            connection.execute(FINAL, {"room": lease.lane, "reply": lease.id, **_final(answer, now)})
            return nudge

    def owner(self, lease: Lease) -> UserId | None:
        with statement(self.engine) as connection:
            owner = connection.execute(OWNER, {"room": lease.lane}).scalar_one_or_none()
        return None if owner is None else UserId(owner)

    def not_final_before(self, user: UserId, instant: datetime) -> Sequence[MessageId]:
        with statement(self.engine) as connection:
            return [
                MessageId(id_)
                for id_ in connection.execute(NOT_FINAL_BEFORE, {"user": user, "instant": instant}).scalars()
            ]


def _final(answer: Answer, now: datetime) -> dict[str, Any]:
    error, usage = answer.error, answer.usage
    return {
        "give_back": answer.give_back,
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
