"""Audit logs that can be full, so that an exam sees what becomes of an act that cannot be noted."""

from dataclasses import dataclass

from sqlalchemy import Engine, text

from adapters.memory.accounts.audit import MemoryAuditLog
from adapters.memory.accounts.tables import MemoryAccounts
from adapters.memory.jobs import MemoryJobs
from adapters.memory.store import MemoryStore
from gemini_core.errors import Unavailable
from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.ids import UserId
from gemini_core.model.requests import Page
from gemini_core.ports.accounts.operating import AuditLog


@dataclass(slots=True)
class Pages:
    """The log in the process, until its pages are full."""

    log: AuditLog
    is_full: bool = False

    def note(self, event: AuditEvent) -> None:
        if self.is_full:
            raise Unavailable("No page is left.")
        self.log.note(event)

    def page(
        self, *, user: UserId | None = None, event: str | None = None, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[AuditEvent]:
        return self.log.page(user=user, event=event, limit=limit, after=after)

    def fill(self) -> None:
        self.is_full = True


def pages(store: MemoryStore | None = None) -> Pages:
    """An empty log."""
    store = store or MemoryStore()
    return Pages(MemoryAuditLog(MemoryAccounts(store, MemoryJobs(store), AccountPolicy())))


def fill(engine: Engine) -> None:
    """The log of this database takes nothing more."""
    with engine.connect() as connection:
        connection.execute(text("ALTER TABLE audit ADD CONSTRAINT no_page_is_left CHECK (false) NOT VALID"))
