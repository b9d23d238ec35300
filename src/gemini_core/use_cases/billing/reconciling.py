"""Finding what was missed, and mending it."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from gemini_core.errors import Unavailable
from gemini_core.model.billing.events import EventState, Hint
from gemini_core.model.billing.records import BillingFilter, BillingRecord
from gemini_core.model.ids import UserId
from gemini_core.ports.billing import BillingEvents, BillingRecords, GatewayEvents, Reconciliation
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.billing.syncing import SyncCustomer

log = logging.getLogger(__name__)

CALLS_IN_FLIGHT = 5
# The frequent pass and the nightly one meet, on one worker or on two: together they have no more.
OFTEN, NIGHTLY = 2, 3
BATCH = 100
# A gateway may show an event some time after it happened.
LATE = timedelta(minutes=5)
REMEMBERED = timedelta(days=30)


def _in_silence(_so_far: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a pass over what may have been missed has found. `failed`: looks, questions whom an event is about, and for
    the list of events, that came to nothing; they are tried again.
    """

    events: int
    looked_at: int
    failed: int


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Lost webhooks heal: read the gateway's own list of events, then look at every customer that needs it.

    `at_a_time`: customers that are looked at at once.
    """

    store: Reconciliation
    events: BillingEvents
    gateway: GatewayEvents
    sync: SyncCustomer
    clock: Clock
    at_a_time: int = CALLS_IN_FLIGHT

    def __call__(self, *, everybody: bool = False, progress: Callable[[int], None] = _in_silence) -> Reconciled:
        """`everybody`: look at all customers. `progress` is told how many so far. Raises `Unavailable` (the store)."""
        now = self.clock.now()
        told = self._told(now)
        heard, unheard = (0, 1) if told is None else self._hear(told, now)
        looked_before = now if everybody else now - timedelta(days=2)
        done: set[UserId] = set()
        failed = 0
        with ThreadPoolExecutor(self.at_a_time, thread_name_prefix="reconcile") as pool:
            # Looks that failed stay overdue, and come first.
            while batch := set(self.store.overdue(looked_before=looked_before, now=now, limit=BATCH + failed)) - done:
                failed += list(pool.map(self._look, batch)).count(False)
                done |= batch
                progress(len(done))
                if told is None and failed == len(done):
                    break  # nothing at all is answered
        return Reconciled(events=heard, looked_at=len(done), failed=unheard + failed)

    def _told(self, now: datetime) -> Sequence[Hint] | None:
        """Every event since the last time; None if the list cannot be read, which keeps nobody from being looked at."""
        since = self.store.cursor() or now - REMEMBERED
        try:
            return list(self.gateway.since(since - LATE))
        except Exception:
            log.exception("events not read")
            return None

    def _hear(self, told: Sequence[Hint], now: datetime) -> tuple[int, int]:
        """Note the events: how many are new, and of how many it is not known whom they concern.

        Whatever becomes of one, the others are heard.
        """
        heard = unresolved = 0
        for hint in told:
            received = self.events.receive(hint, now=now, promise=False)
            if received.state is EventState.RECEIVED:
                heard += 1
                unresolved += not self._resolved(hint, now)
        if told:
            self.store.move_cursor(max(hint.happened_at for hint in told))
        return heard, unresolved

    def _resolved(self, hint: Hint, now: datetime) -> bool:
        """It is known whom the event is about; else to ask for it again is promised."""
        if hint.customer_id is not None or hint.subject is None:
            return True
        try:
            self.events.resolve(hint.event_id, self.gateway.customer_of(hint.subject), now=now)
        except Exception:
            log.exception("event not resolved", extra={"event_id": hint.event_id})
            self.events.receive(hint, now=now)
            return False
        return True

    def _look(self, user: UserId) -> bool:
        """Whatever comes of one, the others are looked at."""
        try:
            self.sync(user)
        except Unavailable:
            return False
        except Exception:
            log.exception("customer not looked at", extra={"user_id": str(user)})
            return False
        return True


@dataclass(frozen=True, slots=True)
class Compared:
    """Where a look would change something: what is stored, and what would be. `failed`: looks that came to nothing."""

    looked_at: int
    failed: int
    differing: tuple[tuple[BillingRecord, BillingRecord], ...]


@dataclass(frozen=True, slots=True)
class CompareCustomers:
    """Operators see where what is stored differs from what the gateway says. Nothing is written."""

    records: BillingRecords
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
            page = self.records.list_records(BillingFilter(), limit=BATCH, after=after)
            yield [record for record in page.items if record.customer_id]
            if (after := page.next) is None:
                return

    def _foreseen(self, record: BillingRecord) -> BillingRecord | None:
        try:
            return self.sync.foresee(record)
        except Unavailable:
            return None
        except Exception:
            log.exception("customer not compared", extra={"user_id": str(record.user_id)})
            return None
