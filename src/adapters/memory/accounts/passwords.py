"""Passwords, in the process."""

from dataclasses import dataclass, replace
from datetime import datetime

from adapters.memory.accounts.tables import Challenge, MemoryAccounts
from gemini_core.errors import Unauthenticated
from gemini_core.model.accounts.codes import ChallengeId, Purpose
from gemini_core.model.accounts.limits import Ended
from gemini_core.model.accounts.passwords import changed_meanwhile
from gemini_core.model.accounts.people import (
    SEND_NOTICE,
    Caller,
    Client,
    Credentials,
    SignupId,
    User,
    UserStatus,
    masked,
)
from gemini_core.model.accounts.sessions import Session
from gemini_core.model.ids import JobId


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
            session = accounts.session(caller, now)
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
        allowed_by: Caller | ChallengeId,
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
            kept = allowed_by.session_id if isinstance(allowed_by, Caller) else None
            user = self._entitled(allowed_by, version, now)
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

    def _entitled(self, allowed_by: Caller | ChallengeId, version: int, now: datetime) -> User:
        if isinstance(allowed_by, Caller):
            user, _, _ = self.of_caller(allowed_by, now=now)
            if user.credential_version != version:
                raise changed_meanwhile()
            return user
        row, user = self._of_reset(allowed_by, now)
        row.spent_at = now
        return user

    def rehash(self, credentials: Credentials, password_hash: str) -> None:
        with self.accounts.store.lock:
            user = credentials.user_id
            if user is not None and self.accounts.hashes.get(user) == credentials.password_hash:
                self.accounts.hashes[user] = password_hash
