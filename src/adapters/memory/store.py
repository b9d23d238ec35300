"""What all memory adapters of one process share: a lock, which is the transaction, and the time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import RLock

from gemini_core.model.ids import UserId
from gemini_core.ports.clock import Clock


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(slots=True)
class MemoryStore:
    """Hold `lock` for the whole of a method and it is one transaction: check everything, then change everything.

    `clock` is the store's own, for leases. `erasers` are called, under the lock, with a user who is erased: what the
    foreign keys do in a database.
    """

    clock: Clock = field(default_factory=SystemClock)
    lock: RLock = field(default_factory=RLock)
    erasers: list[Callable[[UserId], None]] = field(default_factory=list)
