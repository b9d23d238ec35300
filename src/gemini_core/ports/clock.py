"""What time it is."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The wall clock. A verb reads it once."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...
