"""Messages sent per second, beside pgbench with the same statement and FastAPI with the same call.

All contestants take turns, round by round, on the same servers (fsync on) and the same cores. The
load generator shares the cores with whom it measures, as pgbench does. What is reported is the median of the rounds.
"ours, all cores" is the same process with its threads on all processors (`API_PROCESSORS=all`).
On a machine that others use too, rates say little; the processor time of a send, everything counted, says more.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from bench.contestants import Contestant, Pgbench, fastapi_orm, ours
from bench.cost import processor_seconds
from bench.stage import standing

CONNECTIONS = (1, 16, 64)


@dataclass(slots=True)
class Turns:
    """What a contestant did in its turns: sends per second, and microseconds of processors per send."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def add(self, each: Contestant, connections: int, seconds: float) -> None:
        sent, spent = each.sent, processor_seconds()
        self.rates.append(each.send(connections, seconds))
        self.costs.append((processor_seconds() - spent) / (each.sent - sent) * 1e6)


def main() -> None:
    asked = argparse.ArgumentParser(prog="bench/run send", description=__doc__)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--seconds", type=int, default=4, help="of each turn")
    asked.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    options = asked.parse_args()
    with standing() as stage, ExitStack() as running:
        contestants: list[Contestant] = [
            running.enter_context(ours(stage)),
            Pgbench(stage),
            running.enter_context(fastapi_orm(stage)),
            running.enter_context(ours(stage, "ours, all cores", API_PROCESSORS="all")),
        ]
        table = {count: measured(contestants, count, options.rounds, options.seconds) for count in options.connections}
        for each in contestants:
            each.account()
    names = [each.name for each in contestants]
    print(f"\nOne API process, fsync on, {os.cpu_count()} cores for everything; {options.rounds} rounds", end="")
    print(f" of {options.seconds} s: the median (the least, the most)")
    report("sends per second", names, table, lambda turns: turns.rates, inverse=False)
    report("processor µs per send, everything counted", names, table, lambda turns: turns.costs, inverse=True)


def measured(contestants: Sequence[Contestant], connections: int, rounds: int, seconds: float) -> list[Turns]:
    """What each contestant did."""
    table = [Turns() for _ in contestants]
    for number in range(rounds):
        for turns, each in zip(table, contestants, strict=True):
            turns.add(each, connections, seconds)
            print(f"  {connections:>3} connections, round {number + 1}: {each.name:<14} {turns.rates[-1]:>7,.0f}/s")
    return table


def report(
    title: str,
    names: Sequence[str],
    table: dict[int, list[Turns]],
    figures: Callable[[Turns], list[float]],
    *,
    inverse: bool,
) -> None:
    """A line per number of connections; the ratio says how many times as well as another the first one does."""
    print(f"\n{title}\n{'connections':>11}{names[0]:>24}" + "".join(f"{name:>24}{'ratio':>7}" for name in names[1:]))
    for connections, row in table.items():
        first, *others = [figures(turns) for turns in row]
        line = f"{connections:>11}{_cell(first):>24}"
        for each in others:
            ratio = median(first) / median(each)
            line += f"{_cell(each):>24}{1 / ratio if inverse else ratio:>7.2f}"
        print(line)


def _cell(figures: Sequence[float]) -> str:
    return f"{median(figures):,.0f} ({min(figures):,.0f}, {max(figures):,.0f})"


if __name__ == "__main__":
    main()
