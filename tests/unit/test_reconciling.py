"""Lost webhooks heal: every customer who needs a look gets one, a few at a time, whatever becomes of the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Barrier, Lock

import pytest
from tests.contracts.billing_worlds import NOW, OFFER, PRICE, TERMS, BillingWorld, memory_world
from tests.fakes.clock import StandingClock

from adapters.memory.billing.nothing import NothingForSale
from adapters.memory.queue import MemoryQueue
from gemini_core.core.billing import BillingPorts, BillingRules, billing_handlers
from gemini_core.core.jobs import JobPorts
from gemini_core.errors import Unavailable
from gemini_core.model.billing.events import (
    EVENT_JOB,
    RECONCILE_ALL_JOB,
    RECONCILE_JOB,
    Concern,
    EventState,
    Hint,
    Subject,
)
from gemini_core.model.billing.subscriptions import Standing, Subscription
from gemini_core.use_cases.billing.reconciling import (
    BATCH,
    CALLS_IN_FLIGHT,
    NIGHTLY,
    OFTEN,
    CompareCustomers,
    Reconcile,
)
from gemini_core.use_cases.billing.syncing import SyncCustomer
from gemini_core.use_cases.jobs import Stop, recurring

DAY = timedelta(days=1)
# The gateway is away; something that nobody thought of.
FAILURES = [Unavailable("No answer."), ZeroDivisionError()]


@dataclass
class Gateway(NothingForSale):
    """Everybody has what `has` says; whoever is in `failing` cannot be looked at; what was `told` is told."""

    has: dict[str, Subscription] = field(default_factory=dict)
    failing: dict[str, Exception] = field(default_factory=dict)
    told: list[Hint] = field(default_factory=list)
    together: Barrier | None = None
    in_flight: int = 0
    most_in_flight: int = 0
    asked_since: datetime | None = None
    lock: Lock = field(default_factory=Lock)

    def subscriptions(self, customer_id: str) -> Sequence[Subscription]:
        with self.lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.together:
            self.together.wait(10)
        with self.lock:
            self.in_flight -= 1
        if customer_id in self.failing:
            raise self.failing[customer_id]
        return [self.has[customer_id]] if customer_id in self.has else []

    def since(self, moment: datetime) -> Iterator[Hint]:
        if "events" in self.failing:
            raise self.failing["events"]
        self.asked_since = moment
        return iter(self.told)

    def customer_of(self, subject: Subject) -> str | None:
        if subject.id in self.failing:
            raise self.failing[subject.id]
        return "cus_" + subject.id.removeprefix("du_") if subject.kind == "dispute" else None


@pytest.fixture
def world() -> BillingWorld:
    return memory_world()


def reconcile(world: BillingWorld, gateway: Gateway) -> Reconcile:
    return Reconcile(world.reconciliation, world.events, gateway, sync(world, gateway), StandingClock(NOW))


def sync(world: BillingWorld, gateway: Gateway) -> SyncCustomer:
    return SyncCustomer(world.subscriptions, gateway, TERMS, StandingClock(NOW))


def active(name: str) -> Subscription:
    return Subscription(id=f"sub_{name}", status="active", prices=(PRICE,), created_at=NOW)


def hint(name: str, at: datetime, *, customer: str | None = None, subject: Subject | None = None) -> Hint:
    return Hint(
        event_id=f"evt_{name}", kind="charge.dispute.created", happened_at=at, matters=True, customer_id=customer,
        subject=subject, concern=Concern.DISPUTE,
    )  # fmt: skip


def test_five_customers_are_looked_at_at_a_time(world: BillingWorld) -> None:
    for _ in range(4 * CALLS_IN_FLIGHT):
        world.customer()
    gateway = Gateway(together=Barrier(CALLS_IN_FLIGHT))
    so_far: list[int] = []
    found = reconcile(world, gateway)(progress=so_far.append)
    assert (found.looked_at, found.failed, so_far) == (20, 0, [20])
    assert gateway.most_in_flight == CALLS_IN_FLIGHT == 5


def test_the_frequent_pass_and_the_nightly_one_together_look_at_five_at_a_time(world: BillingWorld) -> None:
    for _ in range(OFTEN * NIGHTLY * 2):
        world.customer()
    gateway, jobs = Gateway(), world.jobs
    ports = BillingPorts(
        gateway=gateway,
        gateway_events=gateway,
        checkouts=world.checkouts,
        subscriptions=world.subscriptions,
        events=world.events,
        records=world.records,
        reconciliation=world.reconciliation,
    )
    working = JobPorts(jobs=jobs, leases=jobs, admin=jobs, queue=MemoryQueue())
    rules = BillingRules(offer=OFFER, terms=TERMS)
    seen = 0
    for kind, number, clock in ((RECONCILE_JOB, OFTEN, StandingClock(NOW)), (RECONCILE_ALL_JOB, NIGHTLY, Later())):
        gateway.together, gateway.most_in_flight = Barrier(number), 0
        jobs.add(recurring(kind))
        lease = jobs.claim(recurring(kind).id, lease_for=DAY, now=NOW)
        assert lease is not None
        billing_handlers(ports, working, rules, clock)[kind].work(lease, Stop())
        seen += gateway.most_in_flight
    assert seen == CALLS_IN_FLIGHT


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_whoever_cannot_be_looked_at_stands_in_nobodys_way(world: BillingWorld, failure: Exception) -> None:
    customers = [world.customer() for _ in range(BATCH + 7)]
    gateway = Gateway(failing={customer: failure for _, customer in customers[:BATCH]})
    for _, customer in customers[BATCH:]:
        gateway.has[customer] = active(customer)
    found = reconcile(world, gateway)()
    assert (found.looked_at, found.failed) == (BATCH + 7, BATCH)
    assert {world.plan(user) for user, _ in customers[BATCH:]} == {Standing("pro")}
    gateway.failing.clear()
    assert reconcile(world, gateway)().looked_at == BATCH


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_an_event_that_nobody_can_say_whom_it_is_about_stands_in_nobodys_way(
    world: BillingWorld, failure: Exception
) -> None:
    user, customer = world.customer()
    gateway = Gateway(has={customer: active("1")}, failing={"du_1": failure})
    gateway.told = [hint("a", NOW, subject=Subject("dispute", "du_1")), hint("b", NOW + DAY, customer=customer)]
    found = reconcile(world, gateway)()
    assert (found.events, found.looked_at, found.failed) == (2, 1, 1)
    assert world.plan(user) == Standing("pro")
    assert world.reconciliation.cursor() == NOW + DAY
    assert world.events.show("evt_a").state is EventState.RECEIVED
    (promise,) = world.jobs.list_jobs(state=None, kind=EVENT_JOB, limit=2, after=None).items
    assert promise.args["event"] == "evt_a"


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_events_that_cannot_be_listed_stand_in_nobodys_way(world: BillingWorld, failure: Exception) -> None:
    user, customer = world.customer()
    found = reconcile(world, Gateway(has={customer: active("1")}, failing={"events": failure}))()
    assert (found.events, found.looked_at, found.failed) == (0, 1, 1)
    assert world.plan(user) == Standing("pro")
    assert world.reconciliation.cursor() is None


def test_a_gateway_that_answers_nothing_at_all_is_not_asked_for_everybody(world: BillingWorld) -> None:
    customers = [world.customer()[1] for _ in range(2 * BATCH)]
    gateway = Gateway(failing=dict.fromkeys([*customers, "events"], Unavailable("No answer.")))
    assert reconcile(world, gateway)().looked_at == BATCH


def test_what_was_never_heard_is_heard_and_followed_to_whom_it_is_about(world: BillingWorld) -> None:
    (one, first), (two, second) = world.customer(), world.customer()
    gateway = Gateway(has={first: active("1"), second: active("2")})
    reconcile(world, gateway)()
    gateway.has.clear()
    dispute = Subject("dispute", second.replace("cus_", "du_"))
    gateway.told = [hint("a", NOW, customer=first), hint("b", NOW + DAY, subject=dispute)]
    found = reconcile(world, gateway)()
    assert (found.events, found.looked_at) == (2, 2)
    assert {world.plan(one), world.plan(two)} == {Standing("basic")}
    assert world.events.show("evt_b").state is EventState.DONE
    assert len(world.records.record(two).flags) == 1
    assert reconcile(world, gateway)().events == 0


def test_events_are_read_on_from_where_they_were_read_last_and_a_little_before(world: BillingWorld) -> None:
    gateway = Gateway(told=[hint("a", NOW - DAY, customer="cus_x"), hint("b", NOW - 2 * DAY, customer="cus_x")])
    reconcile(world, gateway)()
    assert gateway.asked_since is not None
    assert gateway.asked_since < NOW - 29 * DAY
    reconcile(world, gateway)()
    assert gateway.asked_since == NOW - DAY - timedelta(minutes=5)


def test_all_are_looked_at_if_it_is_asked_for_and_else_who_needs_it(world: BillingWorld) -> None:
    world.customer()
    gateway = Gateway()
    assert reconcile(world, gateway)().looked_at == 1
    assert reconcile(world, gateway)().looked_at == 0
    late = Reconcile(world.reconciliation, world.events, gateway, sync(world, gateway), Later())
    assert late(everybody=True).looked_at == 1


class Later:
    def now(self) -> datetime:
        return NOW + timedelta(seconds=1)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_comparing_tells_what_a_look_would_change_and_changes_nothing(world: BillingWorld, failure: Exception) -> None:
    (one, first), (_, second), (_, third) = (world.customer() for _ in range(3))
    gateway = Gateway()
    reconcile(world, gateway)()
    gateway.has[first] = active("1")
    gateway.failing[second] = failure
    before = world.records.record(one)
    found = CompareCustomers(world.records, sync(world, gateway))()
    assert (found.looked_at, found.failed) == (3, 1)
    ((is_so, would_be),) = found.differing
    assert (is_so, would_be.subscriptions) == (before, (active("1"),))
    assert world.records.record(one) == before
    assert third not in gateway.has
