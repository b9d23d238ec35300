"""The request threads of a process take turns on one processor."""

import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adapters.argon2.hasher import Argon2Hasher
from adapters.http.processor import OneProcessor, idle_seconds, less_crowded

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be kept here")
ALL = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
THREADS = 4


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Says where its thread may run."""
    start_response("200 OK", [])
    return [",".join(map(str, sorted(os.sched_getaffinity(0)))).encode()]


def called(served: Any) -> set[int]:
    return {int(each) for part in served({}, lambda *_: None) for each in part.decode().split(",")}


def test_all_threads_run_on_the_same_processor_and_move_together() -> None:
    served, together = OneProcessor(application), threading.Barrier(THREADS)

    def call(_: int) -> tuple[int, set[int]]:
        together.wait(10)
        return threading.get_native_id(), called(served)

    with ThreadPoolExecutor(THREADS) as pool:
        found = dict(pool.map(call, range(THREADS)))
        assert len(found) == THREADS
        (chosen,) = set.union(*found.values())
        assert chosen in ALL
        for processor in sorted(ALL):
            served.move(processor)
            assert set.union(*(called for _, called in pool.map(call, range(THREADS)))) == {processor}
    assert os.sched_getaffinity(0) == ALL


def test_passwords_are_hashed_on_any_processor_whoever_asks() -> None:
    hasher = Argon2Hasher(memory_kib=8)

    def hashing(environ: Any, start_response: Any) -> Iterable[bytes]:
        hasher.hash("correct horse")
        return application(environ, start_response)

    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(lambda: called(OneProcessor(hashing))).result(10)) == 1
    hashers = [each.native_id for each in threading.enumerate() if each.name.startswith("argon2")]
    assert hashers
    assert all(os.sched_getaffinity(each or 0) == ALL for each in hashers)


@pytest.mark.parametrize(
    ("free", "own", "goes"),
    [
        pytest.param({0: 0.0, 1: 1.0}, 0.5, 1, id="two like this one where one would have room"),
        pytest.param({0: 0.0, 1: 0.4}, 0.5, None, id="the other one is used too"),
        pytest.param({0: 0.0, 1: 1.0}, 1.0, None, id="nobody else is here"),
        pytest.param({0: 0.0, 1: 1.0}, 1.6, None, id="its free threads work elsewhere"),
        pytest.param({0: 0.9, 1: 1.0}, 0.0, None, id="nobody does anything"),
        pytest.param({0: 0.0, 1: 0.5, 2: 0.9, 3: 0.8}, 0.2, 2, id="the freest of several"),
    ],
)
def test_a_crowded_processor_is_left_for_one_that_is_much_freer(
    free: dict[int, float], own: float, goes: int | None
) -> None:
    assert less_crowded(0, free, own) == goes


def test_the_machine_tells_how_long_each_processor_was_idle() -> None:
    told = idle_seconds()
    assert told.keys() >= ALL
    assert all(seconds >= 0 for seconds in told.values())
