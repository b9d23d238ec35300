"""What operators see and do; every act is in the audit log with the operator's name."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.keys import SigningKey
from gemini_core.model.accounts.limits import BudgetFigures
from gemini_core.model.accounts.people import User, UserStatus
from gemini_core.model.accounts.sessions import Session
from gemini_core.model.ids import JobId, UserId, uuid7
from gemini_core.model.requests import Page
from gemini_core.ports.accounts.keys import KeyRing
from gemini_core.ports.accounts.limits import Limits
from gemini_core.ports.accounts.operating import AuditLog, Operators
from gemini_core.ports.accounts.people import Contacts, Users
from gemini_core.ports.accounts.sessions import Sessions
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue
from gemini_core.use_cases.accounts.rules import Gate
from gemini_core.use_cases.accounts.signing_in import clean_profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ListUsers:
    """Operators look through the accounts, newest first."""

    clock: Clock
    operators: Operators

    def __call__(
        self,
        *,
        status: str | None = None,
        plan: str | None = None,
        number: str | None = None,
        limit: int = 50,
        after: tuple[str, ...] | None = None,
    ) -> Page[User]:
        """`number`: its beginning."""
        return self.operators.list_users(
            status=status, plan=plan, number=number, limit=limit, after=after, now=self.clock.now()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FindUser:
    """Operators name an account by its id or its number."""

    contacts: Contacts
    users: Users
    operators: Operators

    def __call__(self, who: str) -> User:
        """Raises `NotFound`, `Invalid`."""
        try:
            return self.users.show(UserId(UUID(who)))
        except ValueError:
            return self.operators.find(self.contacts.number(who).e164)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUser:
    """Operators vouch for a number, and so make its account."""

    clock: Clock
    contacts: Contacts
    operators: Operators

    def __call__(
        self, mobile_number: str, *, operator: str, name: str | None, email: str | None, username: str | None
    ) -> User:
        """Raises `Invalid`, `Conflict`."""
        now = self.clock.now()
        user = User(
            id=UserId(uuid7(now)),
            mobile_number=self.contacts.number(mobile_number).e164,
            profile=clean_profile(self.contacts, name=name, email=email, username=username),
            status=UserStatus.ACTIVE,
            plan="basic",
            plan_until=None,
            credential_version=1,
            has_password=False,
            created_at=now,
        )
        self.operators.create(user, operator=operator)
        return user


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspendUser:
    """A suspended user is signed out everywhere at once and cannot sign in."""

    clock: Clock
    operators: Operators
    gate: Gate

    def __call__(self, user: UserId, *, operator: str) -> bool:
        """Whether all processes know at once; else a worker will tell them. Raises `NotFound`."""
        ended = self.operators.suspend(user, operator=operator, now=self.clock.now())
        return self.gate.end(ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreUser:
    """A restored user can sign in again, also after too many wrong codes."""

    clock: Clock
    operators: Operators

    def __call__(self, user: UserId, *, operator: str) -> None:
        """Raises `NotFound`."""
        self.operators.restore(user, operator=operator, now=self.clock.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteUser:
    """Operators delete an account as its owner would."""

    clock: Clock
    users: Users
    gate: Gate
    queue: JobQueue

    def __call__(self, user: UserId, *, operator: str) -> bool:
        """Whether all processes know at once; else a worker will tell them. Raises `NotFound`."""
        now = self.clock.now()
        job = JobId(uuid7(now))
        ended = self.users.close(user, session=None, ip=None, operator=operator, job=job, request_id="", now=now)
        told = self.gate.end(ended)
        self.queue.nudge(job)
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowUserSessions:
    """Operators see where a user is signed in."""

    clock: Clock
    sessions: Sessions

    def __call__(self, user: UserId) -> Sequence[Session]:
        """Last used first."""
        return self.sessions.live(user, now=self.clock.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOutUser:
    """Operators sign a user out everywhere."""

    clock: Clock
    sessions: Sessions
    gate: Gate

    def __call__(self, user: UserId, *, operator: str) -> bool:
        """Whether all processes know at once; else a worker will tell them. Raises `NotFound`."""
        ended = self.sessions.end_all(user, ip=None, now=self.clock.now(), operator=operator)
        return self.gate.end(ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAudit:
    """Operators read what happened, newest first."""

    audit: AuditLog

    def __call__(
        self,
        *,
        user: UserId | None = None,
        event: str | None = None,
        limit: int = 50,
        after: tuple[str, ...] | None = None,
    ) -> Page[AuditEvent]:
        """Of one user, or of one kind."""
        return self.audit.page(user=user, event=event, limit=limit, after=after)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKeys:
    """Operators see the signing keys."""

    ring: KeyRing

    def __call__(self) -> Sequence[SigningKey]:
        """Newest first."""
        return self.ring.keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateKeys:
    """The next key signs from now on, the active one only verifies, and a new next one is published."""

    clock: Clock
    ring: KeyRing

    def __call__(self, *, operator: str) -> Sequence[SigningKey]:
        """Raises `Conflict`."""
        now = self.clock.now()
        return self.ring.rotate(AuditEvent(event="keys.rotated", at=now, operator=operator), now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireKey:
    """A key that signs no more goes, once no token of it is good."""

    clock: Clock
    ring: KeyRing

    def __call__(self, kid: str, *, operator: str) -> None:
        """Raises `NotFound`, `Conflict`."""
        now = self.clock.now()
        note = AuditEvent(event="keys.retired", at=now, operator=operator, detail={"kid": kid})
        self.ring.retire(kid, note, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowBudgets:
    """Operators see how many codes went to each country, and from each network, that nobody proved."""

    clock: Clock
    limits: Limits

    def __call__(self) -> Sequence[BudgetFigures]:
        """Of the past day."""
        return self.limits.figures(now=self.clock.now())
