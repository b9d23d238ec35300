"""The provider's bill beside the ledger, call by call."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.fakes.gemini import Record

Figures = tuple[int, int]


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
        return f"{self.text!r}: {sum(self.charged)} tokens charged, {sum(self.recorded)} on record"


@dataclass(slots=True)
class Account:
    """The calls made for one job: as the provider charges them, and as they are on record.

    `died`: how many of its attempts ended with their worker. Only these may leave a gap; and a call that its worker
    hung up on may have been charged for a last piece that nobody read.
    """

    charged: list[Record] = field(default_factory=list)
    recorded: list[Figures] = field(default_factory=list)
    died: int = 0

    def gaps(self) -> Iterable[Gap]:
        """The calls that are not on record as they were charged. Raises `Wrong` where that has no excuse."""
        short, left = self._unequal()
        found, unexcused = [], self.died
        for record in short:
            charged = record.usage or (0, 0)
            part = max((figures for figures in left if _within(figures, charged)), default=None)
            if part is not None:
                left.remove(part)
            if part is None or not record.hung_up:
                unexcused -= 1
            found.append(Gap(record.text, charged, part or (0, 0)))
        if left or unexcused < 0:
            raise Wrong(f"{self.died} attempts died; charged and not on record: {found}; only on record: {left}")
        return found

    def _unequal(self) -> tuple[list[Record], list[Figures]]:
        """What is left of both sides without the calls that are on record exactly as they were charged."""
        left, short = list(self.recorded), list[Record]()
        for record in sorted(self.charged, key=lambda record: record.usage or (0, 0)):
            if record.usage in left:
                left.remove(record.usage)
            else:
                short.append(record)
        return short, left


class Wrong(Exception):
    """A figure was lost, doubled or invented."""


def _within(part: Figures, whole: Figures) -> bool:
    return part[0] <= whole[0] and part[1] <= whole[1]


def gaps(accounts: Iterable[Account]) -> Iterator[Gap | Wrong]:
    """Every call that is not on record as it was charged, and what has no excuse."""
    for account in accounts:
        try:
            yield from account.gaps()
        except Wrong as wrong:
            yield wrong
