"""The door to PostgreSQL, when the server goes away and comes back, and when it is not to blame."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError
from tests.fakes.frozen import frozen

from adapters.local.postgres import Postgres
from adapters.persistence import engine as engines
from gemini_core.errors import Unavailable


@pytest.mark.parametrize("end", [Postgres.kill, Postgres.stop])
@pytest.mark.parametrize("noticed", [True, False])
def test_a_database_that_comes_back_costs_nobody_an_answer(
    private_postgres: Postgres, end: Callable[[Postgres], None], noticed: bool
) -> None:
    engine = engines.create(private_postgres.url, pool_size=5)
    with ExitStack() as all_at_once:
        for _ in range(5):
            all_at_once.enter_context(engines.statement(engine))
    end(private_postgres)
    if noticed:
        with pytest.raises(Unavailable):
            engines.ping(engine)
    private_postgres.start()
    for _ in range(5):
        engines.ping(engine)
    engine.dispose()


def test_a_frozen_database_is_away_within_seconds_and_goes_on_when_it_thaws(private_postgres: Postgres) -> None:
    engine = engines.create(private_postgres.url, pool_size=4, connect_timeout=2, patience=1)
    with engines.transaction(engine) as connection:
        connection.execute(text("CREATE TABLE kept (id int)"))
    with ExitStack() as all_at_once:
        for _ in range(4):
            all_at_once.enter_context(engines.statement(engine))

    def refused(statement: str) -> float:
        """Seconds until it was."""
        began = time.monotonic()
        with pytest.raises(Unavailable), engines.transaction(engine) as connection:
            connection.execute(text(statement))
        return time.monotonic() - began

    with frozen(private_postgres), ThreadPoolExecutor(8) as pool:
        assert max(pool.map(refused, ["INSERT INTO kept VALUES (1)"] * 8)) < 8
        assert sorted(pool.map(refused, ["SELECT 1"] * 8))[6] < 1
    with engines.statement(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM kept")).scalar_one() == 0
    engine.dispose()


def test_what_hangs_while_the_database_answers_others_is_waited_for(private_postgres: Postgres) -> None:
    engine = engines.create(private_postgres.url, patience=1)
    with engines.statement(engine) as connection:
        assert connection.execute(text("SELECT 7 FROM pg_sleep(:long)"), {"long": 2.5}).scalar_one() == 7
    engine.dispose()


def test_what_the_driver_refuses_is_a_bug_of_ours_and_no_outage(engine: Engine) -> None:
    with pytest.raises(DataError), engines.statement(engine) as connection:
        connection.execute(text("SELECT :name"), {"name": "a\0b"})
