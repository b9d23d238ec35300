"""Sign-ins, in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from adapters.persistence.accounts.rows import LASTING, LIVE, SESSION_COLUMNS, session_of
from adapters.persistence.engine import statement
from gemini_core.errors import NotFound
from gemini_core.model.accounts.limits import Ended
from gemini_core.model.accounts.people import Caller
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.accounts.sessions import Reused, Session
from gemini_core.model.ids import SessionId, UserId
from gemini_core.model.requests import no_user

# The newest token advances the counter; the one before it, within its grace, finds the successor as it is; anything
# older ends the session. Whoever comes at the same instant waits for the row and then sees what became of it.
ROTATE = text(
    f"""
    WITH s AS (
        UPDATE sessions AS s SET
            counter = s.counter + (s.counter = :counter)::int,
            rotated_at = CASE WHEN s.counter = :counter THEN :now ELSE s.rotated_at END,
            ended_at = CASE WHEN s.counter = :counter OR (s.counter = :counter + 1 AND s.rotated_at >= :grace_from)
                THEN NULL ELSE CAST(:now AS timestamptz) END
        FROM users u WHERE s.id = :session AND u.id = s.user_id AND s.counter >= :counter AND {LIVE}
        RETURNING {SESSION_COLUMNS}, s.ended_at
    ), noted AS (
        INSERT INTO audit (at, event, user_id, session_id, ip)
        SELECT :now, CASE WHEN ended_at IS NULL THEN 'session.renewed' ELSE 'session.token_reused' END,
            owner, session_id, :ip
        FROM s WHERE rotated_at = :now OR ended_at IS NOT NULL
    )
    SELECT * FROM s
    """  # noqa: S608 - constants
)
LIST = text(
    f"""
    SELECT {SESSION_COLUMNS} FROM sessions s JOIN users u ON u.id = s.user_id
    WHERE u.id = :user AND {LIVE} ORDER BY s.rotated_at DESC, s.id DESC
    """  # noqa: S608 - constants
)
ALIVE = text(
    f"SELECT FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = :session AND u.id = :user AND {LIVE}"
)
END = text(
    f"""
    WITH ended AS (
        UPDATE sessions s SET ended_at = :now WHERE s.id = :session AND s.user_id = :user AND {LASTING} RETURNING s.id
    ), noted AS (
        INSERT INTO audit (at, event, user_id, session_id, ip) SELECT :now, 'session.ended', :user, id, :ip FROM ended
    )
    SELECT id FROM ended
    """  # noqa: S608 - constants
)
# The user's row first: whoever signs in at this moment waits for it, and then finds another version.
END_ALL = text(
    """
    WITH u AS (
        UPDATE users SET credential_version = credential_version + 1 WHERE id = :user AND status <> 'erasing'
        RETURNING id, credential_version
    ), ended AS (
        UPDATE sessions s SET ended_at = :now FROM u WHERE s.user_id = u.id AND s.ended_at IS NULL RETURNING s.id
    ), noted AS (
        INSERT INTO audit (at, event, user_id, ip, operator) SELECT :now, :event, id, :ip, :operator FROM u
    )
    SELECT credential_version, ARRAY(SELECT id FROM ended) AS sessions FROM u
    """
)


@dataclass(frozen=True, slots=True)
class SqlSessions:
    """`Sessions`."""

    engine: Engine
    policy: AccountPolicy

    def rotate(self, session: SessionId, counter: int, *, ip: str, now: datetime) -> Session | Reused | None:
        values = self._at(now) | {
            "session": session,
            "counter": counter,
            "ip": ip,
            "grace_from": now - self.policy.refresh_grace,
        }
        with statement(self.engine) as connection:
            row = connection.execute(ROTATE, values).one_or_none()
            if row is None:  # it may have waited for a change of the password, which this session outlives
                row = connection.execute(ROTATE, values).one_or_none()
        if row is None:
            return None
        return session_of(row) if row.ended_at is None else Reused(UserId(row.owner), session)

    def live(self, user: UserId, *, now: datetime) -> Sequence[Session]:
        with statement(self.engine) as connection:
            return [session_of(row) for row in connection.execute(LIST, self._at(now) | {"user": user})]

    def alive(self, caller: Caller, *, now: datetime) -> bool:
        values = self._at(now) | {"user": caller.user_id, "session": caller.session_id}
        with statement(self.engine) as connection:
            return connection.execute(ALIVE, values).one_or_none() is not None

    def end(self, user: UserId, session: SessionId, *, ip: str, now: datetime) -> Ended:
        values = self._at(now) | {"user": user, "session": session, "ip": ip}
        with statement(self.engine) as connection:
            if connection.execute(END, values).one_or_none() is None:
                raise NotFound("There is no such session.")
        return Ended(user, (session,))

    def end_all(self, user: UserId, *, ip: str | None, now: datetime, operator: str | None = None) -> Ended:
        values = {"user": user, "now": now, "event": "session.ended_all", "ip": ip, "operator": operator}
        with statement(self.engine) as connection:
            row = connection.execute(END_ALL, values).one_or_none()
        if row is None:
            raise no_user()
        return Ended(user, tuple(row.sessions), row.credential_version)

    def _at(self, now: datetime) -> dict[str, Any]:
        return {"now": now, "idle_from": now - self.policy.session_idle}
