"""Codes under way, in the process."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from adapters.memory.accounts.tables import Challenge, Entry, MemoryAccounts, Phone
from gemini_core.model.accounts.codes import (
    CODE_PROVEN,
    SEND_CODE,
    Attempt,
    ChallengeId,
    Delivery,
    NewChallenge,
    Opened,
    Outcome,
    Proven,
    Purpose,
    SignedIn,
    TooSoon,
)
from gemini_core.model.accounts.limits import DAY
from gemini_core.model.accounts.people import MobileNumber, Profile, Signup, User, UserStatus, masked
from gemini_core.model.accounts.sessions import Session


@dataclass(frozen=True, slots=True)
class MemoryChallenges:
    """`Challenges`."""

    accounts: MemoryAccounts

    def open(self, wanted: NewChallenge) -> Opened | TooSoon:
        accounts, now = self.accounts, wanted.now
        with accounts.store.lock:
            fresh, slot = self._fresh(wanted)
            earlier = accounts.challenges.get(slot)
            if earlier is not None and self._goes_on(earlier, now):
                if too_soon := self._too_soon(earlier, now):
                    return too_soon
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
        policy = accounts.policy
        account = accounts.account(number)
        offered = accounts.offered(number, network, wanted.signup_id, wanted.now)
        phone = accounts.phones.get(number, Phone())
        paused = phone.failures >= policy.most_failures and not accounts.is_known_at(number, network)
        suspect = phone.is_suspect(policy, wanted.now)
        fresh = Challenge(
            id=wanted.id,
            purpose=wanted.purpose,
            number=number,
            network=network,
            signup_id=offered.id if offered else None,
            version=account.credential_version if account else 0,
            deliver=not wanted.withheld and not paused and self._may_have_one(wanted, account, offered),
            digits=policy.suspect_digits if suspect else policy.digits,
            max_attempts=min(policy.suspect_attempts, policy.attempts) if suspect else policy.attempts,
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

    def _goes_on(self, earlier: Challenge, now: datetime) -> bool:
        return earlier.redeemed_at is None and earlier.asked_at > now - self.accounts.policy.code_ceiling

    def _too_soon(self, earlier: Challenge, now: datetime) -> TooSoon | None:
        """None if another code may be asked for now."""
        policy = self.accounts.policy
        exhausted = earlier.sends >= policy.sends_per_challenge or earlier.attempts >= earlier.max_attempts
        window = policy.code_ceiling if exhausted else policy.resend_after
        due = earlier.asked_at + window
        return TooSoon(due - now, window) if exhausted or due > now else None

    def prepare(
        self, challenge: ChallengeId, seals_of: Callable[[Delivery], tuple[bytes, ...]], *, now: datetime
    ) -> Delivery | None:
        ceiling = self.accounts.policy.code_ceiling
        with self.accounts.store.lock:
            row = self.accounts.challenge(challenge)
            if row is None or row.made >= row.sends or row.redeemed_at is not None or row.asked_at <= now - ceiling:
                return None
            row.made = row.sends
            row.seals = seals_of(_delivery(row)) if row.deliver else None
            row.expires_at = row.asked_at + ceiling
            return _delivery(row)

    def delivered(self, delivery: Delivery, outcome: Outcome, *, now: datetime) -> None:
        policy = self.accounts.policy
        with self.accounts.store.lock:
            row = self.accounts.challenge(delivery.challenge_id)
            if row is None or row.reservation != delivery.reservation or row.seals is None:
                return
            if outcome is Outcome.FAILED:
                row.seals = row.expires_at = None
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
            row = self._named(attempt)
            ceiling = now - accounts.policy.code_ceiling
            if row is None or row.redeemed_at or row.attempts >= row.max_attempts or row.asked_at <= ceiling:
                return None
            row.attempts += 1
            fits = not set(attempt.seals).isdisjoint(row.seals or ())
            right = fits and row.expires_at is not None and now < row.expires_at
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

    def _named(self, attempt: Attempt) -> Challenge | None:
        named = attempt.challenge
        if isinstance(named, MobileNumber):
            return self.accounts.latest_challenge(named.e164, attempt.client.network, attempt.now)
        return self.accounts.challenge(named)

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


def _delivery(row: Challenge) -> Delivery:
    return Delivery(row.id, row.number, row.network, row.digits, row.deliver, row.reservation)
