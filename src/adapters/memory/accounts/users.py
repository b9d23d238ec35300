"""Accounts and pending sign-ups, in the process."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from adapters.memory.accounts.tables import MemoryAccounts, Phone
from gemini_core.model.accounts.limits import DAY, Ended
from gemini_core.model.accounts.people import ERASE_ACCOUNT, Caller, Profile, Signup, User, UserStatus, masked
from gemini_core.model.ids import JobId, SessionId, UserId
from gemini_core.model.jobs import NewJob


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
        session: SessionId | None,
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
            about = {"user_id": user, "session_id": session, "number": masked(number), "ip": ip, "operator": operator}
            accounts.note("account.closed", now, **about)
            return Ended(user, ended, closed.credential_version)

    def erase(self, user: UserId, *, then: Iterable[NewJob] = ()) -> None:
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
            for job in then:
                accounts.jobs.add(job)

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
            for number, phone in list(accounts.phones.items()):
                if not self._limits(number, phone, now):
                    del accounts.phones[number]

    def _limits(self, number: str, phone: Phone, now: datetime) -> bool:
        """What is counted against a number that has no account lapses when sessions would."""
        if phone.failed_at is None:
            return False
        lapses = self.accounts.account(number) is None and phone.failed_at < now - self.accounts.policy.session_lives
        return phone.failed_at >= now - DAY or (phone.failures > 0 and not lapses)
