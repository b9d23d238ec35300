"""Signing keys, in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, select, text

from adapters.persistence.accounts.audit import add_note
from adapters.persistence.engine import statement, transaction
from adapters.persistence.tables import signing_keys
from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.keys import KeyState, SigningKey

# Any fixed number: whoever changes the ring holds this advisory lock until the end of the transaction.
LOCK = text("SELECT pg_advisory_xact_lock(707169)")
ALL = select(signing_keys).order_by(signing_keys.c.changed_at.desc(), signing_keys.c.state.desc())
INSERT = signing_keys.insert()
MOVE = text("UPDATE signing_keys SET state = :to, changed_at = :now WHERE state = :state")


@dataclass(frozen=True, slots=True)
class SqlSigningKeys:
    """`SigningKeys`."""

    engine: Engine

    def keys(self) -> Sequence[SigningKey]:
        with statement(self.engine) as connection:
            return [
                SigningKey(
                    kid=row.kid,
                    state=KeyState(row.state),
                    public=row.public,
                    sealed=row.sealed,
                    changed_at=row.changed_at,
                )
                for row in connection.execute(ALL)
            ]

    def begin(self, active: SigningKey, following: SigningKey) -> None:
        with transaction(self.engine) as connection:
            connection.execute(LOCK)
            if connection.execute(ALL).first() is None:
                connection.execute(INSERT, [_row(active), _row(following)])

    def rotate(self, following: SigningKey, note: AuditEvent, *, now: datetime) -> bool:
        with transaction(self.engine) as connection:
            connection.execute(LOCK)
            newest = connection.execute(ALL).first()
            if newest is None or newest.changed_at >= now:
                return False
            for state, to in ((KeyState.ACTIVE, KeyState.RETIRED), (KeyState.NEXT, KeyState.ACTIVE)):
                connection.execute(MOVE, {"state": state, "to": to, "now": now})
            connection.execute(INSERT, _row(following))
            add_note(connection, note)
        return True

    def remove(self, kid: str, note: AuditEvent) -> bool:
        gone = delete(signing_keys).where(signing_keys.c.kid == kid, signing_keys.c.state == KeyState.RETIRED)
        with transaction(self.engine) as connection:
            if removed := connection.execute(gone).rowcount == 1:
                add_note(connection, note)
            return removed


def _row(key: SigningKey) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "state": key.state,
        "public": key.public,
        "sealed": key.sealed,
        "changed_at": key.changed_at,
    }
