"""Time, as a test says."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class StandingClock:
    """Time passes only where a test says so."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.at

    def go_on(self, **span: float) -> None:
        self.at += timedelta(**span)
