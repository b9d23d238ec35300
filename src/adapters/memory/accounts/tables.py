"""What the memory adapters of accounts share: the tables."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from adapters.memory.jobs import MemoryJobs
from adapters.memory.store import MemoryStore
from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.codes import ChallengeId, Purpose
from gemini_core.model.accounts.limits import DAY
from gemini_core.model.accounts.people import Caller, Signup, SignupId, User, UserStatus
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.accounts.sessions import Session
from gemini_core.model.billing.subscriptions import Standing
from gemini_core.model.ids import JobId, SessionId, UserId
from gemini_core.model.jobs import NewJob
from gemini_core.model.requests import no_user


@dataclass(slots=True)
class Challenge:
    """A row of challenges."""

    id: ChallengeId
    purpose: Purpose
    number: str
    network: str
    signup_id: SignupId | None
    version: int
    deliver: bool
    digits: int
    max_attempts: int
    reservation: str
    asked_at: datetime
    attempts: int = 0
    sends: int = 1
    made: int = 0
    seals: tuple[bytes, ...] | None = None
    expires_at: datetime | None = None
    redeemed_at: datetime | None = None
    spent_at: datetime | None = None


@dataclass(slots=True)
class Phone:
    """What wrong codes a number has seen."""

    failures: int = 0
    recent: int = 0
    failed_at: datetime | None = None

    def is_suspect(self, policy: AccountPolicy, now: datetime) -> bool:
        """Somebody tries codes on it."""
        return self.recent >= policy.suspicious_failures and self.failed_at is not None and self.failed_at > now - DAY


@dataclass(slots=True)
class Entry:
    """A row of sessions."""

    session: Session
    network: str
    ended: bool = False


@dataclass(slots=True)
class MemoryAccounts:
    """What the repositories below share: the tables. Also what the other topics need to know of users."""

    store: MemoryStore
    jobs: MemoryJobs
    policy: AccountPolicy
    users: dict[UserId, User] = field(default_factory=dict)
    hashes: dict[UserId, str] = field(default_factory=dict)
    signups: dict[SignupId, Signup] = field(default_factory=dict)
    challenges: dict[tuple[str, Purpose, str], Challenge] = field(default_factory=dict)
    phones: dict[str, Phone] = field(default_factory=dict)
    sessions: dict[SessionId, Entry] = field(default_factory=dict)
    events: list[AuditEvent] = field(default_factory=list)

    def note(self, event: str, now: datetime, **about: object) -> None:
        """Add to the audit log."""
        self.events.append(AuditEvent(event=event, at=now, id=len(self.events) + 1, **about))  # type: ignore[arg-type]

    def account(self, number: str) -> User | None:
        """Whose number this is."""
        return next((user for user in self.users.values() if user.mobile_number == number), None)

    def user(self, user: UserId) -> User:
        """Raises `NotFound`."""
        found = self.users.get(user)
        if found is None or found.status is UserStatus.ERASING:
            raise no_user()
        return found

    def challenge(self, challenge: ChallengeId) -> Challenge | None:
        """The challenge of this id, unless it made room for another."""
        return next((row for row in self.challenges.values() if row.id == challenge), None)

    def latest_challenge(self, number: str, network: str, now: datetime) -> Challenge | None:
        """The open challenge last asked for this number from this network."""
        asked = [
            row
            for row in self.challenges.values()
            if row.number == number
            and row.network == network
            and row.redeemed_at is None
            and row.asked_at > now - self.policy.code_ceiling
        ]
        return max(asked, key=lambda row: row.asked_at, default=None)

    def offered(self, number: str, network: str, named: SignupId | None, now: datetime) -> Signup | None:
        """The sign-up of the same requester: the one they name, else the latest from their network."""
        fresh = [
            signup
            for signup in self.signups.values()
            if signup.mobile_number == number
            and signup.created_at > now - self.policy.signup_lives
            and (signup.id == named or signup.network == network)
        ]
        return max(fresh, key=lambda signup: (signup.id == named, signup.created_at), default=None)

    def live(self, user: User, now: datetime) -> list[Session]:
        """The user's sessions that go on, last used first."""
        going_on = [
            entry.session
            for entry in self.sessions.values()
            if entry.session.user_id == user.id and not entry.ended and self._goes_on(entry.session, user, now)
        ]
        return sorted(going_on, key=lambda session: (session.rotated_at, session.id), reverse=True)

    def session(self, caller: Caller, now: datetime) -> Session | None:
        """The caller's session, if it goes on."""
        user = self.users.get(caller.user_id)
        return next((each for each in self.live(user, now) if each.id == caller.session_id), None) if user else None

    def _goes_on(self, session: Session, user: User, now: datetime) -> bool:
        return (
            session.expires_at > now
            and session.rotated_at > now - self.policy.session_idle
            and session.credential_version == user.credential_version
            and user.status is UserStatus.ACTIVE
        )

    def is_known_at(self, number: str, network: str) -> bool:
        """The owner of the number has signed in from there."""
        user = self.account(number)
        return user is not None and any(
            entry.network == network and entry.session.user_id == user.id for entry in self.sessions.values()
        )

    def end_sessions(self, user: UserId, *, but: SessionId | None = None) -> tuple[SessionId, ...]:
        """End them all."""
        ended = [id for id, entry in self.sessions.items() if entry.session.user_id == user and not entry.ended]
        for session in ended:
            self.sessions[session].ended = session != but
        return tuple(session for session in ended if session != but)

    def raise_version(self, user: User) -> User:
        """Void what was begun under the former version."""
        raised = self.users[user.id] = replace(user, credential_version=user.credential_version + 1)
        return raised

    def promise(self, job: JobId, kind: str, request_id: str, **args: str) -> None:
        """Write a job down."""
        self.jobs.add(NewJob(id=job, kind=kind, args=args, request_id=request_id))

    # what the other topics need to know

    def plan_of(self, user: UserId, now: datetime) -> str:
        """The plan in force. Raises `NotFound`."""
        return self.user(user).plan_at(now)

    def email_of(self, user: UserId) -> str | None:
        """Raises `NotFound`."""
        return self.user(user).profile.email

    def standing_of(self, user: UserId) -> Standing:
        """Raises `NotFound`."""
        found = self.user(user)
        return Standing(found.plan, found.plan_until)

    def set_standing(self, user: UserId, standing: Standing) -> None:
        """Raises `NotFound`."""
        self.users[user] = replace(self.user(user), plan=standing.plan, plan_until=standing.until)
