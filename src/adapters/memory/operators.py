"""The audit log, the operator's verbs and the signing keys in the process."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from uuid import UUID

from adapters.memory.accounts import MemoryAccounts, Phone
from gemini_core.errors import Conflict
from gemini_core.model.accounts import AuditEvent, KeyState, SigningKey, User, UserStatus, masked
from gemini_core.model.ids import UserId
from gemini_core.model.limits import Ended
from gemini_core.model.requests import Page


@dataclass(frozen=True, slots=True)
class MemoryAuditLog:
    """`AuditLog`."""

    accounts: MemoryAccounts

    def note(self, event: AuditEvent) -> None:
        with self.accounts.store.lock:
            self.accounts.events.append(replace(event, id=len(self.accounts.events) + 1))

    def page(
        self, *, user: UserId | None = None, event: str | None = None, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[AuditEvent]:
        with self.accounts.store.lock:
            found = [
                each
                for each in reversed(self.accounts.events)
                if (user is None or each.user_id == user)
                and (event is None or each.event == event)
                and (after is None or each.id < int(after[0]))
            ]
        return Page(tuple(found[:limit]), (str(found[limit - 1].id),) if len(found) > limit else None)


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
            self.accounts.phones[found.mobile_number] = Phone()
            self.accounts.note("account.restored", now, user_id=user, operator=operator)


@dataclass(frozen=True, slots=True)
class MemorySigningKeys:
    """`SigningKeys`."""

    kept: dict[str, SigningKey] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def keys(self) -> Sequence[SigningKey]:
        with self.lock:
            return sorted(self.kept.values(), key=lambda key: (key.changed_at, key.state), reverse=True)

    def begin(self, active: SigningKey, following: SigningKey) -> None:
        with self.lock:
            if not self.kept:
                self.kept.update({active.kid: active, following.kid: following})

    def rotate(self, following: SigningKey, *, now: datetime) -> bool:
        moves = {KeyState.NEXT: KeyState.ACTIVE, KeyState.ACTIVE: KeyState.RETIRED}
        with self.lock:
            if any(key.changed_at >= now for key in self.kept.values()):
                return False
            for key in list(self.kept.values()):
                if key.state in moves:
                    self.kept[key.kid] = replace(key, state=moves[key.state], changed_at=now)
            self.kept[following.kid] = following
            return True

    def remove(self, kid: str) -> bool:
        with self.lock:
            found = self.kept.get(kid)
            if found is None or found.state is not KeyState.RETIRED:
                return False
            del self.kept[kid]
            return True
