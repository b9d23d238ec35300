"""What became of every message, in numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.chaos.bill import Gap, Wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The counts; the lists say what is wrong, and must be empty.

    `gaps`: calls that died with their worker, and what of them is not in the ledger.
    `recoveries`: seconds from the kill of a worker to the end of a reply that it was making.
    """

    strikes: Counter[str]
    accepted: int
    complete: int
    failed: Counter[str]
    doubled: Sequence[str]
    lost: Sequence[str]
    stuck: Sequence[str]
    misread: Sequence[str]
    miscounted: Sequence[str]
    misbilled: Sequence[Wrong]
    gaps: Sequence[Gap]
    provider_tokens: int
    ledger_tokens: int
    calls: int
    recoveries: Sequence[float]
    seconds: float

    @property
    def kept(self) -> bool:
        """Every promise was."""
        wrongs = (self.doubled, self.lost, self.stuck, self.misread, self.miscounted, self.misbilled)
        return not any(wrongs) and self.ledger_tokens + self.gone == self.provider_tokens

    @property
    def gone(self) -> int:
        """Tokens that were charged and are not in the ledger, with an excuse."""
        return sum(gap.tokens for gap in self.gaps)

    def __str__(self) -> str:
        """A table."""
        failed = ", ".join(f"{code} {times}" for code, times in self.failed.items()) or "none"
        blows = ", ".join(f"{blow} {times}" for blow, times in sorted(self.strikes.items()))
        rows = {
            "took": f"{self.seconds:.0f} s",
            "struck": blows,
            "accepted": self.accepted,
            "complete": self.complete,
            "failed": f"{self.failed.total()} ({failed})",
            "doubled": len(self.doubled),
            "lost": len(self.lost),
            "stuck": len(self.stuck),
            "read otherwise than stored": len(self.misread),
            "users whose daily counter is wrong": len(self.miscounted),
            "replies whose tokens are wrong": len(self.misbilled),
            "calls of the model": self.calls,
            "tokens by the provider": self.provider_tokens,
            "tokens in the ledger": self.ledger_tokens,
            "tokens gone with a killed worker": f"{self.gone} (in {len(self.gaps)} calls)",
        }
        if self.recoveries:
            middle, worst = median(self.recoveries), max(self.recoveries)
            times = f"median {middle:.1f} s, worst {worst:.1f} s, of {len(self.recoveries)}"
            rows["from kill to the reply's end"] = times
        wide = max(map(len, rows))
        table = [f"| {name:<{wide}} | {value} |" for name, value in rows.items()]
        wrongs = [*self.doubled, *self.lost, *self.stuck, *self.misread, *self.miscounted, *self.misbilled]
        told = map(str, [*self.gaps, *wrongs])
        return "\n".join([f"| {'':<{wide}} | |", f"|{'-' * (wide + 2)}|---|", *table, *told])
