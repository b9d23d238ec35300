"""What accounts need of the world.

Every method of a repository is one transaction and decides its own races. All raise `Unavailable` while their store is
away.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from gemini_core.model.accounts import (
    AccessClaims,
    Attempt,
    AuditEvent,
    Caller,
    ChallengeId,
    Client,
    Credentials,
    Delivery,
    MobileNumber,
    NewChallenge,
    Opened,
    Outcome,
    Proven,
    Reused,
    Session,
    SignedIn,
    SigningKey,
    Signup,
    SignupId,
    TooSoon,
    User,
)
from gemini_core.model.ids import JobId, SessionId, UserId
from gemini_core.model.jobs import NewJob
from gemini_core.model.limits import BudgetFigures, Ended, Take, Taken
from gemini_core.model.requests import Page


class Challenges(Protocol):
    """Codes under way. Repositories know the account policy: their promises are made of its numbers."""

    def open(self, wanted: NewChallenge) -> Opened | TooSoon:
        """A challenge for this number, purpose and requester, with the promise to make its code.

        The requester is the sign-up, or else the network. While their challenge is open, asking again is a resend of
        it: attempts go on counting, the earlier code is void, and it may be done `policy.sends` times,
        `policy.resend_after` apart. A number nobody knows gets the same, as a decoy.
        """
        ...

    def prepare(
        self, challenge: ChallengeId, seals_of: Callable[[Delivery], tuple[bytes, ...]], *, now: datetime
    ) -> Delivery | None:
        """Takes the newest ask of the challenge: at most one caller gets it, and None if there is none left.

        `seals_of` makes the code and answers its seals; it is called for what is to be delivered only, and the code is
        good from here until the ceiling.
        """
        ...

    def delivered(self, delivery: Delivery, outcome: Outcome, *, now: datetime) -> None:
        """After the sender: the code lives for `policy.code_lives` from now, or, if it failed, the ask is undone."""
        ...

    def sent(self, challenge: ChallengeId) -> Delivery | None:
        """What was delivered last for this challenge; None if it made room for another."""
        ...

    def redeem(self, attempt: Attempt) -> SignedIn | Proven | None:
        """Count, compare and consume, in this order and at once.

        A code that is right, in time and the first one opens a session or proves the number for a reset; the first
        proof of a number makes its account, with the profile its requester gave. In every other case None, and the
        attempt stays counted: against the challenge and against the number.
        """
        ...


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
        by: SessionId | None,
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
        """Remove what is of no more use: old sign-ups, finished challenges, sessions that ended long ago."""
        ...


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
        self, by: Caller | ChallengeId, password_hash: str, *, version: int, ip: str, job: JobId, request_id: str,
        now: datetime,
    ) -> Ended:  # fmt: skip
        """Set a password; end every other session, void every open challenge and reset, promise to tell the user.

        `version`: the credential version that was checked; if it is another one by now, or the reset is spent,
        raises `Unauthenticated`. A reset is spent by this, and leaves no session.
        """
        ...

    def rehash(self, credentials: Credentials, password_hash: str) -> None:
        """Keep the same password under stronger parameters, unless it has changed since."""
        ...


class Sessions(Protocol):
    """Sign-ins that live."""

    def rotate(self, session: SessionId, counter: int, *, ip: str, now: datetime) -> Session | Reused | None:
        """Renew: of any number of callers with the newest counter one advances it, and all get the same successor.

        The one before it gets that successor too, for `policy.refresh_grace`; anything older ends the session.
        None for a session that is no more.
        """
        ...

    def live(self, user: UserId, *, now: datetime) -> Sequence[Session]:
        """The user's sessions, last used first."""
        ...

    def alive(self, caller: Caller, *, now: datetime) -> bool:
        """The session goes on."""
        ...

    def end(self, user: UserId, session: SessionId, *, ip: str, now: datetime) -> Ended:
        """End one. Raises `NotFound` for one that is not live, or somebody else's."""
        ...

    def end_all(self, user: UserId, *, ip: str | None, now: datetime, operator: str | None = None) -> Ended:
        """End every session, and void what is under way. Raises `NotFound`."""
        ...


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
        """From here on these access tokens are refused by every process; remembered for as long as any lives."""
        ...

    def figures(self, *, now: datetime) -> Sequence[BudgetFigures]:
        """The budgets of the past day, for the operator."""
        ...


class AccessTokens(Protocol):
    """Signs and reads access tokens."""

    def issue(self, claims: AccessClaims) -> str:
        """A signed token. Raises `Unavailable` if there is no key to sign with."""
        ...

    def read(self, token: str, *, now: datetime) -> AccessClaims:
        """What it says, if it is ours and in time. Raises `Unauthenticated`, always with the same words."""
        ...

    def published(self) -> Mapping[str, object]:
        """The public keys, as a JSON Web Key Set."""
        ...


class KeyRing(Protocol):
    """The operator's side of the signing keys."""

    def keys(self) -> Sequence[SigningKey]:
        """All keys, newest first."""
        ...

    def rotate(self, note: AuditEvent, *, now: datetime) -> Sequence[SigningKey]:
        """The next key signs, the active one only verifies, and a new next one is published. Raises `Conflict`.

        `note` goes to the audit log with it, or neither does.
        """
        ...

    def retire(self, kid: str, note: AuditEvent, *, now: datetime) -> None:
        """Take a retired key out: tokens that it signed are refused. `note` goes to the audit log with it.

        Raises `NotFound`, `Conflict` (`key-in-use`) for a key that signs or is about to.
        """
        ...


class SigningKeys(Protocol):
    """Where the ring is kept, for all processes."""

    def keys(self) -> Sequence[SigningKey]:
        """All keys, newest first."""
        ...

    def begin(self, active: SigningKey, following: SigningKey) -> None:
        """Store the first two keys, unless there are keys already."""
        ...

    def rotate(self, following: SigningKey, note: AuditEvent, *, now: datetime) -> bool:
        """Move every key one state on, store the following one, and note it: one transaction.

        False if somebody else did so this moment; then nothing is noted.
        """
        ...

    def remove(self, kid: str, note: AuditEvent) -> bool:
        """Remove a retired key, and note it: one transaction. False if there is no retired key of this id."""
        ...


class OtpSender(Protocol):
    """Brings a text to a phone."""

    def send(self, number: str, text: str) -> None:
        """One call, no retry. Raises `SendFailed`."""
        ...


class SendFailed(Exception):
    """A text was not sent. `uncertain`: nobody knows; it may have been (a time-out)."""

    def __init__(self, detail: str, *, uncertain: bool = False) -> None:
        super().__init__(detail)
        self.uncertain = uncertain


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


class Contacts(Protocol):
    """Tells real numbers and addresses from the rest."""

    def number(self, text: str) -> MobileNumber:
        """A mobile number in E.164, or national digits of the default region. Raises `Invalid` (`mobile_number`)."""
        ...

    def email(self, text: str) -> str:
        """An address in its normal form. Raises `Invalid` (`email`)."""
        ...


class BreachedPasswords(Protocol):
    """Passwords known from breaches elsewhere."""

    def holds(self, password: str) -> bool:
        """It is known. Answers False while it cannot tell."""
        ...


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

    def create(self, user: User, *, operator: str) -> None:
        """An account whose number the operator vouches for. Raises `Conflict` (`number-taken`)."""
        ...

    def suspend(self, user: UserId, *, operator: str, now: datetime) -> Ended:
        """No more sign-ins, and every session ends. Raises `NotFound`."""
        ...

    def restore(self, user: UserId, *, operator: str, now: datetime) -> None:
        """Sign-ins again; also lifts the pause after too many wrong codes. Raises `NotFound`."""
        ...


class Inbox(Protocol):
    """What was "sent" in development."""

    def messages(self) -> Sequence[Mapping[str, str]]:
        """`{"at", "mobile_number", "text"}`, newest first."""
        ...


class AccountExport(Protocol):
    """A part of everything that is held about a user."""

    def parts(self, user: UserId) -> Iterator[tuple[str, Iterator[Mapping[str, object]]]]:
        """Named parts, each a stream of JSON-able records."""
        ...
