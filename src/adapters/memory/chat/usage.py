"""Units and tokens in the process."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime

from adapters.memory.chat.tables import MemoryChat
from gemini_core.errors import NotFound
from gemini_core.model.chat import DayUsage, TokensBy, TokenSum, TokenTotals, Usage
from gemini_core.model.ids import UserId
from gemini_core.model.jobs import NewJob
from gemini_core.model.replies import ModelCall


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """`UsageRepo` in the process."""

    chat: MemoryChat

    def of_day(self, user: UserId, day: date, *, now: datetime) -> DayUsage:
        with self.chat.store.lock:
            return DayUsage(self.chat.plan_of(user, now), self.chat.used.get((user, day), 0))

    def refused(self, user: UserId, day: date, *, then: Iterable[NewJob]) -> None:
        with self.chat.store.lock:
            if (user, day) not in self.chat.refused:
                self.chat.refused.add((user, day))
                for job in then:
                    self.chat.jobs.add(job)

    def tokens(self, user: UserId, *, today: date, since: date) -> TokenTotals:
        with self.chat.store.lock:
            mine = [(call.began.date(), call.usage) for call in self.chat.calls.values() if call.user == user]
        return TokenTotals(
            sum((usage for day, usage in mine if day == today), Usage()),
            sum((usage for day, usage in mine if day >= since), Usage()),
        )

    def sums(self, by: Sequence[TokensBy], *, since: date, until: date) -> Sequence[TokenSum]:
        found: dict[tuple[str, ...], list[Usage]] = {}
        with self.chat.store.lock:
            for call in self.chat.calls.values():
                about = {
                    "day": str(call.began.date()),
                    "user": str(call.user),
                    "model": call.model,
                    "plan": self.chat.plans[call.id],
                }
                if since <= call.began.date() <= until:
                    found.setdefault(tuple(about[name] for name in by), []).append(call.usage)
        return [TokenSum(of=of, calls=len(each), usage=sum(each, Usage())) for of, each in sorted(found.items())]

    def record(self, calls: Iterable[ModelCall]) -> None:
        with self.chat.store.lock:
            for call in calls:
                before = self.chat.calls.get(call.id)
                if before is None:
                    with suppress(NotFound):
                        self.chat.plans[call.id] = self.chat.plan_of(call.user, call.began)
                        self.chat.calls[call.id] = call
                elif call.told > before.told:
                    self.chat.calls[call.id] = call
