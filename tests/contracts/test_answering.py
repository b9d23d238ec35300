"""Replies that do not go as planned: the model breaks, or is stopped; on memory and on PostgreSQL."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest
from tests.contracts.chat_worlds import LIMITS, NOW, ChatWorld, memory_world, postgres_world
from tests.contracts.test_chat import DONE, LEASE, claim, send, used

from adapters.memory.queue import MemoryQueue
from adapters.memory.store import SystemClock
from gemini_core.errors import NotFound
from gemini_core.model.chat import ReplyError, Sent, Status, Usage
from gemini_core.model.ids import JobId, MessageId
from gemini_core.model.jobs import Backoff, Lease
from gemini_core.model.replies import FeedEvent, ModelFailure, Piece, Prompt, Timeouts
from gemini_core.use_cases.jobs import HeldLeases, RunJob, Stop
from gemini_core.use_cases.replies.answering import AnswerMessage

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
    keep = RunJob(world.jobs, queue, HeldLeases(world.jobs), {"reply": answering}, clock, at_once)
    for _ in range(TRIES):
        assert keep(JobId(sent.reply.id))
    reply = world.messages.show(author, room.id, sent.reply.id)
    assert (reply.status, reply.content, model.asked) == (Status.FAILED, "", TRIES)
    assert reply.error is not None
    assert (reply.error.code, reply.error.retryable) == ("internal", True)
    assert world.usage.of_day(author, clock.now().date(), now=clock.now()).used == 1
    with pytest.raises(NotFound):
        world.jobs.show(JobId(sent.reply.id))
    nudged = [queue.nudged.get_nowait() for _ in range(TRIES)]
    assert nudged == [*[sent.reply.id] * (TRIES - 1), following.reply.id]


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


def claimed(world: ChatWorld, sent: Sent) -> Lease:
    """By a worker that begins now: it has all the time to try."""
    lease = world.jobs.claim(JobId(sent.reply.id), lease_for=LEASE, now=SystemClock().now())
    assert lease is not None
    return lease


@dataclass
class Overloaded:
    """A model that has said something when it fails, and for a minute; `meanwhile` something happens."""

    meanwhile: Callable[[], object]
    said: str = "Half of an "

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        yield Piece(self.said)
        self.meanwhile()
        raise ModelFailure(ReplyError("overloaded", "Too busy.", retryable=True), retry_after=60, usage=Usage(7, 3))


class Interrupted(Overloaded):
    """A model that ends when it is told to stop."""

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        yield Piece(self.said, Usage(7, 3))
        self.meanwhile()


@pytest.mark.parametrize("kind", [Overloaded, Interrupted])
@pytest.mark.parametrize(("said", "units"), [("Half of an ", 2), ("", 1)])
def test_a_reply_that_is_cancelled_in_the_instant_in_which_its_try_ends_keeps_what_was_said(
    world: ChatWorld, said: str, units: int, kind: type[Overloaded]
) -> None:
    author, stop = world.user(), Stop()
    room = world.room(author)
    sent, following = send(world, author, room.id), send(world, author, room.id)

    def meanwhile() -> None:
        world.messages.cancel(author, room.id, sent.reply.id, now=NOW)
        if kind is Interrupted:
            stop.set(hand_back=True)

    nudged = world.answering(kind(meanwhile, said)).work(claimed(world, sent), stop)
    assert nudged == [JobId(following.reply.id)]
    reply = world.messages.show(author, room.id, sent.reply.id)
    assert (reply.status, reply.content, reply.usage) == (Status.CANCELLED, said, Usage(7, 3))
    assert used(world, author) == units


@pytest.mark.parametrize(("said", "units"), [("Half of an ", 1), ("", 0)])
def test_a_model_that_fails_when_nobody_wants_its_reply_any_more_is_not_asked_again(
    world: ChatWorld, said: str, units: int
) -> None:
    author, stop = world.user(), Stop()
    room = world.room(author)
    sent = send(world, author, room.id)
    assert not world.answering(Overloaded(stop.set, said)).work(claimed(world, sent), stop)
    reply = world.messages.show(author, room.id, sent.reply.id)
    assert (reply.status, reply.content, reply.usage) == (Status.CANCELLED, said, Usage(7, 3))
    assert used(world, author) == units


class BreaksOff:
    """A model that ends in the middle of a sentence, and does not say why."""

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        yield Piece("Half of an ", Usage(7, 3))


def test_a_model_that_ends_unasked_and_without_a_reason_has_failed_and_is_asked_again(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    world.answering(BreaksOff()).work(claimed(world, sent), Stop())
    job = world.jobs.show(JobId(sent.reply.id))
    assert (job.failures, job.error) == (1, "unreachable")
    assert world.messages.show(author, room.id, sent.reply.id).status is Status.GENERATING


def log_of(answering: AnswerMessage, reply: MessageId) -> Sequence[FeedEvent]:
    return next(iter(answering.feed.follow(reply, patience=0)))


def test_whoever_follows_a_reply_is_told_when_its_room_is_gone_and_nothing_said_stays(world: ChatWorld) -> None:
    author, stop = world.user(), Stop()
    room = world.room(author)
    sent = send(world, author, room.id)

    def deleted() -> None:
        world.rooms.delete(author, room.id)
        stop.set()

    answering = world.answering(Overloaded(deleted))
    assert answering.work(claimed(world, sent), stop) == ()
    assert [event.end for event in log_of(answering, sent.reply.id)] == [True]


def test_replies_are_known_that_are_made_or_were_lately(world: ChatWorld) -> None:
    author, other = world.user("pro"), world.user("pro")
    room, another = world.room(author), world.room(author)
    sent = [send(world, author, where.id) for where in (room, another)]
    send(world, other, world.room(other).id)
    world.replies.finish(claim(world, sent[0]), DONE, now=NOW)
    found = partial(world.replies.not_final_before, author)
    assert set(found(NOW - timedelta(minutes=1))) == {each.reply.id for each in sent}
    assert found(NOW) == [sent[1].reply.id]


def test_whoever_follows_a_reply_that_another_worker_took_over_goes_on_following(world: ChatWorld) -> None:
    author, stop = world.user(), Stop()
    room = world.room(author)
    sent = send(world, author, room.id)

    def taken_over() -> None:
        claimed(world, sent)
        stop.set()

    answering = world.answering(Overloaded(taken_over))
    assert answering.work(claim(world, sent, timedelta(0)), stop) == ()
    assert [event.end for event in log_of(answering, sent.reply.id)] == [False]
