"""Passwords, in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from adapters.persistence.accounts.rows import LIVE, OFFERED, SESSION_COLUMNS, USER_COLUMNS, masked, session_of, user_of
from adapters.persistence.engine import statement
from gemini_core.errors import Unauthenticated
from gemini_core.model.accounts.codes import ChallengeId
from gemini_core.model.accounts.limits import Ended
from gemini_core.model.accounts.passwords import changed_meanwhile
from gemini_core.model.accounts.people import SEND_NOTICE, Caller, Client, Credentials, SignupId, User
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.accounts.sessions import Session
from gemini_core.model.ids import JobId, UserId

ACCOUNT_HASH = text(
    f"""
    WITH account AS (
        SELECT id, password_hash, credential_version FROM users WHERE mobile_number = :number
    ), offered AS (
        {OFFERED}
    )
    SELECT id AS user_id, NULL AS signup_id, password_hash, credential_version FROM account
    UNION ALL
    SELECT NULL, id, password_hash, 0 FROM offered WHERE NOT EXISTS (SELECT FROM account)
    """  # noqa: S608 - constants
)
CALLER_HASH = text(
    f"""
    SELECT {USER_COLUMNS}, {SESSION_COLUMNS}, u.password_hash FROM users u JOIN sessions s ON s.user_id = u.id
    WHERE u.id = :user AND s.id = :session AND {LIVE}
    """  # noqa: S608 - constants
)
RESET_OF = """c.id = :challenge AND c.purpose = 'reset' AND c.redeemed_at > :reset_from AND c.spent_at IS NULL"""
RESET_USER = text(
    f"""
    SELECT {USER_COLUMNS} FROM challenges c JOIN users u ON u.mobile_number = c.mobile_number
    WHERE {RESET_OF} AND u.status = 'active' AND u.credential_version = c.credential_version
    """  # noqa: S608 - constants
)
# {source} answers whose password it is. One row changes, and with its version every session, code and reset that was
# begun under the former one is void, also those that are being made this moment. The caller's own session goes along.
CHANGE_SQL = """
    WITH {source}, u AS (
        UPDATE users SET password_hash = :password_hash, credential_version = users.credential_version + 1 FROM entitled
        WHERE users.id = entitled.id AND users.credential_version = :version AND users.status = 'active'
        RETURNING users.id, users.credential_version, users.mobile_number
    ), kept AS (
        UPDATE sessions s SET credential_version = u.credential_version FROM u
        WHERE s.id = :session AND s.user_id = u.id AND s.ended_at IS NULL
    ), ended AS (
        UPDATE sessions s SET ended_at = :now FROM u
        WHERE s.user_id = u.id AND s.id IS DISTINCT FROM :session AND s.ended_at IS NULL RETURNING s.id
    ), promised AS (
        INSERT INTO jobs (id, kind, args, request_id, due_at)
        SELECT :job, '{notice}', jsonb_build_object('user', id), :request_id, now() FROM u
    ), noted AS (
        INSERT INTO audit (at, event, user_id, session_id, number, ip)
        SELECT :now, '{event}', id, :session, {masked}, :ip FROM u
    )
    SELECT id, credential_version, ARRAY(SELECT id FROM ended) AS sessions FROM u
"""
CHANGE_BY_CALLER = text(
    CHANGE_SQL.format(
        source=f"""entitled AS (
            SELECT u.id FROM users u JOIN sessions s ON s.user_id = u.id
            WHERE u.id = :user AND s.id = :session AND {LIVE})""",  # noqa: S608 - constants
        event="password.changed",
        notice=SEND_NOTICE,
        masked=masked("mobile_number"),
    ).replace(":session", "CAST(:session AS uuid)")
)
CHANGE_BY_RESET = text(
    CHANGE_SQL.format(
        source=f"""spent AS (
            UPDATE challenges c SET spent_at = :now WHERE {RESET_OF} AND c.credential_version = :version
            RETURNING c.mobile_number
        ), entitled AS (
            SELECT u.id FROM users u JOIN spent USING (mobile_number))""",  # noqa: S608 - constants
        event="password.reset",
        notice=SEND_NOTICE,
        masked=masked("mobile_number"),
    ).replace(":session", "CAST(:session AS uuid)")
)
REHASH = text(
    """
    UPDATE users SET password_hash = :stronger
    WHERE id = :user AND password_hash = :password_hash AND credential_version = :version
    """
)


@dataclass(frozen=True, slots=True)
class SqlPasswords:
    """`Passwords`."""

    engine: Engine
    policy: AccountPolicy

    def of_number(self, number: str, client: Client, signup: SignupId | None, *, now: datetime) -> Credentials | None:
        values = {
            "number": number,
            "network": client.network,
            "signup_id": signup,
            "signups_from": now - self.policy.signup_lives,
        }
        with statement(self.engine) as connection:
            row = connection.execute(ACCOUNT_HASH, values).one_or_none()
        if row is None or row.password_hash is None:
            return None
        return Credentials(row.password_hash, row.credential_version, row.signup_id, row.user_id)

    def of_caller(self, caller: Caller, *, now: datetime) -> tuple[User, Session, str | None]:
        values = {"user": caller.user_id, "session": caller.session_id} | self._at(now)
        with statement(self.engine) as connection:
            row = connection.execute(CALLER_HASH, values).one_or_none()
        if row is None:
            raise Unauthenticated("This session has ended.")
        return user_of(row), session_of(row), row.password_hash

    def of_reset(self, challenge: ChallengeId, *, now: datetime) -> User:
        values = {"challenge": challenge, "reset_from": now - self.policy.reset_lives}
        with statement(self.engine) as connection:
            row = connection.execute(RESET_USER, values).one_or_none()
        if row is None:
            raise _spent()
        return user_of(row)

    def change(
        self,
        allowed_by: Caller | ChallengeId,
        password_hash: str,
        *,
        version: int,
        ip: str,
        job: JobId,
        request_id: str,
        now: datetime,
    ) -> Ended:
        caller = allowed_by if isinstance(allowed_by, Caller) else None
        values = self._at(now) | {
            "user": caller and caller.user_id,
            "session": caller and caller.session_id,
            "challenge": None if caller else allowed_by,
            "password_hash": password_hash,
            "version": version,
            "ip": ip,
            "job": job,
            "request_id": request_id,
            "reset_from": now - self.policy.reset_lives,
        }
        with statement(self.engine) as connection:
            row = connection.execute(CHANGE_BY_CALLER if caller else CHANGE_BY_RESET, values).one_or_none()
        if row is None:
            if caller is None:
                raise _spent()
            self.of_caller(caller, now=now)
            raise changed_meanwhile()
        return Ended(UserId(row.id), tuple(row.sessions), row.credential_version, values["session"])

    def rehash(self, credentials: Credentials, password_hash: str) -> None:
        values = {
            "user": credentials.user_id,
            "password_hash": credentials.password_hash,
            "version": credentials.version,
            "stronger": password_hash,
        }
        with statement(self.engine) as connection:
            connection.execute(REHASH, values)

    def _at(self, now: datetime) -> dict[str, Any]:
        return {"now": now, "idle_from": now - self.policy.session_idle}


def _spent() -> Unauthenticated:
    return Unauthenticated("This reset token is no longer good.", code="invalid-reset-token")
