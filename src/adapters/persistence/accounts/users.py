"""Accounts and pending sign-ups, in PostgreSQL."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, text

from adapters.persistence.accounts.rows import USER_COLUMNS, masked, user_of
from adapters.persistence.engine import statement, transaction
from adapters.persistence.jobs import insert_job
from adapters.persistence.once import forget_keys
from adapters.persistence.stale import forget, some_stale
from gemini_core.model.accounts.limits import DAY, Ended
from gemini_core.model.accounts.people import ERASE_ACCOUNT, Caller, Signup, User
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.ids import JobId, SessionId, UserId
from gemini_core.model.jobs import NewJob
from gemini_core.model.requests import no_user

SIGN_UP = text(
    f"""
    WITH kept AS (
        INSERT INTO signups (id, mobile_number, network, name, email, username, password_hash, created_at)
        VALUES (:id, :number, :network, :name, :email, :username, :password_hash, :now)
    )
    INSERT INTO audit (at, event, number, ip) VALUES (:now, 'account.signup', {masked("CAST(:number AS text)")}, :ip)
    """  # noqa: S608 - constants
)
SHOW_USER = text(f"SELECT {USER_COLUMNS} FROM users u WHERE u.id = :user AND u.status <> 'erasing'")  # noqa: S608
CHANGE_PROFILE = text(
    f"""
    WITH u AS (
        UPDATE users AS u SET
            name = CASE WHEN :set_name THEN CAST(:name AS text) ELSE u.name END,
            email = CASE WHEN :set_email THEN CAST(:email AS text) ELSE u.email END,
            username = CASE WHEN :set_username THEN CAST(:username AS text) ELSE u.username END
        WHERE u.id = :user AND u.status <> 'erasing' RETURNING {USER_COLUMNS}
    ), noted AS (
        INSERT INTO audit (at, event, user_id, session_id, ip, detail)
        SELECT :now, 'account.changed', user_id, :session, :ip, jsonb_build_object('fields', CAST(:fields AS text))
        FROM u
    )
    SELECT * FROM u
    """  # noqa: S608 - constants
)
FORGET_NUMBER = [
    text(f"DELETE FROM {table} WHERE mobile_number = (SELECT mobile_number FROM users WHERE id = :user)")  # noqa: S608
    for table in ("challenges", "phones", "signups")
]
# The number becomes free at once, and what tells of the person goes at once; chat and the rest follow by the job.
CLOSE = text(
    f"""
    WITH former AS (
        SELECT id, mobile_number FROM users WHERE id = :user AND status <> 'erasing' FOR UPDATE
    ), u AS (
        UPDATE users SET status = 'erasing', mobile_number = users.id::text, name = NULL, email = NULL, username = NULL,
            password_hash = NULL, credential_version = credential_version + 1
        FROM former WHERE users.id = former.id
        RETURNING users.id, credential_version, former.mobile_number AS former_number
    ), ended AS (
        UPDATE sessions s SET ended_at = :now FROM u WHERE s.user_id = u.id AND s.ended_at IS NULL RETURNING s.id
    ), promised AS (
        INSERT INTO jobs (id, kind, args, request_id, due_at)
        SELECT :job, '{ERASE_ACCOUNT}', jsonb_build_object('user', id), :request_id, now() FROM u
    ), noted AS (
        INSERT INTO audit (at, event, user_id, session_id, number, ip, operator)
        SELECT :now, 'account.closed', id, :session, {masked("former_number")}, :ip, :operator FROM u
    )
    SELECT credential_version, ARRAY(SELECT id FROM ended) AS sessions FROM u
    """  # noqa: S608 - constants
)
# Ended sessions stay as long as live ones could: they tell from where the user is known. What is counted against a
# number stays while it limits anything; against one that has no account, as long as a session could live.
FORGET_STALE = [
    some_stale("signups", "created_at < :signups_from"),
    some_stale("challenges", "asked_at < :day_ago"),
    some_stale("sessions", "rotated_at < :sessions_from"),
    some_stale(
        "phones",
        """failed_at < :day_ago AND (failures = 0 OR failed_at < :sessions_from
            AND NOT EXISTS (SELECT FROM users u WHERE u.mobile_number = phones.mobile_number))""",
    ),
]
# In everybody's order: the rooms, the jobs (whoever works for the account stops), then all the rest.
LOCK_ROOMS = text(
    """
    SELECT FROM chatrooms r JOIN users u ON u.id = r.user_id WHERE u.id = :user AND u.status = 'erasing'
    ORDER BY r.id FOR UPDATE OF r
    """
)
DROP_JOBS = text(
    """
    DELETE FROM jobs USING (
        SELECT j.id FROM jobs j JOIN chatrooms r ON r.id = j.lane JOIN users u ON u.id = r.user_id
        WHERE u.id = :user AND u.status = 'erasing' ORDER BY j.id FOR UPDATE OF j
    ) held WHERE jobs.id = held.id
    """
)
ERASE = text("DELETE FROM users WHERE id = :user AND status = 'erasing' RETURNING id")


@dataclass(frozen=True, slots=True)
class SqlUsers:
    """`Users`."""

    engine: Engine
    policy: AccountPolicy

    def sign_up(self, signup: Signup, *, ip: str) -> None:
        values = {
            "id": signup.id,
            "number": signup.mobile_number,
            "network": signup.network,
            "name": signup.profile.name,
            "email": signup.profile.email,
            "username": signup.profile.username,
            "password_hash": signup.password_hash,
            "now": signup.created_at,
            "ip": ip,
        }
        with statement(self.engine) as connection:
            connection.execute(SIGN_UP, values)

    def show(self, user: UserId) -> User:
        with statement(self.engine) as connection:
            return _user(connection.execute(SHOW_USER, {"user": user}).one_or_none())

    def change_profile(self, caller: Caller, changes: Mapping[str, str | None], *, ip: str, now: datetime) -> User:
        values: dict[str, Any] = {
            "user": caller.user_id,
            "session": caller.session_id,
            "ip": ip,
            "now": now,
            "fields": " ".join(sorted(changes)),
        }
        for field in ("name", "email", "username"):
            values |= {field: changes.get(field), f"set_{field}": field in changes}
        with statement(self.engine) as connection:
            return _user(connection.execute(CHANGE_PROFILE, values).one_or_none())

    def close(
        self,
        user: UserId,
        *,
        session: SessionId | None,
        ip: str | None,
        operator: str | None = None,
        job: JobId,
        request_id: str,
        now: datetime,
    ) -> Ended:
        values = {
            "user": user,
            "session": session,
            "ip": ip,
            "operator": operator,
            "job": job,
            "request_id": request_id,
            "now": now,
        }
        with transaction(self.engine) as connection:
            for query in FORGET_NUMBER:
                connection.execute(query, values)
            row = connection.execute(CLOSE, values).one_or_none()
        if row is None:
            raise no_user()
        return Ended(user, tuple(row.sessions), row.credential_version)

    def erase(self, user: UserId, *, then: Iterable[NewJob] = ()) -> None:
        with transaction(self.engine) as connection:
            connection.execute(LOCK_ROOMS, {"user": user})
            connection.execute(DROP_JOBS, {"user": user})
            if connection.execute(ERASE, {"user": user}).one_or_none() is not None:
                for job in then:
                    insert_job(connection, job)

    def forget_stale(self, *, now: datetime) -> None:
        values = {
            "signups_from": now - self.policy.signup_lives,
            "day_ago": now - DAY,
            "sessions_from": now - self.policy.session_lives,
        }
        for some in FORGET_STALE:
            forget(self.engine, some, values)
        forget_keys(self.engine, now)


def _user(row: Row[Any] | None) -> User:
    if row is None:
        raise no_user()
    return user_of(row)
