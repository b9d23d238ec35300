"""Idempotency keys are good for as long as is promised, and not kept for ever."""

from datetime import datetime, timedelta

from sqlalchemy import Engine, text
from tests.contracts.chat_worlds import LIMITS, NOW, postgres_world

from adapters.memory.once import MemoryKeys
from adapters.persistence.accounts.users import SqlUsers
from adapters.persistence.once import CLOCKS_DIFFER
from adapters.persistence.stale import CHUNK
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.ids import UserId, uuid7
from gemini_core.model.requests import KEY_LIVES, Once

SECOND = timedelta(seconds=1)


def once(number: int) -> Once:
    return Once(f"key {number}", b"f" * 32)


def test_keys_that_are_good_for_nothing_go_however_many_and_one_that_is_answers_again(engine: Engine) -> None:
    world = postgres_world(engine)
    author = world.user()
    room = world.room(author)
    old = """
        INSERT INTO idempotency_keys (user_id, key, fingerprint, outcome, created_at)
        SELECT :author, 'old ' || number, '', '{}', :now FROM generate_series(1, :many) AS number
    """
    with engine.connect() as connection:
        connection.execute(text(old), {"author": author, "now": NOW, "many": 2 * CHUNK + 1})

    def send(now: datetime) -> bool:
        return world.messages.send(author, room.id, "hi", limits=LIMITS, now=now, once=once(1)).replayed

    def left_at(now: datetime) -> int:
        SqlUsers(engine, AccountPolicy()).forget_stale(now=now)
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM idempotency_keys")).scalar_one())

    assert not send(NOW + SECOND)
    assert left_at(NOW + KEY_LIVES) == 2 * CHUNK + 2
    assert left_at(NOW + KEY_LIVES + CLOCKS_DIFFER + SECOND) == 1
    assert send(NOW + KEY_LIVES)


def test_in_the_process_a_new_key_takes_the_place_of_those_that_are_over() -> None:
    keys, user = MemoryKeys[str](), UserId(uuid7(NOW))
    keys.keep(user, once(1), "first", NOW)
    keys.keep(user, once(2), "second", NOW + SECOND)
    keys.keep(user, once(3), "third", NOW + KEY_LIVES)
    assert keys.first(user, once(2), NOW + KEY_LIVES) == "second"
    assert len(keys) == 2
    keys.keep(user, once(2), "anew", NOW + KEY_LIVES + SECOND)
    keys.keep(user, once(4), "fourth", NOW + 2 * KEY_LIVES)
    assert keys.first(user, once(2), NOW + 2 * KEY_LIVES) == "anew"
    assert len(keys) == 2
