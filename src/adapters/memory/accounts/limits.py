"""Limits and ended sessions in the process. Also what an API process counts with while Redis is away."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import TypeVar

from gemini_core.model.accounts.limits import (
    DAY,
    Budget,
    BudgetFigures,
    Ended,
    Refusal,
    Rule,
    SessionClaim,
    Spread,
    Take,
    Taken,
)
from gemini_core.model.ids import SessionId, UserId

# After so many demands, what is of no more use is thrown away; so many endings are remembered.
SWEEP_EVERY = 10_000
REMEMBERED = 100_000

Log = dict[str, datetime]
K = TypeVar("K")
V = TypeVar("V")


class MemoryLimits:
    """`Limits`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._logs: defaultdict[str, Log] = defaultdict(dict)
        self._due: dict[str, datetime] = {}
        self._ended: dict[SessionId, None] = {}
        self._versions: dict[UserId, tuple[int, SessionId | None]] = {}
        self._demands = 0

    def take(self, wanted: Take, *, now: datetime) -> Taken:
        with self._lock:
            self._sweep(now)
            if wanted.session is not None and self._has_ended(wanted.session):
                return Taken(revoked=True)
            full = [Refusal(rule, wait) for rule in wanted.own if (wait := self._wait(rule, now)) is not None]
            if full:
                return Taken(max(full, key=lambda refusal: refusal.retry_after))
            for rule in wanted.own:
                self._count(rule, wanted.token, now)
            withheld = next((rule.name for rule in wanted.shared if self._wait(rule, now) is not None), None)
            noted = None if withheld else self._over_budget(wanted, now)
            if noted and not wanted.record_only:
                withheld, noted = noted, None
            if withheld is None:
                self._count_shared(wanted, now, noted=noted is not None)
            return Taken(None, withheld, noted)

    def give_back(self, taken: Take) -> None:
        with self._lock:
            for rule in (*taken.own, *taken.shared):
                self._logs[rule.key].pop(taken.token, None)
            self._undo_budgets(taken)

    def prove(self, taken: Take, *, now: datetime) -> None:
        with self._lock:
            self._undo_budgets(taken)
            for budget in taken.budgets:
                self._logs[f"proven:{budget.key}"][taken.token] = now

    def end(self, ended: Ended) -> None:
        with self._lock:
            self._ended.update(dict.fromkeys(ended.sessions))
            held = self._versions.get(ended.user_id)
            if ended.below_version is not None and (held is None or held[0] < ended.below_version):
                self._versions[ended.user_id] = (ended.below_version, ended.kept)
            _trim(self._ended)
            _trim(self._versions)

    def begin_anew(self) -> None:
        """Nothing is lost here, and everything was told."""

    def figures(self, *, now: datetime) -> Sequence[BudgetFigures]:
        with self._lock:
            keys = {name.partition(":")[2] for name in self._logs if name.startswith(("unproven:", "proven:"))}
            return [
                BudgetFigures(
                    key, *(self._within(f"{kind}:{key}", DAY, now) for kind in ("unproven", "proven", "noted"))
                )
                for key in sorted(keys)
            ]

    def _has_ended(self, claim: SessionClaim) -> bool:
        below, kept = self._versions.get(claim.user_id, (0, None))
        return claim.session_id in self._ended or (claim.credential_version < below and claim.session_id != kept)

    def _wait(self, rule: Rule, now: datetime) -> timedelta | None:
        """How long until the rule has room; None if it has."""
        if rule.limit < 1:
            return rule.window
        if not rule.exact:
            early = self._next_due(rule, now) - rule.window - now
            return early if early > timedelta(0) else None
        instants = sorted(self._fresh(rule.key, rule.window, now).values())
        return instants[-rule.limit] + rule.window - now if len(instants) >= rule.limit else None

    def _next_due(self, rule: Rule, now: datetime) -> datetime:
        return max(self._due.get(rule.key, now), now) + rule.window / rule.limit

    def _count(self, rule: Rule, token: str, now: datetime) -> None:
        if rule.exact:
            self._logs[rule.key][token] = now
        else:
            self._due[rule.key] = self._next_due(rule, now)

    def _over_budget(self, wanted: Take, now: datetime) -> str | None:
        full: list[Budget | Spread] = [budget for budget in wanted.budgets if self._is_spent(budget, now)]
        full += [spread for spread in wanted.spreads if self._is_wide(spread, now)]
        return full[0].name if full else None

    def _is_spent(self, budget: Budget, now: datetime) -> bool:
        unproven = self._within(f"unproven:{budget.key}", budget.window, now)
        proven = self._within(f"proven:{budget.key}", budget.window, now)
        return unproven >= max(budget.floor, int(budget.share * proven))

    def _is_wide(self, spread: Spread, now: datetime) -> bool:
        values = {entry.partition(" ")[0] for entry in self._fresh(spread.key, spread.window, now)}
        return spread.value not in values and len(values) >= spread.limit

    def _count_shared(self, wanted: Take, now: datetime, *, noted: bool) -> None:
        for rule in wanted.shared:
            self._count(rule, wanted.token, now)
        for budget in wanted.budgets:
            self._logs[f"unproven:{budget.key}"][wanted.token] = now
            if noted:
                self._logs[f"noted:{budget.key}"][wanted.token] = now
        for spread in wanted.spreads:
            self._logs[spread.key][f"{spread.value} {wanted.token}"] = now

    def _undo_budgets(self, taken: Take) -> None:
        for budget in taken.budgets:
            self._logs[f"unproven:{budget.key}"].pop(taken.token, None)
        for spread in taken.spreads:
            self._logs[spread.key].pop(f"{spread.value} {taken.token}", None)

    def _fresh(self, name: str, window: timedelta, now: datetime) -> Log:
        log = self._logs[name]
        for token in [token for token, at in log.items() if at <= now - window]:
            del log[token]
        return log

    def _within(self, name: str, window: timedelta, now: datetime) -> int:
        return sum(at > now - window for at in self._logs[name].values())

    def _sweep(self, now: datetime) -> None:
        self._demands += 1
        if self._demands % SWEEP_EVERY == 0:
            for name in [name for name, log in self._logs.items() if not self._within(name, DAY, now) or not log]:
                del self._logs[name]
            for key in [key for key, due in self._due.items() if due <= now]:
                del self._due[key]


def _trim(remembered: dict[K, V]) -> None:
    """Forgets the oldest beyond what is remembered."""
    while len(remembered) > REMEMBERED:
        del remembered[next(iter(remembered))]
