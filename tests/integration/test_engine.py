"""The door to PostgreSQL, when the server goes away and comes back, and when it is not to blame."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError

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


def test_what_the_driver_refuses_is_a_bug_of_ours_and_no_outage(engine: Engine) -> None:
    with pytest.raises(DataError), engines.statement(engine) as connection:
        connection.execute(text("SELECT :name"), {"name": "a\0b"})
