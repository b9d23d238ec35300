"""Who comes while something else is being done to the same account, and waits for it, gets the answer that is true.

Real PostgreSQL; the one who is first is held in the middle of the transaction, so that the others do wait.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import pytest
from sqlalchemy import Connection, Engine
from tests.contracts.account_worlds import HERE, NOW, THERE, AccountWorld, after, caller, postgres_world
from tests.crowd import waiting

from adapters.persistence.engine import transaction
from gemini_core.model.accounts.codes import SignedIn
from gemini_core.model.accounts.people import Client
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


def test_however_many_sign_in_at_once_twenty_sessions_are_left(world: AccountWorld, engine: Engine) -> None:
    owner = world.sign_in()
    for number in range(1, 20):
        world.sign_in(now=after(number))
    clients = [Client(f"203.0.113.{index}", f"203.0.113.{index}") for index in range(6)]
    first, *others = (world.sent(by=client, now=after(60)) for client in clients)
    outcomes = overtaken(
        engine,
        lambda before: before.type_in(first, by=clients[0], now=after(60)),
        *(
            partial(world.type_in, each, by=client, now=after(60))
            for each, client in zip(others, clients[1:], strict=True)
        ),
    )
    live = {session.id for session in world.sessions.live(owner.user.id, now=after(60))}
    displaced = [session for outcome in outcomes if isinstance(outcome, SignedIn) for session in outcome.displaced]
    assert len(live) == 20
    assert {outcome.session.id for outcome in outcomes if isinstance(outcome, SignedIn)} < live
    assert len(world.events("session.displaced")) == 6 == len({*displaced}) + 1
