"""What is told of a fact, to whom, and what happens while nobody hears it."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Signal
from threading import Semaphore

import pytest
from standardwebhooks import Webhook
from tests.fakes.clock import StandingClock

from adapters.memory.embedded import THREADS, chat
from adapters.memory.jobs import MemoryJobs
from adapters.memory.queue import MemoryQueue
from adapters.memory.store import MemoryStore
from gemini_core.core.events import LONGEST_REST, EventPorts, audience, listeners
from gemini_core.errors import LimitReached
from gemini_core.model.billing.plans import Plan, Plans
from gemini_core.model.chat import ReplyError
from gemini_core.model.events import NOBODY, Audience, Event, EventKind, account_deleted, job_kind
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId, uuid7
from gemini_core.model.jobs import JobRecord, JobState
from gemini_core.model.replies import ModelFailure, Piece, Prompt, Timeouts
from gemini_core.ports.events import NotHeard
from gemini_core.use_cases.events import PATIENCE, Hook, TellEvent
from gemini_core.use_cases.jobs import Bulkhead, HeldLeases, RunJob

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ANN = UserId(uuid7(NOON))
EVENT = account_deleted(ANN, NOON)


@dataclass
class Listener:
    """`EventSink` that raises what it is told to, one by one, and then hears everything."""

    failures: list[Exception] = field(default_factory=list)
    heard: list[Event] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        self.heard.append(event)
        if self.failures:
            raise self.failures.pop(0)


class Telling:
    """A worker, and one promise to tell."""

    def __init__(self, *failures: Exception, seats: int = 1) -> None:
        self.clock, self.listener, self.seats = StandingClock(NOON), Listener(list(failures)), Semaphore(seats)
        self.jobs = MemoryJobs(MemoryStore(self.clock))
        tell = Bulkhead(self.jobs, TellEvent(self.jobs, self.listener, self.clock), self.seats, LONGEST_REST)
        handlers = {job_kind("webhook"): tell}
        self.keep = RunJob(self.jobs, MemoryQueue(), HeldLeases(self.jobs), handlers, self.clock)
        (self.promise,) = Audience(("webhook",)).promises(EVENT, "r-1")
        self.jobs.add(self.promise)

    @property
    def job(self) -> JobRecord:
        return self.jobs.show(self.promise.id)

    def try_it(self) -> float:
        """Seconds until the next try."""
        assert self.keep(self.promise.id)
        return (self.job.due_at - self.clock.now()).total_seconds()


def test_where_nobody_listens_nothing_is_promised() -> None:
    assert audience(listeners(EventPorts(), None)) == NOBODY
    assert NOBODY.promises(EVENT) == ()


def test_each_listener_has_a_promise_of_their_own_about_the_same_event() -> None:
    both = audience(listeners(EventPorts(webhook=Listener()), lambda event: None))
    first, second = both.promises(EVENT, "r-1")
    assert (first.kind, second.kind) == ("event.webhook", "event.hook")
    assert first.id != second.id
    assert first.args == second.args
    assert (first.args["id"], first.request_id) == (str(EVENT.id), "r-1")


def test_what_was_promised_is_what_is_told() -> None:
    telling = Telling()
    assert telling.keep(telling.promise.id)
    assert telling.listener.heard == [EVENT]
    assert telling.jobs.jobs == {}


def test_an_event_that_was_not_heard_is_told_again_after_a_longer_rest_each_time() -> None:
    telling = Telling(*[NotHeard("answered 500")] * 3)
    for longest in (1.0, 2.0, 4.0):
        assert longest / 2 <= telling.try_it() <= longest
        telling.clock.at = telling.job.due_at
    assert telling.keep(telling.promise.id)
    assert telling.listener.heard == [EVENT] * 4
    assert telling.jobs.jobs == {}


def test_a_listener_is_waited_for_longer_than_a_night_and_then_the_operator_is_told() -> None:
    telling, began = Telling(*[NotHeard("ConnectError")] * 99), NOON
    while telling.job.state is JobState.OPEN:
        telling.try_it()
        telling.clock.at = telling.job.due_at
    assert timedelta(hours=18) < telling.clock.now() - began < timedelta(days=3)
    assert (len(telling.listener.heard), telling.job.error) == (PATIENCE.attempts, "ConnectError")
    assert telling.jobs.revive(telling.promise.id)
    assert telling.try_it() > 0


@pytest.mark.parametrize(("asked", "rest"), [(90.0, 90.0), (10.0**9, PATIENCE.most)])
def test_a_listener_is_given_the_time_they_ask_for_within_reason(asked: float, rest: float) -> None:
    assert Telling(NotHeard("answered 429", retry_after=asked)).try_it() == rest


def test_who_wants_no_more_of_it_is_not_told_again() -> None:
    telling = Telling(NotHeard("answered 410", for_good=True))
    assert telling.keep(telling.promise.id)
    assert (telling.job.state, telling.job.error) == (JobState.DEAD, "answered 410")


def test_a_listener_who_keeps_all_their_seats_busy_costs_nobody_a_thread_and_is_no_failure() -> None:
    telling = Telling(seats=0)
    for attempt in range(1, 4):
        assert 2**attempt / 2 <= telling.try_it() <= 2**attempt
        telling.clock.at = telling.job.due_at
    assert (telling.listener.heard, telling.job.failures, telling.job.state) == ([], 0, JobState.OPEN)
    telling.seats.release()
    assert telling.keep(telling.promise.id)
    assert telling.listener.heard == [EVENT]


def test_whoever_has_come_in_vain_thousands_of_times_comes_again() -> None:
    telling = Telling(seats=0)
    job = telling.jobs.jobs[telling.promise.id]
    job.record, job.put_back = replace(job.record, attempt=100_000), 100_000
    assert LONGEST_REST / 2 <= telling.try_it() <= LONGEST_REST
    assert telling.job.failures == 0


@pytest.mark.parametrize("failures", [[], [NotHeard("no")], [RuntimeError("a bug")]])
def test_a_seat_is_free_again_whatever_happened(failures: list[Exception]) -> None:
    telling = Telling(*failures)
    assert telling.keep(telling.promise.id)
    assert telling.seats.acquire(blocking=False)


def test_what_a_hook_raises_is_its_own_affair() -> None:
    def broken(event: Event) -> None:
        raise ZeroDivisionError

    with pytest.raises(NotHeard, match="ZeroDivisionError"):
        Hook(broken).tell(EVENT)


# --- embedded: the product as a program of somebody's own has it ------------------------------------------------------


@dataclass
class Parrot:
    """A language model that says what it hears, unless it is told not to."""

    failure: ModelFailure | None = None

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        if self.failure is not None:
            raise self.failure
        yield Piece(prompt.turns[-1].text)
        yield Piece(finish_reason="stop")


SECRET_WORDS = "the treasure is under the oak"
BLOCKED = ModelFailure(ReplyError("blocked", "Not this.", retryable=False))


@dataclass
class Program:
    """Listens with a hook that fails as often as it is told to, and takes its time if it is told to."""

    llm: Parrot = field(default_factory=Parrot)
    failures: int = 0
    daily_messages: int = 2
    rest: Callable[[], object] = lambda: None
    heard: "SimpleQueue[Event]" = field(default_factory=SimpleQueue)

    def __post_init__(self) -> None:
        small = Plans(
            replace(Plans().named("basic"), daily_messages=self.daily_messages), Plan(name="pro", daily_messages=9)
        )
        self.chat = chat(self.llm, plans=small, on_event=self.hear)

    def hear(self, event: Event) -> None:
        self.heard.put(event)
        self.rest()
        if self.failures:
            self.failures -= 1
            raise RuntimeError

    def send(self) -> Sequence[JobId]:
        room, _ = self.chat.create_room(ANN, title="Tea")
        sent = self.chat.send_message(ANN, room.id, SECRET_WORDS)
        return [JobId(room.id), JobId(sent.reply.id)]


def test_a_program_hears_what_became_of_a_reply_without_a_word_of_it() -> None:
    program = Program()
    room, reply = program.send()
    event = program.heard.get(timeout=10)
    assert (event.kind, event.user_id) == (EventKind.MESSAGE_COMPLETED, ANN)
    assert event.data == {
        "chatroom_id": str(room),
        "message_id": str(reply),
        "model": "model",
        "finish_reason": "stop",
        "usage": None,
    }
    assert SECRET_WORDS not in str(event)


def test_a_program_hears_why_a_reply_failed() -> None:
    program = Program(Parrot(BLOCKED))
    _, reply = program.send()
    event = program.heard.get(timeout=10)
    assert (event.kind, event.data["message_id"]) == (EventKind.MESSAGE_FAILED, str(reply))
    assert event.data["error"] == {"code": "blocked", "retryable": False}


def test_a_program_whose_hook_raises_hears_it_again_under_the_same_id_and_nothing_else_suffers() -> None:
    program = Program(failures=1)
    program.send()
    first = program.heard.get(timeout=10)
    assert program.heard.get(timeout=10) == first


def test_a_program_whose_hook_takes_its_time_gets_its_replies_all_the_same() -> None:
    done = Signal()
    program = Program(daily_messages=9, rest=lambda: done.wait(20))
    for _ in range(2 * THREADS):
        room, reply = program.send()
        told = program.chat.follow_reply(ANN, ChatroomId(room), MessageId(reply), patience=5)
        assert list(told).count(None) <= 1  # before it began
    done.set()


def test_a_program_hears_once_a_day_that_a_limit_is_reached() -> None:
    program = Program()
    program.send()
    program.send()
    for _ in range(3):
        with pytest.raises(LimitReached):
            program.send()
    told = [program.heard.get(timeout=10) for _ in range(3)]
    (reached,) = (event for event in told if event.kind is EventKind.LIMIT_REACHED)
    assert (reached.user_id, reached.data["limit"]) == (ANN, 2)
    assert str(reached.data["resets_at"]).endswith("T00:00:00.000Z")


# --- what the page about events shows ---------------------------------------------------------------------------------


def test_the_example_on_the_page_is_signed_as_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs/events.md").read_text()
    shown = dict(re.findall(r"^(webhook-\w+): (.+)$", page, re.MULTILINE))
    (body,) = re.findall(r'^\{"type".*\}$', page, re.MULTILINE)
    (secret,) = re.findall(r"`(whsec_[^`]+)`\.?\)", page)
    at = datetime.fromtimestamp(int(shown["webhook-timestamp"]), UTC)
    assert Webhook(secret).sign(shown["webhook-id"], at, body) == shown["webhook-signature"]


def test_every_kind_of_event_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs/events.md").read_text()
    assert re.findall(r"^\| `(\w+\.\w+)`", page, re.MULTILINE) == [kind.value for kind in EventKind]
