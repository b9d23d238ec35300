"""Real servers for the tests: a PostgreSQL for the whole run, a Valkey for each process of it.

A server that cannot be started is a failure, never a skip.
"""

import logging
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import structlog
from hypothesis import HealthCheck, settings
from psycopg import sql
from sqlalchemy import Engine
from tests.fakes.ports import ServerT, at_own_port

from adapters.local.postgres import Postgres
from adapters.local.valkey import Valkey
from adapters.persistence import engine as engines
from adapters.persistence.migrate import migrate

# What is examined with made-up input, the same each time, is what is answered; how long it took says something of the
# machine alone.
settings.register_profile("untimed", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Seconds.
DAY, LONGEST_TEST = 86_400, 40

TEMPLATE = "migrated"
CLOSING = pytest.StashKey[ExitStack]()
SHARED = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """With several processes, the one that leads them starts the PostgreSQL that they share."""
    config.stash[CLOSING] = ExitStack()
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        config.stash[SHARED] = config.stash[CLOSING].enter_context(_postgres_with_template())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["postgres"] = node.config.stash[SHARED]


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[CLOSING].close()


@pytest.fixture
def logs_restored() -> Iterator[None]:
    """For a test that sets up this process's logs: afterwards they are as they were, also those of loggers in use."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    structlog.contextvars.clear_contextvars()
    yield
    root.handlers, root.level = handlers, level
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    for name, module in list(sys.modules.items()):
        if name.startswith("adapters."):
            vars(vars(module).get("log", root)).pop("bind", None)  # what a logger keeps from its first use on


@pytest.fixture(autouse=True)
def _today() -> None:
    """The same day (UTC) from a test's beginning to its end, as many count what is done in one."""
    left = DAY - time.time() % DAY
    if left < LONGEST_TEST:
        time.sleep(left)


@contextmanager
def _open_folder() -> Iterator[Path]:
    """A temporary folder that the servers' own user can reach."""
    with tempfile.TemporaryDirectory(prefix="gemini-backend-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def _running(kind: type[ServerT]) -> Iterator[ServerT]:
    with _open_folder() as home:
        server = at_own_port(kind(home, durable=False))
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def _postgres_with_template() -> Iterator[str]:
    """With one migrated database, which every test gets a copy of."""
    with _running(Postgres) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        _migrate(_database(server.url, TEMPLATE))
        yield server.url


def _migrate(url: str) -> None:
    engine = engines.create(url, pool_size=1)
    migrate(engine)
    engine.dispose()


def _database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="session")
def _postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    handed_down = getattr(request.config, "workerinput", {}).get("postgres")
    with nullcontext(handed_down) if handed_down else _postgres_with_template() as url:
        yield url


@contextmanager
def _own_database(server: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        # Copied file by file: half the time of the usual way, by the log.
        copied = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        connection.execute(copied.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        yield _database(server, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def postgres_url(_postgres: str) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    with _own_database(_postgres) as url:
        yield url


@pytest.fixture(scope="module")
def module_postgres_url(_postgres: str) -> Iterator[str]:
    """One that the tests of a module share."""
    with _own_database(_postgres) as url:
        yield url


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    """The shipped engine on a database of the test's own, with room for 50 threads."""
    engine = engines.create(postgres_url, pool_size=50)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def _valkey() -> Iterator[str]:
    with _running(Valkey) as server:
        yield server.url


@pytest.fixture(scope="module")
def module_valkey_url(_valkey: str) -> str:
    """A Valkey with nothing in it when the module begins."""
    with redis.Redis.from_url(_valkey) as client:
        client.flushall()
    return _valkey


@pytest.fixture
def valkey_url(_valkey: str) -> str:
    """A Valkey with nothing in it."""
    with redis.Redis.from_url(_valkey) as client:
        client.flushall()
    return _valkey


@pytest.fixture
def private_postgres() -> Iterator[Postgres]:
    """A running, migrated PostgreSQL that the test may stop, kill and start again."""
    with _running(Postgres) as server:
        _migrate(server.url)
        yield server


@pytest.fixture
def private_valkey() -> Iterator[Valkey]:
    """A running Valkey that the test may stop, kill and start again; it forgets everything when it ends."""
    with _running(Valkey) as server:
        yield server


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Like `tmp_path`, but open to the user that the embedded servers run as."""
    with _open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def module_open_folder() -> Iterator[Path]:
    """One that the tests of a module share."""
    with _open_folder() as folder:
        yield folder
