"""Idempotency keys in PostgreSQL: taken in the transaction that does what was asked."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from adapters.persistence.stale import forget, some_stale
from gemini_core.model.ids import UserId
from gemini_core.model.requests import KEY_LIVES, Once, key_reused

# An expired key is free again. Whoever comes second at the same instant waits here for the first to commit.
TAKE = text(
    """
    INSERT INTO idempotency_keys AS held (user_id, key, fingerprint, outcome, created_at)
    VALUES (:user, :key, :fingerprint, :outcome, :now)
    ON CONFLICT (user_id, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, outcome = excluded.outcome, created_at = excluded.created_at
        WHERE held.created_at <= :expired
    RETURNING key
    """
).bindparams(bindparam("outcome", type_=JSONB))
FIND = text(
    "SELECT fingerprint, outcome FROM idempotency_keys WHERE user_id = :user AND key = :key AND created_at > :expired"
)
# Whoever takes one of them anew at this instant keeps it.
FORGET = some_stale("idempotency_keys", "created_at < :before")
# A key is dated by the process that took it, and forgotten by another one.
CLOCKS_DIFFER = timedelta(hours=1)


def take_key(connection: Connection, user: UserId, once: Once, outcome: Mapping[str, Any], now: datetime) -> bool:
    """The key stands for this outcome from now on. False: it was taken."""
    values = {
        "user": user,
        "key": once.key,
        "fingerprint": once.fingerprint,
        "outcome": outcome,
        "now": now,
        "expired": now - KEY_LIVES,
    }
    return connection.execute(TAKE, values).one_or_none() is not None


def first_outcome(connection: Connection, user: UserId, once: Once, now: datetime) -> dict[str, Any] | None:
    """What was decided first under this key; None if it is free. Raises `Invalid` if that was another request."""
    found = connection.execute(FIND, {"user": user, "key": once.key, "expired": now - KEY_LIVES}).one_or_none()
    if found is None:
        return None
    if found.fingerprint != once.fingerprint:
        raise key_reused()
    outcome: dict[str, Any] = found.outcome
    return outcome


def forget_keys(engine: Engine, now: datetime) -> None:
    """Remove those that have been free again for a while."""
    forget(engine, FORGET, {"before": now - KEY_LIVES - CLOCKS_DIFFER})
