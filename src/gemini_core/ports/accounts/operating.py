"""What operators see and do."""

from datetime import datetime
from typing import Protocol

from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.limits import Ended
from gemini_core.model.accounts.people import User
from gemini_core.model.ids import UserId
from gemini_core.model.requests import Page


class AuditLog(Protocol):
    """What happened, for ever. What the repositories do they note themselves, in the same transaction."""

    def note(self, event: AuditEvent) -> None:
        """Add something that changed nothing else."""
        ...

    def page(
        self, *, user: UserId | None = None, event: str | None = None, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[AuditEvent]:
        """Events, newest first."""
        ...


class Operators(Protocol):
    """What an operator may do with accounts. Every act is in the audit log with the operator's name."""

    def list_users(
        self, *, status: str | None, plan: str | None, number: str | None, limit: int, after: tuple[str, ...] | None,
        now: datetime,
    ) -> Page[User]:  # fmt: skip
        """Accounts, newest first; `number`: the beginning of it."""
        ...

    def find(self, number: str) -> User:
        """The account of this number. Raises `NotFound`."""
        ...

    def create(self, user: User, *, operator: str) -> None:
        """An account whose number the operator vouches for. Raises `Conflict` (`number-taken`)."""
        ...

    def suspend(self, user: UserId, *, operator: str, now: datetime) -> Ended:
        """No more sign-ins, and every session ends. Raises `NotFound`."""
        ...

    def restore(self, user: UserId, *, operator: str, now: datetime) -> None:
        """Sign-ins again; also lifts the pause after too many wrong codes. Raises `NotFound`."""
        ...
