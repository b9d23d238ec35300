"""Messages in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import CompoundSelect, Engine, Select, bindparam, select, text, union_all

from adapters.persistence.chat.redoing import redo
from adapters.persistence.chat.rows import MESSAGE, MESSAGE_COLUMNS, OWN_ROOM, ROOM, message_of
from adapters.persistence.chat.sending import Sending
from adapters.persistence.chat.stopping import stop_replies
from adapters.persistence.engine import statement, transaction
from adapters.persistence.jobs import next_in_lane
from adapters.persistence.tables import messages
from gemini_core.model.attachments import Attachment
from gemini_core.model.chat import Message, Role, Sent, already_final, no_message, no_room
from gemini_core.model.ids import NIL, ChatroomId, JobId, MessageId, UserId
from gemini_core.model.requests import Once, Page

MESSAGE_PAGE = select(*MESSAGE_COLUMNS).where(OWN_ROOM, ~messages.c.superseded).limit(bindparam("limit"))
FORWARD = MESSAGE_PAGE.where(messages.c.id > bindparam("after")).order_by(messages.c.id)
BACKWARD = MESSAGE_PAGE.where(messages.c.id < bindparam("before")).order_by(messages.c.id.desc())
# The superseded replies to a message have an index; the current one, if any, is the next in the conversation.
ANSWERING = select(*MESSAGE_COLUMNS).where(OWN_ROOM, messages.c.id > bindparam("after"))
NEXT = (
    select(messages.c.id)
    .where(OWN_ROOM, ~messages.c.superseded, messages.c.id > bindparam("said"))
    .order_by(messages.c.id)
    .limit(1)
    .scalar_subquery()
)
ALTERNATIVES = (
    union_all(
        ANSWERING.where(messages.c.superseded, messages.c.reply_to == bindparam("said")),
        ANSWERING.where(messages.c.id == NEXT, messages.c.reply_to == bindparam("said")),
    )
    .order_by("id")
    .limit(bindparam("limit"))
)
# Who has a lease may be at work although it ran out: after an outage of the database all have.
LOCK_JOB = text("SELECT lease IS NOT NULL AS held FROM jobs WHERE id = :reply AND lane = :room FOR UPDATE")
TELL_WORKER = text("UPDATE jobs SET cancelled = true WHERE id = :reply")


@dataclass(frozen=True, slots=True)
class SqlMessages:
    """`MessageRepo` on PostgreSQL."""

    engine: Engine
    sending: Sending = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sending", Sending(self.engine))

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
        return self.sending.send(
            author,
            room,
            content,
            limits=limits,
            now=now,
            attachments=attachments,
            once=once,
            request_id=request_id,
        )

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
        return redo(
            self.engine, author, room, message, content, limits=limits, now=now, once=once, request_id=request_id
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
        reply_to: MessageId | None = None,
    ) -> Page[Message]:
        query: Select[Any] | CompoundSelect[Any] = FORWARD if before is None else BACKWARD
        asked = {"reader": reader, "room": room, "limit": limit + 1, "after": after or NIL, "before": before}
        if reply_to is not None:
            query, asked["said"] = ALTERNATIVES, reply_to
        with statement(self.engine) as connection:
            rows = connection.execute(query, asked).all()
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
            if job is None:  # It is final; or its room was deleted while this waited for the job.
                raise no_message() if connection.execute(MESSAGE, reader).one_or_none() is None else already_final()
            nudge: list[JobId] = []
            if job.held:
                connection.execute(TELL_WORKER, key)
            else:
                stop_replies(connection, room, [reply], now)
                nudge = next_in_lane(connection, room, JobId(reply))
            return message_of(connection.execute(MESSAGE, reader).one()), nudge
