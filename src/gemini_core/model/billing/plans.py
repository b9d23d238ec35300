"""What a plan allows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What its users may do. `daily_messages` per UTC day; `models` empty: every model; sizes in bytes."""

    name: str
    daily_messages: int
    models: tuple[str, ...] = ()
    attachments: bool = False
    max_attachment_bytes: int = 0
    context_tokens: int = 32_000
    max_rooms: int = 1_000

    def allows_model(self, model: str) -> bool:
        """The plan has this model."""
        return not self.models or model in self.models

    def model_or(self, *preferred: str) -> str:
        """The first of the preferred models that the plan has, or else its own first one; empty where none is named."""
        return next((model for model in (*preferred, *self.models) if model and self.allows_model(model)), "")


BASIC = Plan(name="basic", daily_messages=5)
PRO = Plan(
    name="pro",
    daily_messages=1_000,
    attachments=True,
    max_attachment_bytes=700_000,
    context_tokens=128_000,
    max_rooms=10_000,
)


class Plans(Mapping[str, Plan]):
    """The plans on offer by name, cheapest first. There is always a `basic` and a `pro`."""

    def __init__(self, *plans: Plan) -> None:
        self._plans = {plan.name: plan for plan in plans or (BASIC, PRO)}
        if missing := {"basic", "pro"} - self._plans.keys():
            raise ValueError(f"plans: {' and '.join(sorted(missing))} missing")

    @property
    def daily_messages(self) -> Mapping[str, int]:
        """What each plan allows in a day."""
        return {plan.name: plan.daily_messages for plan in self._plans.values()}

    def named(self, name: str) -> Plan:
        """The plan of this name; a plan no longer on offer counts as basic."""
        return self._plans.get(name, self._plans["basic"])

    def with_model(self, model: str) -> Plan | None:
        """The cheapest plan that has this model."""
        return next((plan for plan in self._plans.values() if plan.allows_model(model)), None)

    def __getitem__(self, name: str) -> Plan:
        return self._plans[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plans)

    def __len__(self) -> int:
        return len(self._plans)
