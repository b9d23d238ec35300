"""What operators do with accounts, in the process."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from adapters.memory.accounts.tables import MemoryAccounts
from gemini_core.errors import Conflict
from gemini_core.model.accounts.limits import Ended
from gemini_core.model.accounts.people import User, UserStatus, masked
from gemini_core.model.ids import UserId
from gemini_core.model.requests import Page, no_user


@dataclass(frozen=True, slots=True)
class MemoryOperators:
    """`Operators`."""

    accounts: MemoryAccounts

    def list_users(
        self,
        *,
        status: str | None,
        plan: str | None,
        number: str | None,
        limit: int,
        after: tuple[str, ...] | None,
        now: datetime,
    ) -> Page[User]:
        with self.accounts.store.lock:
            found = [
                user
                for user in sorted(self.accounts.users.values(), key=lambda user: user.id, reverse=True)
                if user.status is not UserStatus.ERASING
                and status in (None, user.status)
                and plan in (None, user.plan_at(now))
                and user.mobile_number.startswith(number or "")
                and (after is None or user.id < UUID(after[0]))
            ]
        return Page(tuple(found[:limit]), (str(found[limit - 1].id),) if len(found) > limit else None)

    def find(self, number: str) -> User:
        with self.accounts.store.lock:
            found = self.accounts.account(number)
        if found is None:
            raise no_user()
        return found

    def create(self, user: User, *, operator: str) -> None:
        with self.accounts.store.lock:
            if self.accounts.account(user.mobile_number) is not None:
                raise Conflict("This number has an account already.", code="number-taken")
            self.accounts.users[user.id] = user
            about = {"user_id": user.id, "number": masked(user.mobile_number), "operator": operator}
            self.accounts.note("account.created", user.created_at, **about)

    def suspend(self, user: UserId, *, operator: str, now: datetime) -> Ended:
        with self.accounts.store.lock:
            raised = self.accounts.raise_version(self.accounts.user(user))
            self.accounts.users[user] = replace(raised, status=UserStatus.SUSPENDED)
            self.accounts.note("account.suspended", now, user_id=user, operator=operator)
            return Ended(user, self.accounts.end_sessions(user), raised.credential_version)

    def restore(self, user: UserId, *, operator: str, now: datetime) -> None:
        with self.accounts.store.lock:
            found = self.accounts.user(user)
            self.accounts.users[user] = replace(found, status=UserStatus.ACTIVE)
            self.accounts.phones.pop(found.mobile_number, None)
            self.accounts.note("account.restored", now, user_id=user, operator=operator)
