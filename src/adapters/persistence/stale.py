"""What is of no more use goes some at a time, and nothing of it that somebody has in hand: nobody waits for it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, TextClause, text

from adapters.persistence.engine import statement

CHUNK = 1_000


def some_stale(table: str, stale: str) -> TextClause:
    """Deletes `CHUNK` rows of a table that are stale. Whatever is changed at this instant stays."""
    return text(
        f"""
        DELETE FROM {table} WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM {table} WHERE {stale} LIMIT {CHUNK} FOR UPDATE SKIP LOCKED))
        """  # noqa: S608 - constants
    )


def forget(engine: Engine, some: TextClause, values: Mapping[str, Any]) -> None:
    """All of them, each chunk in a transaction of its own."""
    while True:
        with statement(engine) as connection:
            if connection.execute(some, values).rowcount < CHUNK:
                return
