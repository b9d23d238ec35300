"""The exam for what keeps room lists close; sat by the cache that keeps nothing and by Redis."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

import pytest
import redis

from adapters.local.valkey import Valkey
from adapters.memory.chat.rooms import NoRoomListCache
from adapters.redis.client import connect
from adapters.redis.room_lists import RedisRoomLists
from adapters.redis.scripts import Script, Scripts
from gemini_core.errors import NotFound, Unavailable
from gemini_core.model.chat import Chatroom
from gemini_core.model.ids import ChatroomId, UserId, uuid7
from gemini_core.model.requests import Page
from gemini_core.ports.chat import RoomListCache

NOW = datetime(2026, 5, 17, 12, 0, 0, 123456, tzinfo=UTC)
OWNER = UserId(UUID("019e35ce-b600-7c6e-be7d-5e91df7a0702"))
PROCESSES, THREADS, ROUNDS = 2, 4, 150


def page(number: int, *, further: bool = False) -> Page[Chatroom]:
    """A list that says which number it is."""
    room = Chatroom(
        id=ChatroomId(uuid7(NOW)),
        user_id=OWNER,
        title="Tee & Gebäck 🫖",
        system_instruction="",
        model="gemini-test",
        created_at=NOW,
        updated_at=NOW,
        message_count=number,
        pinned=True,
    )
    return Page((room,), (NOW.isoformat(), str(room.id)) if further else None)


def never() -> Page[Chatroom]:
    raise AssertionError("there was a list to be had")


@pytest.fixture(params=["none", "redis"])
def caches(request: pytest.FixtureRequest) -> tuple[RoomListCache, RoomListCache]:
    """Two processes' view of one cache."""
    if request.param == "none":
        return NoRoomListCache(), NoRoomListCache()
    url = request.getfixturevalue("valkey_url")
    return RedisRoomLists(Scripts(connect(url))), RedisRoomLists(Scripts(connect(url)))


def test_what_is_fetched_is_the_page_as_it_was_made(caches: tuple[RoomListCache, RoomListCache]) -> None:
    here, there = caches
    made = page(1, further=True)
    assert here.fetch(OWNER, "a", lambda: made) == made
    assert there.fetch(OWNER, "a", lambda: made) == made
    assert here.fetch(OWNER, "empty", lambda: Page(())) == there.fetch(OWNER, "empty", lambda: Page(())) == Page(())


def test_a_change_is_seen_in_the_very_next_list_everywhere(caches: tuple[RoomListCache, RoomListCache]) -> None:
    here, there = caches
    for number in range(5):
        for cache in (here, there, here):
            assert cache.fetch(OWNER, "a", lambda number=number: page(number)).items[0].message_count == number  # type: ignore[misc]
        with there.changing(OWNER):
            pass


def test_a_reader_who_is_overtaken_by_a_change_keeps_nothing(caches: tuple[RoomListCache, RoomListCache]) -> None:
    here, there = caches

    def slow() -> Page[Chatroom]:
        with there.changing(OWNER):
            pass
        return page(1)

    here.fetch(OWNER, "a", slow)
    assert there.fetch(OWNER, "a", lambda: page(2)).items[0].message_count == 2
    assert here.fetch(OWNER, "a", lambda: page(2)).items[0].message_count == 2


@pytest.mark.parametrize("closed", [pytest.param(60, id="nothing kept"), pytest.param(0, id="told again")])
def test_a_change_that_redis_hears_of_too_early_is_seen_all_the_same(valkey_url: str, closed: float) -> None:
    scripts = Scripts(connect(valkey_url))
    here, there = RedisRoomLists(scripts, closed=closed), RedisRoomLists(Scripts(connect(valkey_url)))
    there.fetch(OWNER, "a", lambda: page(1))
    with here.changing(OWNER):
        scripts.run(Script("return 1"), [], [])
        assert there.fetch(OWNER, "a", lambda: page(2)).items[0].message_count == 2
    assert there.fetch(OWNER, "a", lambda: page(3)).items[0].message_count == 3


def test_a_change_that_fails_is_not_told_unless_it_may_have_come_to_its_end(valkey_url: str) -> None:
    cache, made = RedisRoomLists(Scripts(connect(valkey_url))), page(1)
    cache.fetch(OWNER, "a", lambda: made)
    with pytest.raises(NotFound), cache.changing(OWNER):
        raise NotFound("There is no such room.")
    assert cache.fetch(OWNER, "a", never) == made
    with pytest.raises(Unavailable), cache.changing(OWNER):
        raise Unavailable("The database went away.")
    assert cache.fetch(OWNER, "a", lambda: page(2)).items[0].message_count == 2


def test_redis_keeps_a_list_until_a_change_and_an_empty_one_too(valkey_url: str) -> None:
    here, there = (RedisRoomLists(Scripts(connect(valkey_url))) for _ in range(2))
    made = page(1, further=True)
    here.fetch(OWNER, "a", lambda: made)
    here.fetch(OWNER, "empty", lambda: Page(()))
    assert there.fetch(OWNER, "a", never) == made
    assert there.fetch(OWNER, "empty", never) == Page(())
    with there.changing(UserId(uuid7(NOW))):
        pass
    assert here.fetch(OWNER, "a", never) == made


def test_a_cache_that_is_away_only_makes_lists_slower_and_none_stale(private_valkey: Valkey) -> None:
    here, there = (RedisRoomLists(Scripts(connect(private_valkey.url))) for _ in range(2))
    here.fetch(OWNER, "a", lambda: page(1))
    private_valkey.kill()
    assert there.fetch(OWNER, "a", lambda: page(2)).items[0].message_count == 2
    with here.changing(OWNER):
        pass
    assert here.fetch(OWNER, "a", lambda: page(3)).items[0].message_count == 3
    private_valkey.start()
    assert here.fetch(OWNER, "a", lambda: page(3)).items[0].message_count == 3


def test_what_redis_brings_back_from_before_it_was_away_is_never_shown(private_valkey: Valkey) -> None:
    private_valkey.durable = True
    private_valkey.stop()
    private_valkey.start()
    here, there = (RedisRoomLists(Scripts(connect(private_valkey.url))) for _ in range(2))
    here.fetch(OWNER, "a", lambda: page(1))
    private_valkey.kill()
    # Somebody changes the list now, and is killed before Redis is back to hear of it.
    private_valkey.start()
    with redis.Redis.from_url(private_valkey.url) as client:
        assert client.dbsize() == 1
    assert there.fetch(OWNER, "a", lambda: page(2)).items[0].message_count == 2
    assert there.fetch(OWNER, "a", never).items[0].message_count == 2


def read_and_write(url: str, _: int) -> tuple[int, int]:
    """Change, then look: (lists that were older than what had been changed before, lists that came from the cache)."""
    cache, truth, made = RedisRoomLists(Scripts(connect(url))), redis.Redis.from_url(url), []

    def make() -> Page[Chatroom]:
        made.append(1)
        return page(int(truth.get("truth") or 0))

    def go(write: int) -> int:
        stale = 0
        for number in range(ROUNDS):
            if number % 3 == write:
                truth.incr("truth")
                with cache.changing(OWNER):
                    pass
            known = int(truth.get("known") or 0)
            if number % 3 == write:
                known = int(truth.incr("known"))
            stale += cache.fetch(OWNER, "a", make).items[0].message_count < known
        return stale

    with ThreadPoolExecutor(THREADS) as pool:
        stale = sum(pool.map(go, range(THREADS)))
    truth.close()
    return stale, THREADS * ROUNDS - len(made)


def run(deed: Callable[[str, int], tuple[int, int]], url: str) -> list[tuple[int, int]]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as pool:
        return pool.starmap(deed, [(url, number) for number in range(PROCESSES)], chunksize=1)


def test_two_processes_that_read_and_write_at_once_see_no_stale_list(valkey_url: str) -> None:
    outcomes = run(read_and_write, valkey_url)
    assert sum(stale for stale, _ in outcomes) == 0
    assert sum(kept for _, kept in outcomes) > 0
