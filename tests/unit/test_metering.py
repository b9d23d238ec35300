"""Whatever the provider reports of a call is on record, however the call ends."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Event, Timer

import pytest

from adapters.memory.chat.tables import MemoryChat
from adapters.memory.chat.usage import MemoryUsage
from adapters.memory.jobs import MemoryJobs
from adapters.memory.model import ScriptedModel
from adapters.memory.store import MemoryStore, SystemClock
from gemini_core.errors import Unavailable
from gemini_core.model.chat import ReplyError, Role, Usage
from gemini_core.model.ids import JobId, UserId, uuid7
from gemini_core.model.jobs import Lease
from gemini_core.model.replies import ModelCall, ModelFailure, Piece, Prompt, Timeouts, Turn
from gemini_core.use_cases.jobs import Stop
from gemini_core.use_cases.replies.metering import MeteredModel

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ANN = UserId(uuid7(NOON))
PROMPT = Prompt("gemini-test", "", (Turn(Role.USER, "hello"),))
BUSY = ModelFailure(ReplyError("overloaded", "Too busy.", retryable=True))
LEASE = Lease(
    id=JobId(uuid7(NOON)), kind="reply", args={}, lane=None, token=uuid7(NOON), attempt=1, failures=0, trying_since=NOON
)


@dataclass(frozen=True)
class Ledger(MemoryUsage):
    """May be away. Everybody is known to it."""

    chat: MemoryChat = field(default_factory=lambda: memory(MemoryStore()))
    away: Event = field(default_factory=Event)

    def record(self, calls: Iterable[ModelCall]) -> None:
        if self.away.is_set():
            raise Unavailable("away")
        MemoryUsage.record(self, calls)

    @property
    def told(self) -> list[tuple[str, Usage]]:
        return [(call.model, call.usage) for call in self.chat.calls.values()]


def memory(store: MemoryStore) -> MemoryChat:
    return MemoryChat(store, MemoryJobs(store), lambda user, now: "basic")


def metered(ledger: Ledger, *pieces: Piece | ModelFailure) -> MeteredModel:
    return MeteredModel(ScriptedModel([pieces]), ledger, SystemClock())


def listen(model: MeteredModel, stop: Stop | None = None) -> Iterator[Piece]:
    return model.stream(PROMPT, LEASE, ANN, timeouts=Timeouts(), stop=stop or Stop())


def test_a_call_that_is_complete_is_on_record_with_its_last_figures_and_who_answered() -> None:
    ledger = Ledger()
    pieces = [Piece("Tea", Usage(5, 1)), Piece(".", Usage(5, 2), "stop", model="gemini-test-001")]
    assert list(listen(metered(ledger, *pieces))) == pieces
    (call,) = ledger.chat.calls.values()
    assert (call.id, call.job, call.user) == (LEASE.token, LEASE.id, ANN)
    assert ledger.told == [("gemini-test-001", Usage(5, 2))]


@pytest.mark.parametrize("usage", [None, Usage(5, 9)], ids=["said before", "said with the failure"])
def test_a_call_that_fails_is_on_record(usage: Usage | None) -> None:
    ledger = Ledger()
    failure = ModelFailure(BUSY.error, usage=usage)
    with pytest.raises(ModelFailure):
        list(listen(metered(ledger, Piece("Tea", Usage(5, 1)), failure)))
    assert ledger.told == [("gemini-test", usage or Usage(5, 1))]


def test_a_call_that_is_left_before_its_end_is_on_record() -> None:
    ledger = Ledger()
    pieces = listen(metered(ledger, *(Piece("Tea ", Usage(5, count)) for count in (1, 2, 3))))
    next(pieces)
    next(pieces)
    del pieces
    assert ledger.told == [("gemini-test", Usage(5, 2))]


def test_a_piece_is_passed_on_when_its_first_figure_is_on_record() -> None:
    ledger = Ledger()
    pieces = listen(metered(ledger, Piece("Tea"), *(Piece("Tea ", Usage(5, count)) for count in (1, 2))))
    for told in ([], [("gemini-test", Usage(5, 1))], [("gemini-test", Usage(5, 1))]):
        next(pieces)
        assert ledger.told == told


@dataclass(frozen=True)
class Picky(Ledger):
    """It cannot keep every name."""

    def record(self, calls: Iterable[ModelCall]) -> None:
        if not self.away.is_set() and any("\0" in call.model for call in calls):
            raise ValueError("not a name")
        Ledger.record(self, calls)


def test_what_a_ledger_refuses_for_good_costs_nobody_else_their_record_and_is_not_told_again() -> None:
    ledger = Picky()
    model = metered(ledger, Piece("Tea", Usage(5, 1)), Piece(".", Usage(5, 2), "stop", model="gemini\0"))
    assert [piece.text for piece in listen(model)] == ["Tea", "."]
    assert ledger.told == [("gemini-test", Usage(5, 1))]
    ledger.away.set()
    model.record()


def test_figures_told_together_are_on_record_but_for_those_that_are_refused() -> None:
    ledger = Picky()
    ledger.away.set()
    said = [[Piece("Tea", Usage(5, 1), model=name), Piece(".", Usage(5, 2), "stop")] for name in ("a", "\0", "b")]
    model = MeteredModel(ScriptedModel(said), ledger, SystemClock())
    leases = [replace(LEASE, token=uuid7(NOON)) for _ in said]
    calls = [model.stream(PROMPT, lease, ANN, timeouts=Timeouts(), stop=Stop()) for lease in leases]
    for call in calls:
        next(call)
    ledger.away.clear()
    model.record()
    assert sorted(ledger.told) == [("a", Usage(5, 1)), ("b", Usage(5, 1))]


def test_words_do_not_wait_for_a_ledger_that_is_away() -> None:
    ledger = Ledger()
    ledger.away.set()
    pieces = listen(metered(ledger, Piece("Tea", Usage(5, 1)), Piece(".", Usage(5, 2), "stop")))
    assert [next(pieces).text, next(pieces).text] == ["Tea", "."]
    ledger.away.clear()
    assert list(pieces) == []
    assert ledger.told == [("gemini-test", Usage(5, 2))]


def test_a_call_that_goes_on_is_on_record_as_far_as_it_was_reported() -> None:
    ledger = Ledger()
    model = metered(ledger, *(Piece("Tea ", Usage(5, count)) for count in (1, 2, 3)))
    pieces = listen(model)
    for count in (1, 2):
        next(pieces)
        model.record()
        assert ledger.told == [("gemini-test", Usage(5, count))]


def test_a_call_is_over_when_it_is_on_record() -> None:
    ledger = Ledger()
    ledger.away.set()
    Timer(0.2, ledger.away.clear).start()
    list(listen(metered(ledger, Piece("Tea.", Usage(5, 1), "stop"))))
    assert ledger.told == [("gemini-test", Usage(5, 1))]


def test_what_cannot_be_recorded_when_a_call_is_stopped_is_recorded_later() -> None:
    ledger, stop = Ledger(), Stop()
    ledger.away.set()
    model = metered(ledger, Piece("Tea", Usage(5, 1)), Piece(".", Usage(5, 2), "stop"))
    pieces = listen(model, stop)
    next(pieces)
    stop.set()
    assert list(pieces) == []
    with pytest.raises(Unavailable):
        model.record()
    ledger.away.clear()
    model.record()
    assert ledger.told == [("gemini-test", Usage(5, 1))]


def test_a_call_of_which_nothing_was_reported_is_not_on_record() -> None:
    ledger = Ledger()
    with pytest.raises(ModelFailure):
        list(listen(metered(ledger, Piece("Tea"), BUSY)))
    assert ledger.told == []
