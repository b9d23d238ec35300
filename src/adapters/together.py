"""What many threads want at once, in few round trips."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

Wish = TypeVar("Wish")
Outcome = TypeVar("Outcome")


class Together(Generic[Wish, Outcome]):
    """Whoever finds nobody on the way goes, with everything that others want by then.

    A thread that is alone pays for its own round trip, as ever. In a crowd, where every read and write of a socket
    makes threads change places, one of them goes for all.

    `go`: one round trip. It answers an outcome for each wish, in their order; an exception among the outcomes is raised
    for its wish alone, and one that `go` raises is raised for all of them.
    `at_most`: as many wishes go together.
    """

    def __init__(self, go: Callable[[Sequence[Wish]], Sequence[Outcome | Exception]], *, at_most: int) -> None:
        self._go_for = go
        self._at_most = at_most
        self._lock = Lock()
        self._waiting: list[Errand[Wish, Outcome]] = []
        self._somebody_goes = False

    def run(self, wish: Wish) -> Outcome:
        """What came of it. Raises what `go` raises."""
        return self.finish(self.begin(wish))

    def begin(self, wish: Wish) -> "Errand[Wish, Outcome]":
        """Whoever goes next takes it along; nobody goes for it alone before it is finished."""
        errand: Errand[Wish, Outcome] = Errand(wish)
        with self._lock:
            self._waiting.append(errand)
        return errand

    def finish(self, errand: "Errand[Wish, Outcome]") -> Outcome:
        """What came of it. Raises what `go` raises."""
        with self._lock:
            errand.awaited = True
            leads = not (self._somebody_goes or errand.taken)
            self._somebody_goes |= leads
        if not leads:
            # Also whoever is told to go is told by `done`, and nobody else is: so it is never released twice.
            errand.done.acquire()
            leads = errand.leads
        if leads:
            self._go(errand)
        if isinstance(errand.outcome, Exception):
            # It may be raised in many threads: each begins with a trace of its own.
            raise errand.outcome.with_traceback(None)
        return errand.outcome

    def withdraw(self, errand: "Errand[Wish, Outcome]") -> bool:
        """Whether nobody had set out with it, and now nobody will."""
        with self._lock:
            if not errand.taken:
                self._waiting.remove(errand)
        return not errand.taken

    def _go(self, leader: "Errand[Wish, Outcome]") -> None:
        """One round trip for all who wait; then the first of those who came meanwhile is told to go."""
        with self._lock:
            self._waiting.remove(leader)
            others = self._at_most - 1
            errands, self._waiting = [leader, *self._waiting[:others]], self._waiting[others:]
            for errand in errands:
                errand.taken = True
        lost = RuntimeError("Whoever went came back without an outcome for each.")
        outcomes: Sequence[Outcome | Exception] = [lost] * len(errands)
        try:
            answered = self._go_for([errand.wish for errand in errands])
            if len(answered) == len(errands):
                outcomes = answered
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome for all of them
            outcomes = [error] * len(errands)
        finally:
            self._hand_out(errands, outcomes)

    def _hand_out(self, errands: Sequence["Errand[Wish, Outcome]"], outcomes: Sequence[Outcome | Exception]) -> None:
        with self._lock:
            following = next((errand for errand in self._waiting if errand.awaited), None)
            self._somebody_goes = following is not None
        for errand, outcome in zip(errands, outcomes, strict=True):
            errand.outcome = outcome
            errand.done.release()
        if following is not None:
            following.leads = True
            following.done.release()


class Errand(Generic[Wish, Outcome]):
    """What a thread wants, and what came of it.

    `taken`: somebody set out with it. `awaited`: the thread waits for it. `leads`: it is told to go.
    """

    __slots__ = ("awaited", "done", "leads", "outcome", "taken", "wish")

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.outcome: Outcome | Exception
        self.awaited = self.leads = self.taken = False
        self.done = Lock()
        self.done.acquire()
