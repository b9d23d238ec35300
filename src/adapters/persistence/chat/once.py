"""Idempotency keys in PostgreSQL: taken in the transaction that does what was asked."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from gemini_core.model.requests import KEY_LIVES, Once, key_reused

# An expired key is free again. Whoever comes second at the same instant waits here for the first to commit.
TAKE_KEY = """
    INSERT INTO idempotency_keys AS held (user_id, key, fingerprint, outcome, created_at)
    SELECT {user}, :key, :fingerprint, {outcome}, :now FROM {source}
    ON CONFLICT (user_id, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, outcome = excluded.outcome, created_at = excluded.created_at
        WHERE held.created_at <= :expired
    RETURNING key
"""
FIND_KEY = text(
    """
    SELECT fingerprint, outcome FROM idempotency_keys
    WHERE user_id = :user_id AND key = :key AND created_at > :expired
    """
)


def key_of(once: Once, now: datetime) -> dict[str, Any]:
    """The values of a key for the statements here."""
    return {"key": once.key, "fingerprint": once.fingerprint, "expired": now - KEY_LIVES}


def first_outcome(connection: Connection, key: dict[str, Any], once: Once) -> dict[str, Any]:
    """What was decided first under a key that is taken. Raises `Invalid` for another request's key."""
    return outcome_of(connection.execute(FIND_KEY, key).one(), once)


def outcome_of(found: Row[Any], once: Once) -> dict[str, Any]:
    """What was decided first. Raises `Invalid` for another request's key."""
    if bytes(found.fingerprint) != once.fingerprint:
        raise key_reused()
    outcome: dict[str, Any] = found.outcome
    return outcome
