"""The door to PostgreSQL: one engine per process, and the one place where the driver's exceptions become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from select import POLLIN, poll
from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from adapters.persistence.watching import Watch
from gemini_core.errors import Unavailable

__all__ = ["Engine", "RolledBack", "create", "is_known", "ping", "statement", "transaction", "translating"]

# What a server answers that is going down, starting up, or out of connections.
AWAY = ("57P", "08", "53")
# What it answers whom it chose to break a deadlock, or who took too long.
ROLLED_BACK = ("40", "57014", "55P03")


class RolledBack(Unavailable):
    """The database gave up on a transaction that was in nobody's way but another one's: nothing of it was done."""


def create(url: str, *, pool_size: int = 10, connect_timeout: int = 3, patience: float = 4.0) -> Engine:
    """An engine for a `postgresql://` or `postgres://` URL. No connection is opened yet.

    `pool_size`: connections kept at the most; whoever needs one more waits up to 10 s. Every statement runs in
    autocommit: one statement is one transaction and one round trip; where there are more, `transaction` joins them.
    Whoever has waited for an answer for `patience` seconds looks whether the server still answers, which takes
    `connect_timeout` at the most (seconds; libpq makes two of one); if it does not, it is away.
    """
    where = make_url(url).set(drivername="postgresql+psycopg")
    engine = create_engine(
        where,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_use_lifo=True,
        isolation_level="AUTOCOMMIT",
        # A dead peer is noticed in seconds, not in the kernel's two hours; a statement never holds a request for ever,
        # and neither does a server that is frozen (`Watch`).
        connect_args={
            "connect_timeout": connect_timeout,
            "keepalives_idle": 10,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            "options": "-c statement_timeout=15000 -c TimeZone=UTC",
            "prepare_threshold": 3,
            "application_name": "gemini-backend",
        },
    )
    event.listen(engine, "do_connect", Watch(patience).connect)
    event.listen(engine, "checkout", _refuse_hung_up)
    return engine


def is_known(url: str) -> bool:
    """PostgreSQL's own library can read the URL, and knows its options."""
    try:
        conninfo_to_dict(url)
    except ProgrammingError:
        return False
    return True


def _refuse_hung_up(connection: Any, _record: Any, _proxy: Any) -> None:
    """A pooled connection that the server has closed meanwhile is replaced before it costs somebody an answer.

    An idle connection has nothing to read but its end: a look at the socket, and no round trip.
    """
    look = poll()
    if not connection.closed:
        look.register(connection.fileno(), POLLIN)
    if connection.closed or look.poll(0):
        raise DisconnectionError("The server has hung up.")


@contextmanager
def translating() -> Iterator[None]:
    """Inside, a database that is away is `Unavailable`; everything else is a bug and stays as it is."""
    try:
        yield
    except (PoolTimeout, DisconnectionError) as error:
        raise Unavailable("The database cannot be reached right now.") from error
    except DBAPIError as error:
        state: Any = getattr(error.orig, "sqlstate", None)
        lost = state is None and isinstance(error, OperationalError | InterfaceError)
        if error.connection_invalidated or lost or str(state).startswith(AWAY):
            raise Unavailable("The database cannot be reached right now.") from error
        if str(state).startswith(ROLLED_BACK):
            raise RolledBack("The database is too busy right now.") from error
        raise


def ping(engine: Engine) -> None:
    """The database answers. Raises `Unavailable`."""
    with statement(engine) as connection:
        connection.execute(text("SELECT 1"))


@contextmanager
def statement(engine: Engine) -> Iterator[Connection]:
    """A connection for one statement, which is its own transaction."""
    with translating(), engine.connect() as connection:
        yield connection


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A connection for several statements: leaving commits, raising rolls back."""
    with translating(), engine.connect() as autocommitting:
        connection = autocommitting.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            yield connection
