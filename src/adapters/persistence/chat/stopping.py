"""Replies that nobody works on are stopped, in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from adapters.persistence.chat.rows import GIVE_BACK, IDS

DROP_JOBS = text("DELETE FROM jobs WHERE id = ANY(:ids)").bindparams(IDS)
CANCEL = text(
    """
    UPDATE messages SET status = 'cancelled', completed_at = :now, unit_day = NULL
    WHERE chatroom_id = :room AND id = ANY(:ids)
    """
).bindparams(IDS)


def stop_replies(connection: Connection, room: UUID, ids: Sequence[UUID], now: datetime) -> None:
    """They are final, and give their units back. The caller's transaction holds their jobs."""
    values = {"room": room, "ids": ids, "now": now}
    for statement in (DROP_JOBS, GIVE_BACK, CANCEL):
        connection.execute(statement, values)
