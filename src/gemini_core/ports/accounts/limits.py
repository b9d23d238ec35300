"""What counts requests."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from gemini_core.model.accounts.limits import BudgetFigures, Ended, Take, Taken


class Limits(Protocol):
    """Counts, and remembers which sessions ended. It raises `Unavailable`, and lets none pass, while it cannot."""

    def take(self, wanted: Take, *, now: datetime) -> Taken:
        """Check everything and take all or nothing, in one step and one round trip. See `Take`."""
        ...

    def give_back(self, taken: Take) -> None:
        """Undo the units of the exact rules, the budgets and the spreads that bear this token."""
        ...

    def prove(self, taken: Take, *, now: datetime) -> None:
        """The code that was sent for this token was typed in: its units of the budgets count as proven."""
        ...

    def end(self, ended: Ended) -> None:
        """From here on these access tokens are refused by every process; remembered for as long as any lives.

        A store that may have lost some of it (it was restarted, say) doubts until no token from before lives.
        """
        ...

    def begin_anew(self) -> None:
        """Something ended that could not be told here: `take` doubts, as if everything had been lost."""
        ...

    def figures(self, *, now: datetime) -> Sequence[BudgetFigures]:
        """The budgets of the past day, for the operator."""
        ...
