"""The audit log, in the process."""

from dataclasses import dataclass, replace

from adapters.memory.accounts.tables import MemoryAccounts
from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.ids import UserId
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
