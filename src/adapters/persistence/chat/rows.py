"""What the statements about chat have in common, and the nouns that rows stand for."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Row, Select, Uuid, bindparam, func, select, text

from adapters.persistence.tables import chatrooms, messages
from gemini_core.model.attachments import Attachment
from gemini_core.model.chat import Chatroom, Message, ReplyError, Role, Status, Usage
from gemini_core.model.ids import ChatroomId, MessageId

ROOM_COLUMNS = [
    chatrooms.c[name]
    for name in (
        "id", "user_id", "title", "system_instruction", "model", "created_at", "updated_at", "message_count",
        "pinned", "archived",
    )
]  # fmt: skip
ROOM = select(*ROOM_COLUMNS).where(chatrooms.c.id == bindparam("room"), chatrooms.c.user_id == bindparam("owner"))
MESSAGE_COLUMNS = [column for column in messages.c if column.name not in ("user_id", "unit_day")]
OWN_ROOM = messages.c.chatroom_id == (
    select(chatrooms.c.id)
    .where(chatrooms.c.id == bindparam("room"), chatrooms.c.user_id == bindparam("reader"))
    .scalar_subquery()
)
MESSAGE = select(*MESSAGE_COLUMNS).where(OWN_ROOM, messages.c.id == bindparam("message"))


def stretch_of(*where: ColumnElement[bool], order: ColumnElement[Any]) -> Select[Any]:
    """Messages of a conversation in an order: at most `:limit`, and none once there are `:reach` bytes of text."""
    found = select(*MESSAGE_COLUMNS).where(~messages.c.superseded, *where).order_by(order).limit(bindparam("limit"))
    rows = found.subquery()
    place = func.row_number().over()
    bytes_ = func.octet_length(rows.c.content)
    before = (func.sum(bytes_).over(rows=(None, 0)) - bytes_).label("before")
    counted = select(*rows.c, before, place.label("place")).subquery()
    columns = [column for column in counted.c if column.name not in ("before", "place")]
    return select(*columns).where(counted.c.before < bindparam("reach")).order_by(counted.c.place)


IDS = bindparam("ids", type_=ARRAY(Uuid))
# The units that replies hold return to their days. Once: whoever gives them back holds the jobs of these replies, and
# empties `unit_day` with the one statement that makes them final. (A row that a transaction changes twice is checked
# against its room by PostgreSQL, and so waits for whoever deletes that, who in turn waits for the job.)
GIVE_BACK = text(
    """
    UPDATE daily_usage d SET used = greatest(d.used - held.units, 0)
    FROM (SELECT user_id, unit_day, count(*) AS units FROM messages
          WHERE chatroom_id = :room AND id = ANY(:ids) GROUP BY user_id, unit_day) held
    WHERE d.user_id = held.user_id AND d.day = held.unit_day
    """
).bindparams(IDS)


def room_of(row: Row[Any]) -> Chatroom:
    """A room of `ROOM_COLUMNS`."""
    return Chatroom(**row._asdict())


def message_of(row: Row[Any]) -> Message:
    """A message of `MESSAGE_COLUMNS`."""
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
        error=None if row.error_code is None else ReplyError(row.error_code, row.error_message, row.error_retryable),
        attempt=row.attempt,
        attachments=attachments_of(row.attachments),
        superseded=row.superseded,
    )


def attachments_of(files: list[dict[str, Any]] | None) -> tuple[Attachment, ...]:
    """What came with a message, of its column."""
    return tuple(Attachment.from_json(file) for file in files or ())


def files_of(attachments: Sequence[Attachment]) -> list[dict[str, Any]] | None:
    """The column for what came with a message; None for nothing."""
    return [attachment.to_json() for attachment in attachments] or None
