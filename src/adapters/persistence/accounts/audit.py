"""The audit log, in PostgreSQL. The other modules of accounts add to it inside their own statements."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from adapters.persistence.engine import statement
from adapters.persistence.tables import audit
from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.ids import SessionId, UserId
from gemini_core.model.requests import Page

INSERT = audit.insert()


@dataclass(frozen=True, slots=True)
class SqlAuditLog:
    """`AuditLog`."""

    engine: Engine

    def note(self, event: AuditEvent) -> None:
        with statement(self.engine) as connection:
            add_note(connection, event)

    def page(
        self, *, user: UserId | None = None, event: str | None = None, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[AuditEvent]:
        wanted = select(audit).order_by(audit.c.id.desc()).limit(limit + 1)
        if user is not None:
            wanted = wanted.where(audit.c.user_id == user)
        if event is not None:
            wanted = wanted.where(audit.c.event == event)
        if after is not None:
            wanted = wanted.where(audit.c.id < int(after[0]))
        with statement(self.engine) as connection:
            events = tuple(_event(row) for row in connection.execute(wanted))
        return Page(events[:limit], (str(events[limit - 1].id),) if len(events) > limit else None)


def add_note(connection: Connection, event: AuditEvent) -> None:
    """Add to the log within somebody's transaction."""
    values = {
        "at": event.at,
        "event": event.event,
        "user_id": event.user_id,
        "session_id": event.session_id,
        "number": event.number,
        "ip": event.ip,
        "operator": event.operator,
        "detail": dict(event.detail),
    }
    connection.execute(INSERT, values)


def _event(row: Row[Any]) -> AuditEvent:
    return AuditEvent(
        id=row.id,
        at=row.at,
        event=row.event,
        user_id=UserId(row.user_id) if row.user_id else None,
        session_id=SessionId(row.session_id) if row.session_id else None,
        number=row.number,
        ip=row.ip,
        operator=row.operator,
        detail=row.detail,
    )
