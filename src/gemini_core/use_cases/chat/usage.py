"""Where a user stands, and what all of them have cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from gemini_core.errors import Invalid
from gemini_core.model.billing.plans import Plan, Plans
from gemini_core.model.chat import DayUsage, TokensBy, TokenSum, TokenTotals, day_ends
from gemini_core.model.ids import UserId
from gemini_core.ports.chat import UsageRepo
from gemini_core.ports.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """Where a user stands today."""

    plan: Plan
    day: DayUsage
    resets_at: datetime
    tokens: TokenTotals


@dataclass(frozen=True, slots=True)
class ShowUsage:
    """The plan, the day's units and the tokens of today and of this month."""

    usage: UsageRepo
    plans: Plans
    clock: Clock

    def __call__(self, user: UserId) -> UsageReport:
        """Raises `NotFound`, `Unavailable`."""
        now = self.clock.now()
        day = self.usage.of_day(user, now.date(), now=now)
        tokens = self.usage.tokens(user, today=now.date(), since=now.date().replace(day=1))
        return UsageReport(plan=self.plans.named(day.plan), day=day, resets_at=day_ends(now), tokens=tokens)


@dataclass(frozen=True, slots=True)
class AddUpTokens:
    """An operator sees what the model has cost, of this month unless asked otherwise, by whatever is asked for."""

    usage: UsageRepo
    clock: Clock

    def __call__(
        self, by: Sequence[TokensBy] = ("day",), *, since: date | None = None, until: date | None = None
    ) -> Sequence[TokenSum]:
        """Days are UTC, and both are in. Raises `Invalid`, `Unavailable`."""
        today = self.clock.now().date()
        since, until = since or today.replace(day=1), until or today
        if since > until:
            raise Invalid(f"There is no day from {since} to {until}.")
        return self.usage.sums(by, since=since, until=until)
