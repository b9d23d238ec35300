"""Who comes while something else is being done to the same account, and waits for it, gets the answer that is true.

Real PostgreSQL; the one who is first is held in the middle of the transaction, so that the others do wait.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import pytest
from sqlalchemy import Connection, Engine
from tests.contracts.account_worlds import HERE, NOW, THERE, AccountWorld, after, caller, postgres_world
from tests.crowd import waiting

from adapters.persistence.engine import transaction
from gemini_core.model.accounts.sessions import Session

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OneTransaction:
    """What an engine is to whom it gives this connection, whose transaction is somebody else's to end."""

    connection: Connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        yield self.connection


@pytest.fixture
def world(engine: Engine) -> AccountWorld:
    return postgres_world(engine)


def overtaken(engine: Engine, first: Callable[[AccountWorld], object], *others: Callable[[], T]) -> list[T]:
    """What the others get who come when the first one has done its deed and has not committed it."""
    with ThreadPoolExecutor(len(others)) as pool:
        with transaction(engine) as connection:
            first(postgres_world(OneTransaction(connection)))  # type: ignore[arg-type]
            coming = [pool.submit(other) for other in others]
            assert waiting(engine, len(others))
        return [each.result(10) for each in coming]


def test_a_logout_that_meets_the_sessions_own_change_of_the_password_ends_it(
    world: AccountWorld, engine: Engine
) -> None:
    owner = world.sign_in()
    (ended,) = overtaken(
        engine,
        lambda first: first.change_password(caller(owner), version=1),
        lambda: world.sessions.end(owner.user.id, owner.session.id, ip="", now=NOW),
    )
    assert ended.sessions == (owner.session.id,)
    assert not world.sessions.alive(caller(owner), now=NOW)


def test_a_session_is_renewed_while_its_own_password_changes(world: AccountWorld, engine: Engine) -> None:
    owner = world.sign_in()
    (renewed,) = overtaken(
        engine,
        lambda first: first.change_password(caller(owner), version=1),
        lambda: world.sessions.rotate(owner.session.id, 0, ip=HERE.ip, now=after(1)),
    )
    assert isinstance(renewed, Session)
    assert (renewed.counter, renewed.credential_version) == (1, 2)


def test_another_session_is_not_renewed_while_the_password_changes(world: AccountWorld, engine: Engine) -> None:
    owner, other = world.sign_in(), world.sign_in(by=THERE)
    outcome = overtaken(
        engine,
        lambda first: first.change_password(caller(owner), version=1),
        lambda: world.sessions.rotate(other.session.id, 0, ip=HERE.ip, now=after(1)),
    )
    assert outcome == [None]
