"""Messages that are accepted together, in PostgreSQL: nobody waits for, or suffers from, anybody else."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import IntegrityError
from tests.contracts.chat_worlds import LIMITS, NOW, ChatWorld, postgres_world
from tests.crowd import waiting

from adapters.local.processes import until
from adapters.persistence import engine as engines
from adapters.persistence.tables import daily_usage, messages
from gemini_core.errors import Unavailable
from gemini_core.model.chat import Chatroom, Sent
from gemini_core.model.requests import Once

CROWD = 20


@pytest.fixture
def world(engine: Engine) -> ChatWorld:
    return postgres_world(engine)


@pytest.fixture
def rooms(world: ChatWorld) -> list[Chatroom]:
    return [world.room(world.user("pro")) for _ in range(CROWD)]


def send(world: ChatWorld, room: Chatroom, content: str = "hello", key: str | None = None) -> Sent:
    once = Once.of(key, "send_message", room=room.id, content=content)
    return world.messages.send(room.user_id, room.id, content, limits=LIMITS, now=NOW, once=once)


@contextmanager
def held(engine: Engine, lock: str, **values: Any) -> Iterator[Connection]:
    """Somebody else's transaction, with that lock, until the end of the block."""
    with engine.connect() as autocommitting:
        connection = autocommitting.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            connection.execute(text(lock), values)
            yield connection


def test_only_the_sender_of_a_room_that_somebody_holds_waits_for_it(
    world: ChatWorld, engine: Engine, rooms: list[Chatroom]
) -> None:
    with ThreadPoolExecutor(CROWD) as pool:
        with held(engine, "SELECT FROM chatrooms WHERE id = :id FOR UPDATE", id=rooms[0].id):
            blocked, *others = [pool.submit(send, world, room) for room in rooms]
            assert [each.result(10).used for each in others] == [1] * (CROWD - 1)
            assert waiting(engine, 1)
            assert not blocked.done()
        assert blocked.result(10).used == 1


def test_a_message_that_cannot_be_stored_spoils_nobody_elses(engine: Engine, rooms: list[Chatroom]) -> None:
    with engine.connect() as connection:
        connection.execute(text("ALTER TABLE messages ADD CONSTRAINT edible CHECK (content <> 'poison')"))
    sends = in_one_crowd(engine, rooms, [*["hello"] * (CROWD - 1), "poison"])
    with pytest.raises(IntegrityError):
        sends[-1].result()
    assert [each.result().used for each in sends[:-1]] == [1] * (CROWD - 1)
    assert stored(engine) == (2 * (CROWD - 1), CROWD - 1)


def test_keys_are_good_in_a_crowd_too(world: ChatWorld, engine: Engine, rooms: list[Chatroom]) -> None:
    first = [send(world, room, key="k") for room in rooms[: CROWD // 2]]
    again = [each.result() for each in in_one_crowd(engine, rooms, ["hello"] * CROWD, key="k")]
    assert [each.replayed for each in again] == [True] * (CROWD // 2) + [False] * (CROWD // 2)
    assert [each.message for each in again[: CROWD // 2]] == [each.message for each in first]
    assert stored(engine) == (2 * CROWD, CROWD)


def test_a_key_that_two_processes_take_at_the_same_instant_is_taken_once(
    world: ChatWorld, engine: Engine, rooms: list[Chatroom]
) -> None:
    with ThreadPoolExecutor(2) as pool:
        with held(engine, "SELECT FROM chatrooms WHERE id = :id FOR UPDATE", id=rooms[0].id):
            sends = [pool.submit(send, each, rooms[0], key="k") for each in (world, postgres_world(engine))]
            assert waiting(engine, 2)
        sent = sorted((each.result(10) for each in sends), key=lambda each: each.replayed)
    assert [each.replayed for each in sent] == [False, True]
    assert sent[0].message == sent[1].message
    assert stored(engine) == (2, 1)


def test_what_may_have_been_stored_is_not_sent_again(world: ChatWorld, engine: Engine, rooms: list[Chatroom]) -> None:
    """A connection that is lost does not tell whether the server came to the end."""
    with held(engine, "LOCK TABLE jobs IN SHARE MODE") as holder, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send, world, rooms[0])
        assert waiting(engine, 1)
        holder.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
        with pytest.raises(Unavailable):
            sent.result(10)
    assert stored(engine) == (0, 0)


def in_one_crowd(
    engine: Engine, rooms: list[Chatroom], contents: list[str], key: str | None = None
) -> list[Future[Sent]]:
    """The sends, all of which come while the first one waits for the only connection."""
    narrow = engines.create(engine.url.render_as_string(hide_password=False), pool_size=1)
    world = postgres_world(narrow)
    together = world.messages.sending._together  # type: ignore[attr-defined]
    with ThreadPoolExecutor(CROWD) as pool:
        with narrow.connect():
            first = pool.submit(send, world, rooms[0], contents[0], key)
            assert until(lambda: together._somebody_goes and not together._waiting, within=10)
            others = [pool.submit(send, world, *each, key) for each in zip(rooms[1:], contents[1:], strict=True)]
            assert until(lambda: len(together._waiting) == CROWD - 1, within=10)
        sends = [first, *others]
        wait(sends)
    narrow.dispose()
    return sends


def stored(engine: Engine) -> tuple[int, int]:
    """Messages, and units of the day."""
    with engine.connect() as connection:
        return (
            connection.execute(select(func.count()).select_from(messages)).scalar_one(),
            connection.execute(select(func.coalesce(func.sum(daily_usage.c.used), 0))).scalar_one(),
        )
