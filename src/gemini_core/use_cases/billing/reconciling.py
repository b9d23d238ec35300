"""Finding what was missed, and mending it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from gemini_core.errors import Unavailable
from gemini_core.model.billing.events import EventState
from gemini_core.model.billing.ledger import BillingFilter, BillingRecord
from gemini_core.model.ids import UserId
from gemini_core.ports.billing import BillingEvents, BillingLedger, GatewayEvents, Reconciliation
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.billing.syncing import SyncCustomer

CALLS_IN_FLIGHT = 5
BATCH = 100
# A gateway may show an event some time after it happened.
LATE = timedelta(minutes=5)
REMEMBERED = timedelta(days=30)


def _in_silence(_so_far: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a pass over what may have been missed has found. `failed`: looks that the gateway did not answer."""

    events: int
    looked_at: int
    failed: int


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Lost webhooks heal: read the gateway's own list of events, then look at every customer that needs it."""

    store: Reconciliation
    events: BillingEvents
    gateway: GatewayEvents
    sync: SyncCustomer
    clock: Clock

    def __call__(self, *, everybody: bool = False, progress: Callable[[int], None] = _in_silence) -> Reconciled:
        """`everybody`: look at all customers. `progress` is told how many so far.

        Raises `Unavailable` if the list of events cannot be read.
        """
        now = self.clock.now()
        heard = self._hear(now)
        looked_before = now if everybody else now - timedelta(days=2)
        done: set[UserId] = set()
        failed = 0
        with ThreadPoolExecutor(CALLS_IN_FLIGHT, thread_name_prefix="reconcile") as pool:
            # Looks that failed stay overdue, and come first.
            while batch := set(self.store.overdue(looked_before=looked_before, now=now, limit=BATCH + failed)) - done:
                failed += list(pool.map(self._look, batch)).count(False)
                done |= batch
                progress(len(done))
        return Reconciled(events=heard, looked_at=len(done), failed=failed)

    def _hear(self, now: datetime) -> int:
        """Note every event since the last time; those that name no customer are followed up."""
        heard = 0
        newest = since = self.store.cursor() or now - REMEMBERED
        for hint in self.gateway.since(since - LATE):
            received = self.events.receive(hint, now=now, promise=False)
            if received.state is EventState.RECEIVED:
                heard += 1
                if hint.customer_id is None and hint.subject is not None:
                    self.events.resolve(hint.event_id, self.gateway.customer_of(hint.subject), now=now)
            newest = max(newest, hint.happened_at)
        self.store.move_cursor(newest)
        return heard

    def _look(self, user: UserId) -> bool:
        try:
            self.sync(user)
        except Unavailable:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Compared:
    """Where a look would change something: what is stored, and what would be. `failed`: as in `Reconciled`."""

    looked_at: int
    failed: int
    differing: tuple[tuple[BillingRecord, BillingRecord], ...]


@dataclass(frozen=True, slots=True)
class CompareCustomers:
    """Operators see where what is stored differs from what the gateway says. Nothing is written."""

    ledger: BillingLedger
    sync: SyncCustomer

    def __call__(self, *, progress: Callable[[int], None] = _in_silence) -> Compared:
        """All customers. `progress` is told how many so far."""
        looked_at = failed = 0
        differing: list[tuple[BillingRecord, BillingRecord]] = []
        with ThreadPoolExecutor(CALLS_IN_FLIGHT, thread_name_prefix="compare") as pool:
            for records in self._pages():
                found = list(pool.map(self._foreseen, records))
                looked_at += len(found)
                failed += found.count(None)
                pairs = zip(records, found, strict=True)
                differing += [(before, after) for before, after in pairs if after is not None and after != before]
                progress(looked_at)
        return Compared(looked_at, failed, tuple(differing))

    def _pages(self) -> Iterator[Sequence[BillingRecord]]:
        after: tuple[str, ...] | None = None
        while True:
            page = self.ledger.list_records(BillingFilter(), limit=BATCH, after=after)
            yield [record for record in page.items if record.customer_id]
            if (after := page.next) is None:
                return

    def _foreseen(self, record: BillingRecord) -> BillingRecord | None:
        try:
            return self.sync.foresee(record)
        except Unavailable:
            return None
