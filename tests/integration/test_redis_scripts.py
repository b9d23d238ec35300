"""Scripts of many threads in few round trips, on a real server."""

import pytest
from redis.exceptions import RedisError
from tests.crowd import at_once

from adapters.local.valkey import Valkey
from adapters.redis.client import AWAY, connect
from adapters.redis.scripts import Script, Scripts

THREADS = 50
ECHO = Script("return {KEYS[1], ARGV[1]}")
COUNT = Script("return redis.call('INCR', KEYS[1])")
BROKEN = Script("return redis.call('INCR', 'not', 'a', 'number')")


def test_everybody_gets_their_own_answer(valkey_url: str) -> None:
    scripts = Scripts(connect(valkey_url))
    answers = at_once(THREADS, lambda n: [scripts.run(ECHO, [f"key {n}"], [turn]) for turn in range(20)])
    assert answers == [[[f"key {n}".encode(), str(turn).encode()] for turn in range(20)] for n in range(THREADS)]


def test_every_script_runs_exactly_once(valkey_url: str) -> None:
    scripts = Scripts(connect(valkey_url))
    counts = at_once(THREADS, lambda _: [scripts.run(COUNT, ["count"], []) for _ in range(20)])
    assert sorted(count for each in counts for count in each) == list(range(1, THREADS * 20 + 1))


def test_a_crowd_holds_few_connections(private_valkey: Valkey) -> None:
    client = connect(private_valkey.url)
    scripts = Scripts(client)
    at_once(THREADS, lambda n: scripts.run(ECHO, ["key"], [n]))
    assert len(client.client_list()) <= 2


def test_a_script_that_fails_fails_for_its_caller_alone(valkey_url: str) -> None:
    scripts = Scripts(connect(valkey_url))

    def deed(number: int) -> str:
        try:
            scripts.run(COUNT if number % 2 else BROKEN, ["count"], [])
        except RedisError:
            return "failed"
        return "ran"

    assert at_once(THREADS, deed) == ["failed", "ran"] * (THREADS // 2)


def test_scripts_that_the_server_forgot_are_told_again(valkey_url: str) -> None:
    client = connect(valkey_url)
    scripts = Scripts(client)
    scripts.run(COUNT, ["count"], [])
    client.script_flush()
    assert sorted(at_once(THREADS, lambda _: scripts.run(COUNT, ["count"], []))) == list(range(2, THREADS + 2))


def test_an_outage_is_told_to_all_and_is_over_when_it_is_over(private_valkey: Valkey) -> None:
    scripts = Scripts(connect(private_valkey.url))
    assert scripts.run(COUNT, ["count"], []) == 1
    private_valkey.kill()

    def is_away(_: int) -> bool:
        with pytest.raises(AWAY):
            scripts.run(COUNT, ["count"], [])
        return True

    assert all(at_once(THREADS, is_away))
    private_valkey.start()
    assert scripts.run(COUNT, ["count"], []) == 1
