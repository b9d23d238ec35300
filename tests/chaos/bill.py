"""The provider's bill beside the ledger, call by call."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.fakes.gemini import Record

Figures = tuple[int, int]
NOTHING = (0, 0)


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the provider charges it. `struck`: a worker was killed before the call's job went on."""

    record: Record
    struck: bool = False

    @property
    def charged(self) -> Figures:
        return self.record.usage or NOTHING

    def was_told(self, figures: Figures) -> bool:
        """That was the bill at some time."""
        return any(told == figures for _, told in self.record.told)


@dataclass(frozen=True, slots=True)
class Gap:
    """A call that was charged in full and is on record in part, or not at all. Tokens of prompt and output."""

    text: str
    charged: Figures
    recorded: Figures

    @property
    def tokens(self) -> int:
        """What is missing in the ledger."""
        return sum(self.charged) - sum(self.recorded)

    def __str__(self) -> str:
        return (
            f"gone with its worker: {self.text!r}: {sum(self.charged)} tokens charged, {sum(self.recorded)} on record"
        )


@dataclass(slots=True)
class Account:
    """The calls made for one job: as the provider charges them, and as they are on record.

    `died`: how many of its attempts ended with their worker. Only these may leave a gap.
    """

    charged: list[Call] = field(default_factory=list)
    recorded: list[Figures] = field(default_factory=list)
    died: int = 0

    def gaps(self) -> Sequence[Gap]:
        """The calls that are not on record as they were charged. Raises `Wrong` where that has no excuse."""
        short, left = self._unequal()
        found, unexcused = list[Gap](), list[Gap]()
        for call in short:
            part = max((figures for figures in left if call.was_told(figures)), default=NOTHING)
            if part in left:
                left.remove(part)
            gap = Gap(call.record.text, call.charged, part)
            excused = call.struck and len(found) < self.died
            (found if excused else unexcused).append(gap)
        if left or unexcused:
            raise Wrong(f"{self.died} attempts died; not on record: {unexcused}; only on record: {left}")
        return found

    def _unequal(self) -> tuple[list[Call], list[Figures]]:
        """What is left of both sides without the calls that are on record exactly as they were charged.

        Of calls that cost the same, the one that has an excuse is the one that is missing.
        """
        left, short = list(self.recorded), list[Call]()
        for call in sorted(self.charged, key=lambda call: (call.struck, call.charged)):
            if call.charged in left:
                left.remove(call.charged)
            else:
                short.append(call)
        return short, left


class Wrong(Exception):
    """A figure was lost, doubled or invented."""


def gaps(accounts: Iterable[Account]) -> Iterator[Gap | Wrong]:
    """Every call that is not on record as it was charged, and what has no excuse."""
    for account in accounts:
        try:
            yield from account.gaps()
        except Wrong as wrong:
            yield wrong
