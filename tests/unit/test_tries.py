"""Tries at a reply: what time each has, and when there is none left for another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from tests.contracts.chat_worlds import LIMITS, ChatWorld, memory_world

from adapters.memory.store import SystemClock
from gemini_core.model.ids import JobId
from gemini_core.model.jobs import LEAST, Backoff, Lease
from gemini_core.model.replies import Piece, Prompt, Timeouts
from gemini_core.use_cases.jobs import Stop

ALL = Timeouts()


@dataclass
class Punctual:
    """A model that notes what time it is given."""

    given: list[Timeouts] = field(default_factory=list)

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        self.given.append(timeouts)
        yield Piece("Tea.", finish_reason="stop")


@dataclass
class Job:
    """A reply that workers try to make."""

    world: ChatWorld = field(default_factory=memory_world)

    def __post_init__(self) -> None:
        author = self.world.user()
        room = self.world.room(author)
        now = SystemClock().now()
        self.id = JobId(self.world.messages.send(author, room.id, "tea?", limits=LIMITS, now=now).reply.id)

    def claimed(self, *, ago: float = 0) -> Lease:
        """By a worker that is dead by now, if nothing more is heard of it."""
        now = SystemClock().now() - timedelta(seconds=ago)
        lease = self.world.jobs.claim(self.id, lease_for=timedelta(0), now=now)
        assert lease is not None
        return lease

    def given(self) -> Timeouts:
        """What time the next try has."""
        model = Punctual()
        self.world.answering(model).work(self.claimed(), Stop())
        return model.given[0]


@pytest.mark.parametrize("spent", [10, 125, 140])
def test_after_a_failure_a_try_has_what_is_left_and_no_more(spent: int) -> None:
    job = Job()
    job.world.jobs.put_back(job.claimed(ago=spent), after=timedelta(0), failed=True)
    given = job.given()
    assert ALL.total - spent - 2 < given.total <= ALL.total - spent
    assert (given.first, given.between) == (ALL.first, ALL.between)


def test_a_try_that_is_begun_too_late_is_a_short_one() -> None:
    job = Job()
    job.world.jobs.put_back(job.claimed(ago=1000), after=timedelta(0), failed=True)
    assert job.given().total == LEAST


@pytest.mark.parametrize("handed_back", [False, True])
def test_what_nobody_has_failed_at_has_all_the_time_whoever_had_it_before(handed_back: bool) -> None:
    job = Job()
    lease = job.claimed(ago=1000)
    if handed_back:
        job.world.jobs.put_back(lease, after=timedelta(0), failed=False)
    assert job.given() == ALL


def test_no_try_is_begun_for_which_hardly_anything_is_left() -> None:
    backoff = Backoff(total=150, first=1.0)
    assert backoff.pause(1, 148.6) is None
    assert backoff.pause(1, 100, asked=49.5) is None
    pause = backoff.pause(1, 147.9)
    assert pause is not None
    assert 0.5 <= pause <= 1.0
