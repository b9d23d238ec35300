"""Many callers at the same instant."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from sqlalchemy import Engine, text

from adapters.local.processes import until
from gemini_core.errors import Failure

T = TypeVar("T")


def at_once(times: int, deed: Callable[[int], T]) -> list[T]:
    """The deed in so many threads at the same instant."""
    barrier = Barrier(times)

    def one(number: int) -> T:
        barrier.wait()
        return deed(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def tried_at_once(times: int, deed: Callable[[int], T]) -> list[T | Failure]:
    """As `at_once`; failures are outcomes."""

    def tried(number: int) -> T | Failure:
        try:
            return deed(number)
        except Failure as failure:
            return failure

    return at_once(times, tried)


def waiting(engine: Engine, count: int) -> bool:
    """So many connections wait for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def counted() -> bool:
        with engine.connect() as connection:
            return bool(connection.execute(query).scalar_one() == count)

    return until(counted, within=10)
