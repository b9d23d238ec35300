"""Accounts, pending sign-ups, and what is real of what people tell about themselves."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from gemini_core.model.accounts.limits import Ended
from gemini_core.model.accounts.people import Caller, MobileNumber, Signup, User
from gemini_core.model.ids import JobId, SessionId, UserId
from gemini_core.model.jobs import NewJob


class Users(Protocol):
    """Accounts and pending sign-ups."""

    def sign_up(self, signup: Signup, *, ip: str) -> None:
        """Keep a profile until its number is proven. Nothing is an account yet, and no account changes."""
        ...

    def show(self, user: UserId) -> User:
        """One account. Raises `NotFound`."""
        ...

    def change_profile(self, caller: Caller, changes: Mapping[str, str | None], *, ip: str, now: datetime) -> User:
        """Store what is named of name, email, username. Raises `NotFound`."""
        ...

    def close(
        self,
        user: UserId,
        *,
        session: SessionId | None,
        ip: str | None,
        operator: str | None = None,
        job: JobId,
        request_id: str,
        now: datetime,
    ) -> Ended:
        """Signed out, unknown, and the number free again, with the promise to erase the rest. Raises `NotFound`."""
        ...

    def erase(self, user: UserId, *, then: Iterable[NewJob] = ()) -> None:
        """Remove all that is left of a closed account; what follows is promised. Doing it again changes nothing."""
        ...

    def forget_stale(self, *, now: datetime) -> None:
        """Remove what is of no more use: old sign-ups, finished challenges, sessions and idempotency keys long over.

        What wrong codes have brought about for a number stays, as long as it limits anything; for one without an
        account it lapses after `policy.session_lives`.
        """
        ...


class Contacts(Protocol):
    """Tells real numbers and addresses from the rest."""

    def number(self, text: str) -> MobileNumber:
        """A mobile number in E.164, or national digits of the default region. Raises `Invalid` (`mobile_number`)."""
        ...

    def email(self, text: str) -> str:
        """An address in its normal form. Raises `Invalid` (`email`)."""
        ...


class AccountExport(Protocol):
    """A part of everything that is held about a user."""

    def parts(self, user: UserId) -> Iterator[tuple[str, Iterator[Mapping[str, object]]]]:
        """Named parts, each a stream of JSON-able records."""
        ...
