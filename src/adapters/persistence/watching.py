"""A server that says nothing any more, although its host keeps connections open (frozen, hung), is noticed in seconds.

PostgreSQL bounds its statements itself, but not if it is frozen. So whoever has waited for an answer for long looks
whether anybody is there. A server that is only slow is waited for.
"""

from collections.abc import Callable
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

from psycopg import Connection, OperationalError
from psycopg.abc import PQGen
from psycopg.errors import ConnectionTimeout
from psycopg.rows import TupleRow

T = TypeVar("T")

NO_ANSWER = "The server does not answer."


class WatchedConnection(Connection[TupleRow]):
    """A connection that ends when it has waited for `patience` seconds, and `answers()` says that nobody is there."""

    patience: float
    answers: Callable[[], bool]

    def wait(self, gen: PQGen[T], *args: Any, **about: Any) -> T:
        """As psycopg's, for everything that is asked of the server."""
        return super().wait(self._watched(gen), *args, **about)

    def _watched(self, gen: PQGen[T]) -> PQGen[T]:
        """The same steps. Some times a second, those who wait are told that nothing is ready."""
        doubt = monotonic() + self.patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and monotonic() > doubt:
                    if not self.answers():
                        self.close()
                        raise OperationalError(NO_ANSWER)
                    doubt = monotonic() + self.patience
                wanted = gen.send(ready)
        except StopIteration as done:
            result: T = done.value
            return result


class Watch:
    """Connects, and knows whether the server has answered. `patience`: seconds before anybody doubts."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._silent = False
        self._asking = Lock()
        self._asked = 0.0

    def connect(self, _dialect: Any, _record: Any, args: Any, about: Any) -> WatchedConnection:
        """A new connection. While nobody answers, one at a time tries, and everybody else is refused at once."""
        alone = self._silent
        if alone and not self._asking.acquire(blocking=False):
            raise OperationalError(NO_ANSWER)
        try:
            connection = WatchedConnection.connect(*args, **about)
            self._silent = False
        except OperationalError as error:
            self._silent = isinstance(error, ConnectionTimeout)
            raise
        finally:
            if alone:
                self._asked = monotonic()
                self._asking.release()
        connection.patience = self._patience
        connection.answers = partial(self._answers, partial(Connection.connect, *args, **about))
        return connection

    def _answers(self, ask: Callable[[], Connection[TupleRow]]) -> bool:
        """Somebody is there, though it were to refuse. What one has found out is true for all who doubted meanwhile."""
        doubted = monotonic()
        with self._asking:
            if self._asked < doubted:
                try:
                    ask().close()
                    self._silent = False
                except OperationalError as error:
                    self._silent = error.sqlstate is None
                self._asked = monotonic()
            return not self._silent
