"""What operators do with accounts, and what is exported of one, in PostgreSQL."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from adapters.persistence.accounts.rows import USER_COLUMNS, masked, user_of
from adapters.persistence.accounts.sessions import END_ALL
from adapters.persistence.engine import statement, transaction
from adapters.persistence.tables import PLAN
from gemini_core.errors import Conflict
from gemini_core.model.accounts.limits import Ended
from gemini_core.model.accounts.people import User
from gemini_core.model.ids import UserId
from gemini_core.model.requests import Page, no_user

LIST_USERS = text(
    f"""
    SELECT {USER_COLUMNS} FROM users u
    WHERE u.status <> 'erasing'
        AND (CAST(:status AS text) IS NULL OR u.status = :status)
        AND (CAST(:plan AS text) IS NULL OR :plan = {PLAN})
        AND (CAST(:number AS text) IS NULL OR starts_with(u.mobile_number, :number))
        AND (CAST(:after AS uuid) IS NULL OR u.id < :after)
    ORDER BY u.id DESC LIMIT :limit
    """  # noqa: S608 - constants
)
FIND_USER = text(f"SELECT {USER_COLUMNS} FROM users u WHERE u.mobile_number = :number")  # noqa: S608 - constants
CREATE_USER = text(
    f"""
    WITH u AS (
        INSERT INTO users (id, mobile_number, name, email, username, created_at)
        VALUES (:id, :number, :name, :email, :username, :now) RETURNING id, mobile_number
    )
    INSERT INTO audit (at, event, user_id, number, operator)
    SELECT :now, 'account.created', id, {masked("mobile_number")}, :operator FROM u
    """  # noqa: S608 - constants
)
SET_STATUS = text("UPDATE users SET status = :status WHERE id = :user AND status <> 'erasing' RETURNING id")
LIFT_PAUSE = text("DELETE FROM phones WHERE mobile_number = (SELECT mobile_number FROM users WHERE id = :user)")
NOTE_RESTORED = text(
    "INSERT INTO audit (at, event, user_id, operator) VALUES (:now, 'account.restored', :user, :operator)"
)
EXPORT_SESSIONS = text(
    """
    SELECT id, created_at, rotated_at AS last_used_at, ended_at, ip, user_agent FROM sessions
    WHERE user_id = :user ORDER BY id
    """
)
EXPORT_EVENTS = text(
    """
    SELECT id, at, event, session_id, ip, detail FROM audit
    WHERE user_id = :user AND id > :after ORDER BY id LIMIT 500
    """
)


@dataclass(frozen=True, slots=True)
class SqlOperators:
    """`Operators`."""

    engine: Engine

    def list_users(
        self,
        *,
        status: str | None,
        plan: str | None,
        number: str | None,
        limit: int,
        after: tuple[str, ...] | None,
        now: datetime,
    ) -> Page[User]:
        values = {
            "status": status,
            "plan": plan,
            "number": number,
            "now": now,
            "after": UUID(after[0]) if after else None,
            "limit": limit + 1,
        }
        with statement(self.engine) as connection:
            users = tuple(user_of(row) for row in connection.execute(LIST_USERS, values))
        return Page(users[:limit], (str(users[limit - 1].id),) if len(users) > limit else None)

    def find(self, number: str) -> User:
        with statement(self.engine) as connection:
            row = connection.execute(FIND_USER, {"number": number}).one_or_none()
        if row is None:
            raise no_user()
        return user_of(row)

    def create(self, user: User, *, operator: str) -> None:
        values = {
            "id": user.id,
            "number": user.mobile_number,
            "name": user.profile.name,
            "email": user.profile.email,
            "username": user.profile.username,
            "now": user.created_at,
            "operator": operator,
        }
        try:
            with statement(self.engine) as connection:
                connection.execute(CREATE_USER, values)
        except IntegrityError:
            raise Conflict("This number has an account already.", code="number-taken") from None

    def suspend(self, user: UserId, *, operator: str, now: datetime) -> Ended:
        ending = {"user": user, "now": now, "event": "account.suspended", "ip": None, "operator": operator}
        with transaction(self.engine) as connection:
            if connection.execute(SET_STATUS, {"user": user, "status": "suspended"}).one_or_none() is None:
                raise no_user()
            row = connection.execute(END_ALL, ending).one()
        return Ended(user, tuple(row.sessions), row.credential_version)

    def restore(self, user: UserId, *, operator: str, now: datetime) -> None:
        with transaction(self.engine) as connection:
            # The number first, then the account: as where a code is typed in.
            connection.execute(LIFT_PAUSE, {"user": user})
            if connection.execute(SET_STATUS, {"user": user, "status": "active"}).one_or_none() is None:
                raise no_user()
            connection.execute(NOTE_RESTORED, {"now": now, "user": user, "operator": operator})


@dataclass(frozen=True, slots=True)
class SqlAccountExport:
    """`AccountExport` of the account itself."""

    engine: Engine

    def parts(self, user: UserId) -> Iterator[tuple[str, Iterator[Mapping[str, object]]]]:
        yield "account", self._rows(text(f"SELECT {USER_COLUMNS} FROM users u WHERE u.id = :user"), user)  # noqa: S608
        yield "sessions", self._rows(EXPORT_SESSIONS, user)
        yield "events", self._events(user)

    def _rows(self, query: Any, user: UserId) -> Iterator[Mapping[str, object]]:
        with statement(self.engine) as connection:
            rows = [dict(row) for row in connection.execute(query, {"user": user}).mappings()]
        yield from rows

    def _events(self, user: UserId) -> Iterator[Mapping[str, object]]:
        """Some at a time, so that no connection is held while a slow client reads."""
        after = 0
        while True:
            with statement(self.engine) as connection:
                rows = connection.execute(EXPORT_EVENTS, {"user": user, "after": after}).mappings().all()
            if not rows:
                return
            yield from (dict(row) for row in rows)
            after = rows[-1]["id"]
