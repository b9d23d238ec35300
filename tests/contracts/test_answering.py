"""Replies that do not go as planned: the model breaks, or is stopped; on memory and on PostgreSQL."""

from collections.abc import Callable, Iterator

import pytest
from tests.contracts.chat_worlds import LIMITS, ChatWorld, memory_world, postgres_world
from tests.contracts.test_chat import claim, send

from adapters.memory.queue import MemoryQueue
from adapters.memory.store import SystemClock
from gemini_core.errors import NotFound
from gemini_core.model.chat import Status, Usage
from gemini_core.model.ids import JobId
from gemini_core.model.jobs import Backoff
from gemini_core.model.replies import Piece, Prompt, Timeouts
from gemini_core.use_cases.jobs import HeldLeases, KeepPromise, Stop

TRIES = 3


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> ChatWorld:
    return memory_world() if request.param == "memory" else postgres_world(request.getfixturevalue("engine"))


class Stumbles:
    """A model with a bug: it says something, and then raises what no model may raise."""

    def __init__(self) -> None:
        self.asked = 0

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        self.asked += 1
        yield Piece("Half of an ")
        raise KeyError(prompt.turns[-1].text)


def test_a_poisonous_message_fails_after_its_tries_gives_its_unit_back_and_lets_the_next_one_through(
    world: ChatWorld,
) -> None:
    author, model, clock = world.user(), Stumbles(), SystemClock()
    room, answering = world.room(author), world.answering(model)
    sent, following = (
        world.messages.send(author, room.id, text, limits=LIMITS, now=clock.now()) for text in ("poison", "tea")
    )
    queue, at_once = MemoryQueue(), Backoff(attempts=TRIES, first=0.0)
    keep = KeepPromise(world.jobs, queue, HeldLeases(world.jobs), {"reply": answering}, clock, at_once)
    for _ in range(TRIES):
        assert keep(JobId(sent.reply.id))
    reply = world.messages.show(author, room.id, sent.reply.id)
    assert (reply.status, reply.content, model.asked) == (Status.FAILED, "", TRIES)
    assert reply.error is not None
    assert (reply.error.code, reply.error.retryable) == ("internal", True)
    assert world.usage.of_day(author, clock.now().date(), now=clock.now()).used == 1
    with pytest.raises(NotFound):
        world.jobs.show(JobId(sent.reply.id))
    assert queue.nudged.get_nowait() == following.reply.id


class Charges:
    """A model that is stopped while its first word is on its way, and then tells what it has charged for."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        self._stop.set()
        yield Piece("Half of an ", Usage(7, 3))
        yield Piece(usage=Usage(7, 9))


def test_a_stopped_reply_keeps_what_was_said_and_costs_what_was_charged(world: ChatWorld) -> None:
    author, stop = world.user(), Stop()
    room = world.room(author)
    sent = send(world, author, room.id)
    world.answering(Charges(stop)).work(claim(world, sent), stop)
    reply = world.messages.show(author, room.id, sent.reply.id)
    assert (reply.status, reply.content, reply.usage) == (Status.CANCELLED, "Half of an ", Usage(7, 9))
    today = SystemClock().now().date()
    assert world.usage.tokens(author, today=today, since=today).today == Usage(7, 9)
