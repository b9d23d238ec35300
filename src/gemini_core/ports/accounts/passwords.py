"""Passwords, as they are kept and checked."""

from datetime import datetime
from typing import Protocol

from gemini_core.model.accounts.codes import ChallengeId
from gemini_core.model.accounts.limits import Ended
from gemini_core.model.accounts.people import Caller, Client, Credentials, SignupId, User
from gemini_core.model.accounts.sessions import Session
from gemini_core.model.ids import JobId


class Passwords(Protocol):
    """Passwords as they are kept, hashed."""

    def of_number(self, number: str, client: Client, signup: SignupId | None, *, now: datetime) -> Credentials | None:
        """What a password given for this number is checked against.

        The account's; where there is no account, that of a sign-up by the same requester. None where there is none.
        """
        ...

    def of_caller(self, caller: Caller, *, now: datetime) -> tuple[User, Session, str | None]:
        """The user, the session, and the hash if a password is set. Raises `Unauthenticated`."""
        ...

    def of_reset(self, challenge: ChallengeId, *, now: datetime) -> User:
        """Whose password a proven challenge may set. Raises `Unauthenticated` if it is spent, old or void."""
        ...

    def change(
        self, allowed_by: Caller | ChallengeId, password_hash: str, *, version: int, ip: str, job: JobId,
        request_id: str, now: datetime,
    ) -> Ended:  # fmt: skip
        """Set a password; end every other session, void every open challenge and reset, promise to tell the user.

        `version`: the credential version that was checked. Raises `Unauthenticated`: if it is another one by now
        (`invalid-credentials` in a session that goes on), or the reset is spent. A reset is spent by this, and leaves
        no session.
        """
        ...

    def rehash(self, credentials: Credentials, password_hash: str) -> None:
        """Keep the same password under stronger parameters, unless it has changed since."""
        ...


class PasswordHasher(Protocol):
    """Slow on purpose, and bounded: raises `Unavailable` when too many wait."""

    def hash(self, password: str) -> str:
        """The hash, with its parameters and salt in it."""
        ...

    def matches(self, password_hash: str | None, password: str) -> bool:
        """The password is the one. Takes as long without a hash, and says no."""
        ...

    def is_weak(self, password_hash: str) -> bool:
        """Made with parameters weaker than today's."""
        ...


class BreachedPasswords(Protocol):
    """Passwords known from breaches elsewhere."""

    def holds(self, password: str) -> bool:
        """It is known. Answers False while it cannot tell."""
        ...
