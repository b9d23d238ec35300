"""What many threads want at once, in few trips."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from adapters.local.processes import until
from adapters.together import Errand, Together

CROWD = 20


class Trips:
    """Goes as it is told, and remembers who went with whom. The first trip waits until it may end."""

    def __init__(self, outcome: Exception | None = None) -> None:
        self.went: list[list[int]] = []
        self.on_the_way = Event()
        self.may_end = Event()
        self._outcome = outcome

    def __call__(self, wanted: Sequence[int]) -> Sequence[int | Exception]:
        self.went.append(list(wanted))
        self.on_the_way.set()
        assert self.may_end.wait(10)
        if self._outcome is not None and len(wanted) > 1:
            raise self._outcome
        return [ValueError(f"not {number}") if number % 7 == 6 else number * number for number in wanted]


def crowd(trips: Trips, *, at_most: int = 100) -> list[int | Exception]:
    """What the first and then the `CROWD` who come while it is on the way get."""
    together = Together(trips, at_most=at_most)

    def run(number: int) -> int | Exception:
        try:
            return together.run(number)
        except (ValueError, ConnectionError) as error:
            return error

    with ThreadPoolExecutor(CROWD + 1) as pool:
        first = pool.submit(run, 0)
        assert trips.on_the_way.wait(10)
        others = [pool.submit(run, number) for number in range(1, CROWD + 1)]
        assert until(lambda: len(together._waiting) == CROWD, within=10)
        trips.may_end.set()
        return [each.result(10) for each in (first, *others)]


def test_whoever_comes_while_somebody_is_on_the_way_goes_with_the_next() -> None:
    trips = Trips()
    outcomes = crowd(trips)
    assert trips.went[0] == [0]
    assert [sorted(trip) for trip in trips.went[1:]] == [list(range(1, CROWD + 1))]
    assert [each for each in outcomes if isinstance(each, int)] == [n * n for n in range(CROWD + 1) if n % 7 != 6]


def test_what_fails_for_one_fails_for_nobody_else() -> None:
    outcomes = crowd(Trips())
    assert [str(each) for each in outcomes if isinstance(each, Exception)] == ["not 6", "not 13", "not 20"]


def test_a_trip_that_fails_fails_for_all_who_went_and_for_nobody_after_them() -> None:
    trips = Trips(ConnectionError("away"))
    outcomes = crowd(trips, at_most=CROWD - 1)
    assert [len(trip) for trip in trips.went] == [1, CROWD - 1, 1]
    assert [str(each) for each in outcomes if isinstance(each, ConnectionError)] == ["away"] * (CROWD - 1)
    assert outcomes[0] == 0


def test_no_more_go_together_than_may() -> None:
    trips = Trips()
    crowd(trips, at_most=8)
    assert [len(trip) for trip in trips.went] == [1, 8, 8, 4]
    assert sorted(number for trip in trips.went for number in trip) == list(range(CROWD + 1))


def test_who_is_alone_goes_alone() -> None:
    trips = Trips()
    trips.may_end.set()
    together = Together(trips, at_most=100)
    assert [together.run(number) for number in (1, 2, 3)] == [1, 4, 9]
    assert trips.went == [[1], [2], [3]]
    with pytest.raises(ValueError, match="not 6"):
        together.run(6)


def test_a_trip_without_an_outcome_for_each_leaves_nobody_waiting() -> None:
    together = Together[int, int](lambda wanted: [], at_most=100)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="without an outcome"):
            together.run(1)


def test_what_is_begun_rides_with_the_next_who_goes() -> None:
    trips = Trips()
    trips.may_end.set()
    together = Together(trips, at_most=2)
    begun = together.begin(2)
    assert trips.went == []
    assert together.run(3) == 9
    assert trips.went == [[3, 2]]
    assert not together.withdraw(begun)
    assert together.finish(begun) == 4
    assert trips.went == [[3, 2]]


def test_what_is_begun_and_nobody_took_along_goes_when_it_is_finished_unless_it_is_withdrawn() -> None:
    trips = Trips()
    trips.may_end.set()
    together = Together(trips, at_most=100)
    withdrawn, begun = together.begin(2), together.begin(3)
    assert together.withdraw(withdrawn)
    assert together.finish(begun) == 9
    assert trips.went == [[3]]


def test_who_only_began_is_never_told_to_go() -> None:
    """Its thread is elsewhere: those who wait would wait for ever."""
    trips = Trips()
    together = Together(trips, at_most=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(together.run, 1)
        assert trips.on_the_way.wait(10)
        begun = together.begin(2)
        last = pool.submit(together.run, 3)
        assert until(lambda: len(together._waiting) == 2, within=10)
        trips.may_end.set()
        assert (first.result(10), last.result(10)) == (1, 9)
        assert together.finish(begun) == 4


class Overtaken:
    """A lock whose holder, having let go of it, does nothing before it was told to go."""

    def __init__(self, errand: Errand[int, int]) -> None:
        self._lock, self._errand = threading.Lock(), errand

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if threading.current_thread().name.startswith("late"):
            assert until(lambda: self._errand.leads, within=10)


def test_who_is_told_to_go_before_they_begin_to_wait_is_told_once() -> None:
    trips = Trips()
    together = Together(trips, at_most=100)
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1, thread_name_prefix="late") as late:
        first = pool.submit(together.run, 1)
        assert trips.on_the_way.wait(10)
        errand = together.begin(2)
        together._lock = Overtaken(errand)  # type: ignore[assignment]
        second = late.submit(together.finish, errand)
        assert until(lambda: errand.awaited, within=10)
        trips.may_end.set()
        assert (first.result(10), second.result(10)) == (1, 4)
