"""A message that breaks whoever works on it ends as a failed reply; on memory and on PostgreSQL."""

from collections.abc import Callable, Iterator

import pytest
from tests.contracts.chat_worlds import LIMITS, ChatWorld, memory_world, postgres_world

from adapters.memory.attachments import MemoryAttachments
from adapters.memory.queue import MemoryQueue
from adapters.memory.replies import MemoryFeed
from adapters.memory.store import SystemClock
from gemini_core.errors import NotFound
from gemini_core.model.billing.plans import Plans
from gemini_core.model.chat import Status
from gemini_core.model.ids import JobId
from gemini_core.model.jobs import Backoff
from gemini_core.model.replies import Piece, Prompt, Timeouts
from gemini_core.use_cases.chat.attachments import Attachments
from gemini_core.use_cases.jobs import HeldLeases, KeepPromise
from gemini_core.use_cases.replies.answering import AnswerMessage
from gemini_core.use_cases.replies.metering import MeteredModel

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
    room, plans = world.room(author), Plans()
    sent, following = (
        world.messages.send(author, room.id, text, limits=LIMITS, now=clock.now()) for text in ("poison", "tea")
    )
    answering = AnswerMessage(
        world.replies,
        world.jobs,
        MeteredModel(model, world.usage, clock),
        MemoryFeed(),
        plans,
        Attachments(MemoryAttachments(), world.usage, plans),
        clock,
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
