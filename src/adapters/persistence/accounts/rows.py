"""What the modules of accounts share: words of SQL, and rows made into nouns."""

from typing import Any

from sqlalchemy import Row

from gemini_core.model.accounts.people import Profile, User, UserStatus
from gemini_core.model.accounts.sessions import Session
from gemini_core.model.ids import SessionId, UserId

# A session that nobody has ended and that has not run out.
LASTING = "s.ended_at IS NULL AND s.expires_at > :now AND s.rotated_at > :idle_from"
# One that goes on, beside its user `u`. Who waits for its row sees that anew, and the user as before the wait.
LIVE = f"{LASTING} AND s.credential_version = u.credential_version AND u.status = 'active'"
# The sign-up of the same requester: the one they name, else the latest from their network.
OFFERED = """SELECT id, password_hash FROM signups
    WHERE mobile_number = :number AND created_at > :signups_from
        AND (id = CAST(:signup_id AS text) OR network = :network)
    ORDER BY coalesce(id = CAST(:signup_id AS text), false) DESC, created_at DESC LIMIT 1"""
USER_COLUMNS = """u.id AS user_id, u.mobile_number, u.name, u.email, u.username, u.status, u.plan, u.plan_until,
    u.credential_version AS version, u.password_hash IS NOT NULL AS has_password, u.created_at AS user_since"""
SESSION_COLUMNS = """s.id AS session_id, s.user_id AS owner, s.counter, s.credential_version AS session_version, s.ip,
    s.user_agent, s.created_at AS session_since, s.rotated_at, s.expires_at"""


def masked(column: str) -> str:
    """The expression that masks a number as `model.accounts.people.masked` does."""
    return (
        f"CASE WHEN length({column}) > 11 THEN left({column}, 5) || '•••' || right({column}, 4)"
        f" ELSE left({column}, 3) || '•••' || right({column}, 2) END"
    )


def user_of(row: Row[Any]) -> User:
    """The user in a row of `USER_COLUMNS`."""
    return User(
        id=UserId(row.user_id),
        mobile_number=row.mobile_number,
        profile=Profile(name=row.name, email=row.email, username=row.username),
        status=UserStatus(row.status),
        plan=row.plan,
        plan_until=row.plan_until,
        credential_version=row.version,
        has_password=row.has_password,
        created_at=row.user_since,
    )


def session_of(row: Row[Any]) -> Session:
    """The session in a row of `SESSION_COLUMNS`."""
    return Session(
        id=SessionId(row.session_id),
        user_id=UserId(row.owner),
        counter=row.counter,
        credential_version=row.session_version,
        ip=row.ip,
        user_agent=row.user_agent,
        created_at=row.session_since,
        rotated_at=row.rotated_at,
        expires_at=row.expires_at,
    )
