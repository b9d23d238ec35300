"""Accounts in the process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from adapters.memory.jobs import MemoryJobs
from adapters.memory.store import MemoryStore
from gemini_core.errors import NotFound, Unauthenticated
from gemini_core.model.accounts import (
    CODE_PROVEN,
    ERASE_ACCOUNT,
    SEND_CODE,
    SEND_NOTICE,
    AccountPolicy,
    Attempt,
    AuditEvent,
    Caller,
    ChallengeId,
    Client,
    Credentials,
    Delivery,
    NewChallenge,
    Opened,
    Outcome,
    Profile,
    Proven,
    Purpose,
    Reused,
    Session,
    SignedIn,
    Signup,
    SignupId,
    TooSoon,
    User,
    UserStatus,
    masked,
)
from gemini_core.model.billing import Standing
from gemini_core.model.ids import JobId, SessionId, UserId
from gemini_core.model.jobs import NewJob
from gemini_core.model.limits import DAY, Ended

SUSPECT_DIGITS, SUSPECT_ATTEMPTS = 8, 3


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
    mac: bytes | None = None
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
            raise NotFound("There is no such user.")
        return found

    def challenge(self, challenge: ChallengeId) -> Challenge | None:
        """The challenge of this id, unless it made room for another."""
        return next((row for row in self.challenges.values() if row.id == challenge), None)

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


@dataclass(frozen=True, slots=True)
class MemoryChallenges:
    """`Challenges`."""

    accounts: MemoryAccounts

    def open(self, wanted: NewChallenge) -> Opened | TooSoon:
        accounts, now = self.accounts, wanted.now
        with accounts.store.lock:
            fresh, slot = self._fresh(wanted)
            earlier = accounts.challenges.get(slot)
            if earlier is not None and self._goes_on(earlier, fresh, now):
                if due := self._not_before(earlier, now):
                    return TooSoon(due - now)
                fresh = replace(
                    fresh,
                    id=earlier.id,
                    attempts=earlier.attempts,
                    sends=earlier.sends + 1,
                    made=earlier.made,
                    max_attempts=min(earlier.max_attempts, fresh.max_attempts),
                )
            accounts.challenges[slot] = fresh
            if wanted.job is not None:
                accounts.promise(wanted.job, SEND_CODE, wanted.request_id, challenge=fresh.id)
            account = accounts.account(wanted.mobile_number)
            accounts.note(
                "code.asked",
                now,
                user_id=account.id if account else None,
                number=masked(wanted.mobile_number),
                ip=wanted.client.ip,
                detail={"purpose": str(wanted.purpose), "withheld": wanted.withheld},
            )
            return Opened(fresh.id)

    def _fresh(self, wanted: NewChallenge) -> tuple[Challenge, tuple[str, Purpose, str]]:
        """A challenge as it would begin, and its place."""
        accounts, number, network = self.accounts, wanted.mobile_number, wanted.client.network
        account = accounts.account(number)
        offered = accounts.offered(number, network, wanted.signup_id, wanted.now)
        phone = accounts.phones.get(number, Phone())
        paused = phone.failures >= accounts.policy.most_failures and not accounts.is_known_at(number, network)
        suspect = phone.is_suspect(accounts.policy, wanted.now)
        attempts = accounts.policy.attempts
        fresh = Challenge(
            id=wanted.id,
            purpose=wanted.purpose,
            number=number,
            network=network,
            signup_id=offered.id if offered else None,
            version=account.credential_version if account else 0,
            deliver=not wanted.withheld and not paused and self._may_have_one(wanted, account, offered),
            digits=SUSPECT_DIGITS if suspect else 6,
            max_attempts=min(SUSPECT_ATTEMPTS, attempts) if suspect else attempts,
            reservation=wanted.reservation,
            asked_at=wanted.now,
        )
        named = offered is not None and offered.id == wanted.signup_id
        requester = f"s:{wanted.signup_id}" if named else f"n:{network}"
        return fresh, (number, wanted.purpose, requester)

    @staticmethod
    def _may_have_one(wanted: NewChallenge, account: User | None, offered: Signup | None) -> bool:
        proven = wanted.proven
        if account is not None:
            right = proven is not None and proven.version == account.credential_version
            allowed = wanted.purpose is Purpose.RESET or not account.has_password or right
            return account.status is UserStatus.ACTIVE and allowed
        if offered is None or wanted.purpose is not Purpose.LOGIN:
            return False
        return proven is None or proven.signup_id in (None, offered.id)

    def _goes_on(self, earlier: Challenge, fresh: Challenge, now: datetime) -> bool:
        in_time = earlier.asked_at > now - self.accounts.policy.code_ceiling
        return in_time and earlier.redeemed_at is None and earlier.version == fresh.version

    def _not_before(self, earlier: Challenge, now: datetime) -> datetime | None:
        """When another code may be asked for; None for now."""
        policy = self.accounts.policy
        exhausted = earlier.sends >= policy.sends or earlier.attempts >= earlier.max_attempts
        due = earlier.asked_at + (policy.code_ceiling if exhausted else policy.resend_after)
        return due if exhausted or due > now else None

    def find(self, number: str, client: Client, *, now: datetime) -> ChallengeId | None:
        since = now - self.accounts.policy.code_ceiling
        with self.accounts.store.lock:
            asked = [
                row
                for row in self.accounts.challenges.values()
                if row.number == number
                and row.network == client.network
                and row.redeemed_at is None
                and row.asked_at > since
            ]
            return max(asked, key=lambda row: row.asked_at).id if asked else None

    def prepare(self, challenge: ChallengeId, mac_of: Callable[[int], bytes], *, now: datetime) -> Delivery | None:
        ceiling = self.accounts.policy.code_ceiling
        with self.accounts.store.lock:
            row = self.accounts.challenge(challenge)
            if row is None or row.made >= row.sends or row.redeemed_at is not None or row.asked_at <= now - ceiling:
                return None
            row.made = row.sends
            row.mac = mac_of(row.digits) if row.deliver else None
            row.expires_at = row.asked_at + ceiling
            return _delivery(row)

    def delivered(self, delivery: Delivery, outcome: Outcome, *, now: datetime) -> None:
        policy = self.accounts.policy
        with self.accounts.store.lock:
            row = self.accounts.challenge(delivery.challenge_id)
            if row is None or row.reservation != delivery.reservation or row.mac is None:
                return
            if outcome is Outcome.FAILED:
                row.mac = row.expires_at = None
                row.sends, row.made = row.sends - 1, row.made - 1
                row.asked_at -= policy.resend_after
                self.accounts.note("code.not_sent", now, number=masked(row.number))
                return
            row.expires_at = min(now + policy.code_lives, row.asked_at + policy.code_ceiling)
            self.accounts.note("code.sent", now, number=masked(row.number), detail={"certain": outcome is Outcome.SENT})

    def sent(self, challenge: ChallengeId) -> Delivery | None:
        with self.accounts.store.lock:
            row = self.accounts.challenge(challenge)
            return _delivery(row) if row else None

    def redeem(self, attempt: Attempt) -> SignedIn | Proven | None:
        accounts, now = self.accounts, attempt.now
        with accounts.store.lock:
            row = accounts.challenge(attempt.challenge_id)
            ceiling = now - accounts.policy.code_ceiling
            if row is None or row.redeemed_at or row.attempts >= row.max_attempts or row.asked_at <= ceiling:
                return None
            row.attempts += 1
            right = row.mac == attempt.mac and row.expires_at is not None and now < row.expires_at
            row.redeemed_at = now if right else None
            account = accounts.account(row.number)
            accounts.note(
                "code.compared",
                now,
                user_id=account.id if account else None,
                number=masked(row.number),
                ip=attempt.client.ip,
                detail={"attempt": row.attempts, "right": right, "purpose": str(row.purpose), "challenge": row.id[:8]},
            )
            if not self._counted(row.number, attempt, right=right) or not right:
                return None
            return self._proven(row, account, attempt)

    def _counted(self, number: str, attempt: Attempt, *, right: bool) -> bool:
        """Count against the number; False if nothing is right any more there."""
        accounts, now = self.accounts, attempt.now
        phone = accounts.phones.setdefault(number, Phone())
        known = accounts.is_known_at(number, attempt.client.network)
        if phone.failures >= accounts.policy.most_failures and not known:
            return False
        if right:
            phone.failures = 0
            return True
        lately = phone.failed_at is not None and phone.failed_at > now - DAY
        phone.failures, phone.recent, phone.failed_at = phone.failures + 1, (phone.recent if lately else 0) + 1, now
        return True

    def _proven(self, row: Challenge, account: User | None, attempt: Attempt) -> SignedIn | Proven | None:
        accounts = self.accounts
        valid = (
            account is not None and account.status is UserStatus.ACTIVE and account.credential_version == row.version
        )
        if row.purpose is Purpose.RESET:
            if not valid:
                return None
            accounts.promise(attempt.job, CODE_PROVEN, attempt.request_id, challenge=row.id)
            return Proven(row.id, row.number)
        accounts.promise(attempt.job, CODE_PROVEN, attempt.request_id, challenge=row.id)
        if account is None:
            account = self._member(row, attempt)
        elif not valid:
            return None
        for signup in [signup.id for signup in accounts.signups.values() if signup.mobile_number == row.number]:
            del accounts.signups[signup]
        return self._signed_in(account, attempt)

    def _member(self, row: Challenge, attempt: Attempt) -> User:
        accounts, now = self.accounts, attempt.now
        signup = accounts.signups.get(row.signup_id) if row.signup_id else None
        user = User(
            id=attempt.user_id,
            mobile_number=row.number,
            profile=signup.profile if signup else Profile(),
            status=UserStatus.ACTIVE,
            plan="basic",
            plan_until=None,
            credential_version=1,
            has_password=bool(signup and signup.password_hash),
            created_at=now,
        )
        accounts.users[user.id] = user
        if signup and signup.password_hash:
            accounts.hashes[user.id] = signup.password_hash
        accounts.note("account.created", now, user_id=user.id, number=masked(row.number), ip=attempt.client.ip)
        return user

    def _signed_in(self, user: User, attempt: Attempt) -> SignedIn:
        accounts, now, client = self.accounts, attempt.now, attempt.client
        displaced = [session.id for session in accounts.live(user, now)[accounts.policy.sessions - 1 :]]
        session = Session(
            id=attempt.session_id,
            user_id=user.id,
            counter=0,
            credential_version=user.credential_version,
            ip=client.ip,
            user_agent=client.user_agent,
            created_at=now,
            rotated_at=now,
            expires_at=now + accounts.policy.session_lives,
        )
        accounts.sessions[session.id] = Entry(session, client.network)
        accounts.note("session.opened", now, user_id=user.id, session_id=session.id, ip=client.ip)
        for former in displaced:
            accounts.sessions[former].ended = True
            accounts.note("session.displaced", now, user_id=user.id, session_id=former)
        return SignedIn(session, user, tuple(displaced))


@dataclass(frozen=True, slots=True)
class MemoryUsers:
    """`Users`."""

    accounts: MemoryAccounts

    def sign_up(self, signup: Signup, *, ip: str) -> None:
        with self.accounts.store.lock:
            self.accounts.signups[signup.id] = signup
            self.accounts.note("account.signup", signup.created_at, number=masked(signup.mobile_number), ip=ip)

    def show(self, user: UserId) -> User:
        with self.accounts.store.lock:
            return self.accounts.user(user)

    def change_profile(self, caller: Caller, changes: Mapping[str, str | None], *, ip: str, now: datetime) -> User:
        with self.accounts.store.lock:
            user = self.accounts.user(caller.user_id)
            changed = replace(user, profile=replace(user.profile, **changes))
            self.accounts.users[user.id] = changed
            about = {"user_id": user.id, "session_id": caller.session_id, "ip": ip}
            self.accounts.note("account.changed", now, detail={"fields": " ".join(sorted(changes))}, **about)
            return changed

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
        accounts = self.accounts
        with accounts.store.lock:
            former = accounts.user(user)
            number = former.mobile_number
            for slot in [slot for slot in accounts.challenges if slot[0] == number]:
                del accounts.challenges[slot]
            for signup in [signup.id for signup in accounts.signups.values() if signup.mobile_number == number]:
                del accounts.signups[signup]
            accounts.phones.pop(number, None)
            accounts.hashes.pop(user, None)
            closed = accounts.raise_version(former)
            accounts.users[user] = replace(
                closed, status=UserStatus.ERASING, mobile_number=str(user), profile=Profile(), has_password=False
            )
            ended = accounts.end_sessions(user)
            accounts.promise(job, ERASE_ACCOUNT, request_id, user=str(user))
            about = {"user_id": user, "session_id": by, "number": masked(number), "ip": ip, "operator": operator}
            accounts.note("account.closed", now, **about)
            return Ended(user, ended, closed.credential_version)

    def erase(self, user: UserId) -> None:
        accounts = self.accounts
        with accounts.store.lock:
            found = accounts.users.get(user)
            if found is None or found.status is not UserStatus.ERASING:
                return
            for eraser in accounts.store.erasers:
                eraser(user)
            for session in [id for id, entry in accounts.sessions.items() if entry.session.user_id == user]:
                del accounts.sessions[session]
            del accounts.users[user]

    def forget_stale(self, *, now: datetime) -> None:
        accounts, policy = self.accounts, self.accounts.policy
        with accounts.store.lock:
            for signup in [s for s in accounts.signups.values() if s.created_at < now - policy.signup_lives]:
                del accounts.signups[signup.id]
            for slot in [slot for slot, row in accounts.challenges.items() if row.asked_at < now - DAY]:
                del accounts.challenges[slot]
            for id, entry in list(accounts.sessions.items()):
                if entry.session.rotated_at < now - policy.session_lives:
                    del accounts.sessions[id]


@dataclass(frozen=True, slots=True)
class MemoryPasswords:
    """`Passwords`."""

    accounts: MemoryAccounts

    def of_number(self, number: str, client: Client, signup: SignupId | None, *, now: datetime) -> Credentials | None:
        accounts = self.accounts
        with accounts.store.lock:
            account = accounts.account(number)
            if account is not None:
                kept = accounts.hashes.get(account.id)
                return Credentials(kept, account.credential_version, user_id=account.id) if kept else None
            offered = accounts.offered(number, client.network, signup, now)
            if offered is None or offered.password_hash is None:
                return None
            return Credentials(offered.password_hash, signup_id=offered.id)

    def of_caller(self, caller: Caller, *, now: datetime) -> tuple[User, Session, str | None]:
        accounts = self.accounts
        with accounts.store.lock:
            user = accounts.users.get(caller.user_id)
            session = _live(accounts, caller, now)
            if user is None or session is None:
                raise Unauthenticated("This session has ended.")
            return user, session, accounts.hashes.get(user.id)

    def of_reset(self, challenge: ChallengeId, *, now: datetime) -> User:
        with self.accounts.store.lock:
            return self._of_reset(challenge, now)[1]

    def _of_reset(self, challenge: ChallengeId, now: datetime) -> tuple[Challenge, User]:
        row = self.accounts.challenge(challenge)
        if row is not None and row.purpose is Purpose.RESET and row.redeemed_at is not None and row.spent_at is None:
            account = self.accounts.account(row.number)
            in_time = row.redeemed_at > now - self.accounts.policy.reset_lives
            active = account is not None and account.status is UserStatus.ACTIVE
            if account is not None and active and in_time and account.credential_version == row.version:
                return row, account
        raise Unauthenticated("This reset token is no longer good.", code="invalid-reset-token")

    def change(
        self,
        by: Caller | ChallengeId,
        password_hash: str,
        *,
        version: int,
        ip: str,
        job: JobId,
        request_id: str,
        now: datetime,
    ) -> Ended:
        accounts = self.accounts
        with accounts.store.lock:
            kept = by.session_id if isinstance(by, Caller) else None
            user = self._entitled(by, version, now)
            changed = accounts.raise_version(replace(user, has_password=True))
            accounts.hashes[user.id] = password_hash
            ended = accounts.end_sessions(user.id, but=kept)
            if kept is not None:
                entry = accounts.sessions[kept]
                entry.session = replace(entry.session, credential_version=changed.credential_version)
            accounts.promise(job, SEND_NOTICE, request_id, user=str(user.id))
            event = "password.changed" if kept else "password.reset"
            accounts.note(event, now, user_id=user.id, session_id=kept, number=masked(user.mobile_number), ip=ip)
            return Ended(user.id, ended, changed.credential_version, kept)

    def _entitled(self, by: Caller | ChallengeId, version: int, now: datetime) -> User:
        if isinstance(by, Caller):
            user, _, _ = self.of_caller(by, now=now)
        else:
            row, user = self._of_reset(by, now)
            row.spent_at = now
        if user.credential_version != version:
            raise Unauthenticated("This session has ended.")
        return user

    def rehash(self, credentials: Credentials, password_hash: str) -> None:
        with self.accounts.store.lock:
            user = credentials.user_id
            if user is not None and self.accounts.hashes.get(user) == credentials.password_hash:
                self.accounts.hashes[user] = password_hash


@dataclass(frozen=True, slots=True)
class MemorySessions:
    """`Sessions`."""

    accounts: MemoryAccounts

    def rotate(self, session: SessionId, counter: int, *, ip: str, now: datetime) -> Session | Reused | None:
        accounts = self.accounts
        with accounts.store.lock:
            entry = accounts.sessions.get(session)
            if entry is None or entry.session.counter < counter:
                return None
            held = entry.session
            if _live(accounts, Caller(held.user_id, session), now) is None:
                return None
            if held.counter == counter:
                entry.session = replace(held, counter=counter + 1, rotated_at=now)
                accounts.note("session.renewed", now, user_id=held.user_id, session_id=session, ip=ip)
            elif held.counter > counter + 1 or held.rotated_at < now - accounts.policy.refresh_grace:
                entry.ended = True
                accounts.note("session.token_reused", now, user_id=held.user_id, session_id=session, ip=ip)
                return Reused(held.user_id, session)
            return entry.session

    def live(self, user: UserId, *, now: datetime) -> Sequence[Session]:
        with self.accounts.store.lock:
            found = self.accounts.users.get(user)
            return self.accounts.live(found, now) if found else []

    def alive(self, caller: Caller, *, now: datetime) -> bool:
        with self.accounts.store.lock:
            return _live(self.accounts, caller, now) is not None

    def end(self, user: UserId, session: SessionId, *, ip: str, now: datetime) -> Ended:
        with self.accounts.store.lock:
            if _live(self.accounts, Caller(user, session), now) is None:
                raise NotFound("There is no such session.")
            self.accounts.sessions[session].ended = True
            self.accounts.note("session.ended", now, user_id=user, session_id=session, ip=ip)
            return Ended(user, (session,))

    def end_all(self, user: UserId, *, ip: str | None, now: datetime, operator: str | None = None) -> Ended:
        with self.accounts.store.lock:
            raised = self.accounts.raise_version(self.accounts.user(user))
            ended = self.accounts.end_sessions(user)
            self.accounts.note("session.ended_all", now, user_id=user, ip=ip, operator=operator)
            return Ended(user, ended, raised.credential_version)


def _live(accounts: MemoryAccounts, caller: Caller, now: datetime) -> Session | None:
    """The caller's session, if it goes on."""
    user = accounts.users.get(caller.user_id)
    return next((s for s in accounts.live(user, now) if s.id == caller.session_id), None) if user else None


def _delivery(row: Challenge) -> Delivery:
    return Delivery(row.id, row.number, row.network, row.digits, row.deliver, row.reservation)
