"""The same repositories of accounts in memory and on PostgreSQL, ready to be examined."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TypeVar

from sqlalchemy import Engine

from adapters.memory.accounts.audit import MemoryAuditLog
from adapters.memory.accounts.challenges import MemoryChallenges
from adapters.memory.accounts.operators import MemoryOperators
from adapters.memory.accounts.passwords import MemoryPasswords
from adapters.memory.accounts.sessions import MemorySessions
from adapters.memory.accounts.tables import MemoryAccounts
from adapters.memory.accounts.users import MemoryUsers
from adapters.memory.jobs import MemoryJobs
from adapters.memory.store import MemoryStore
from adapters.persistence.accounts.audit import SqlAuditLog
from adapters.persistence.accounts.challenges import SqlChallenges
from adapters.persistence.accounts.operators import SqlOperators
from adapters.persistence.accounts.passwords import SqlPasswords
from adapters.persistence.accounts.sessions import SqlSessions
from adapters.persistence.accounts.users import SqlUsers
from adapters.persistence.jobs import SqlJobs
from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.codes import (
    Attempt,
    ChallengeId,
    NewChallenge,
    Opened,
    Outcome,
    Proven,
    Purpose,
    SignedIn,
    TooSoon,
)
from gemini_core.model.accounts.people import Caller, Client, Credentials, MobileNumber, Profile, Signup, SignupId
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.accounts.seals import SealRing, new_challenge_id
from gemini_core.model.ids import JobId, SessionId, UserId, uuid7
from gemini_core.ports.accounts.codes import Challenges
from gemini_core.ports.accounts.operating import AuditLog, Operators
from gemini_core.ports.accounts.passwords import Passwords
from gemini_core.ports.accounts.people import Users
from gemini_core.ports.accounts.sessions import Sessions

T = TypeVar("T")

NOW = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)
NUMBER = "+14155552671"
MOBILE = MobileNumber(NUMBER, "US")
HERE = Client("192.0.2.1", "192.0.2.1", "browser")
THERE = Client("198.51.100.7", "198.51.100.7", "another")
RIGHT, WRONG = (b"r" * 32,), (b"w" * 32,)
RING = SealRing(b"a root secret of thirty-two bytes or more")


@dataclass(frozen=True, slots=True)
class AccountWorld:
    """Everything that accounts keep, in one technology."""

    challenges: Challenges
    users: Users
    passwords: Passwords
    sessions: Sessions
    audit: AuditLog
    operators: Operators
    jobs: SqlJobs | MemoryJobs
    policy: AccountPolicy = field(default_factory=AccountPolicy)
    serial: "count[int]" = field(default_factory=count)

    def sign_up(
        self,
        number: str = NUMBER,
        *,
        by: Client = HERE,
        name: str | None = None,
        password_hash: str | None = None,
        now: datetime = NOW,
    ) -> SignupId:
        """A profile that waits."""
        signup = SignupId(f"signup-{next(self.serial)}")
        self.users.sign_up(
            Signup(
                id=signup,
                mobile_number=number,
                network=by.network,
                profile=Profile(name=name),
                password_hash=password_hash,
                created_at=now,
            ),
            ip=by.ip,
        )
        return signup

    def ask(
        self,
        number: str = NUMBER,
        *,
        by: Client = HERE,
        purpose: Purpose = Purpose.LOGIN,
        signup: SignupId | None = None,
        proven: Credentials | None = None,
        withheld: bool = False,
        now: datetime = NOW,
    ) -> Opened | TooSoon:
        """A code is asked for."""
        return self.challenges.open(
            NewChallenge(
                id=ChallengeId(new_challenge_id(RING, purpose.byte)),
                purpose=purpose,
                mobile_number=number,
                client=by,
                signup_id=signup,
                proven=proven,
                withheld=withheld,
                reservation=f"r-{next(self.serial)}",
                job=JobId(uuid7(now)),
                request_id="r",
                now=now,
            )
        )

    def asked(self, number: str = NUMBER, **about: object) -> ChallengeId:
        """As `ask`, and it was not too soon."""
        opened = self.ask(number, **about)  # type: ignore[arg-type]
        assert isinstance(opened, Opened), opened
        return opened.id

    def send(self, challenge: ChallengeId, *, now: datetime = NOW, outcome: Outcome = Outcome.SENT) -> bool:
        """The code is made and sent; false for a decoy."""
        delivery = self.challenges.prepare(challenge, lambda _: RIGHT, now=now)
        assert delivery is not None
        self.challenges.delivered(delivery, outcome, now=now)
        return delivery.deliver

    def sent(self, number: str = NUMBER, *, now: datetime = NOW, **about: object) -> ChallengeId:
        """A code is on a phone."""
        challenge = self.asked(number, now=now, **about)
        assert self.send(challenge, now=now)
        return challenge

    def type_in(
        self,
        challenge: ChallengeId | MobileNumber,
        seals: tuple[bytes, ...] = RIGHT,
        *,
        by: Client = HERE,
        now: datetime = NOW,
    ) -> SignedIn | Proven | None:
        """A code is typed in."""
        return self.challenges.redeem(
            Attempt(
                challenge=challenge,
                seals=seals,
                client=by,
                user_id=UserId(uuid7(now)),
                session_id=SessionId(uuid7(now)),
                job=JobId(uuid7(now)),
                request_id="r",
                now=now,
            )
        )

    def sign_in(
        self,
        number: str = NUMBER,
        *,
        by: Client = HERE,
        password_hash: str | None = None,
        name: str | None = None,
        now: datetime = NOW,
    ) -> SignedIn:
        """All the way to a session; the first time to an account."""
        signup = self.sign_up(number, by=by, name=name, password_hash=password_hash, now=now)
        proven = self.passwords.of_number(number, by, signup, now=now)
        challenge = self.sent(number, by=by, signup=signup, proven=proven, now=now)
        outcome = self.type_in(challenge, by=by, now=now)
        assert isinstance(outcome, SignedIn), outcome
        return outcome

    def events(self, event: str) -> tuple[AuditEvent, ...]:
        """What the audit log has of a kind, newest first."""
        return self.audit.page(event=event, limit=100_000).items

    def change_password(self, by: Caller | ChallengeId, version: int, *, now: datetime = NOW) -> None:
        """To another one."""
        self.passwords.change(by, "new-hash", version=version, ip="", job=JobId(uuid7(now)), request_id="", now=now)


def caller(signed_in: SignedIn) -> Caller:
    """Who that is."""
    return Caller(signed_in.user.id, signed_in.session.id)


def after(seconds: float = 0, **span: float) -> datetime:
    """So much later."""
    return NOW + timedelta(seconds=seconds, **span)


def memory_world(kind: type[MemoryChallenges] = MemoryChallenges) -> AccountWorld:
    """In the process."""
    store = MemoryStore()
    jobs = MemoryJobs(store)
    accounts = MemoryAccounts(store, jobs, AccountPolicy())
    return AccountWorld(
        kind(accounts),
        MemoryUsers(accounts),
        MemoryPasswords(accounts),
        MemorySessions(accounts),
        MemoryAuditLog(accounts),
        MemoryOperators(accounts),
        jobs,
    )


def postgres_world(engine: Engine) -> AccountWorld:
    """On a database of the test's own."""
    policy = AccountPolicy()
    return AccountWorld(
        SqlChallenges(engine, policy),
        SqlUsers(engine, policy),
        SqlPasswords(engine, policy),
        SqlSessions(engine, policy),
        SqlAuditLog(engine),
        SqlOperators(engine),
        SqlJobs(engine),
    )


def with_challenges(world: AccountWorld, challenges: Challenges) -> AccountWorld:
    """The same world but for one part."""
    return replace(world, challenges=challenges)
