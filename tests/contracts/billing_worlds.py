"""What keeps billing, in memory and on PostgreSQL, ready to be examined."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Engine, insert, select, update
from tests.contracts.audit_logs import fill, pages

from adapters.memory.billing.checkouts import MemoryCheckouts
from adapters.memory.billing.events import MemoryBillingEvents
from adapters.memory.billing.records import MemoryBillingRecords
from adapters.memory.billing.subscriptions import MemorySubscriptions
from adapters.memory.billing.tables import MemoryBilling
from adapters.memory.jobs import MemoryJobs
from adapters.memory.store import MemoryStore
from adapters.persistence.accounts.audit import SqlAuditLog
from adapters.persistence.billing.checkouts import SqlCheckouts
from adapters.persistence.billing.events import SqlBillingEvents
from adapters.persistence.billing.records import SqlBillingRecords
from adapters.persistence.billing.subscriptions import SqlSubscriptions
from adapters.persistence.jobs import SqlJobs
from adapters.persistence.tables import users
from gemini_core.errors import NotFound
from gemini_core.model.billing.checkouts import Begun, Checkout, CheckoutId, Offer, Session
from gemini_core.model.billing.subscriptions import Standing, Terms
from gemini_core.model.ids import UserId, uuid7
from gemini_core.model.requests import Once
from gemini_core.ports.accounts.operating import AuditLog
from gemini_core.ports.billing import BillingEvents, BillingRecords, CheckoutRepo, Reconciliation, SubscriptionRepo

NOW = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)
PRICE = "price_pro"
TERMS = Terms(prices=frozenset({PRICE}))
OFFER = Offer(
    price=PRICE, success_url="https://a.example/s", cancel_url="https://a.example/c", return_url="https://a.example/"
)


@dataclass(frozen=True, slots=True)
class BillingWorld:
    """Everything that billing keeps, in one technology."""

    checkouts: CheckoutRepo
    subscriptions: SubscriptionRepo
    events: BillingEvents
    records: BillingRecords
    reconciliation: Reconciliation
    jobs: SqlJobs | MemoryJobs
    audit: AuditLog
    full_log: Callable[[], object]
    user: Callable[[], UserId]
    close: Callable[[UserId], object]
    plan: Callable[[UserId], Standing]

    def begin(self, user: UserId, *, now: datetime = NOW, once: Once | None = None) -> Begun:
        """An attempt to buy."""
        draft = Checkout(id=CheckoutId(uuid7(now)), user_id=user, offer=OFFER, created_at=now)
        return self.checkouts.begin(draft, TERMS, now=now, once=once)

    def opened(self, begun: Begun, *, once: Once | None = None) -> Begun:
        """The gateway's answer to an attempt, always the same."""
        checkout = begun.checkout
        session = Session(
            customer_id=f"cus_{checkout.user_id}", id=f"cs_{checkout.id}", url=f"https://pay.example/{checkout.id}"
        )
        return self.checkouts.opened(checkout, session, now=NOW, once=once)

    def customer(self) -> tuple[UserId, str]:
        """A user who has been to the gateway."""
        user = self.user()
        opened = self.opened(self.begin(user))
        assert opened.customer.id is not None
        return user, opened.customer.id


@dataclass(slots=True)
class _People:
    standings: dict[UserId, Standing] = field(default_factory=dict)

    def email_of(self, user: UserId) -> str | None:
        self.standing_of(user)
        return "a@b.example"

    def standing_of(self, user: UserId) -> Standing:
        if user not in self.standings:
            raise NotFound("There is no such user.")
        return self.standings[user]

    def set_standing(self, user: UserId, standing: Standing) -> None:
        self.standing_of(user)
        self.standings[user] = standing


def memory_world() -> BillingWorld:
    """In the process."""
    store, people = MemoryStore(), _People()
    jobs = MemoryJobs(store)
    audit = pages(store)
    billing = MemoryBilling(store, jobs, people, audit)

    def add() -> UserId:
        user = UserId(uuid7(NOW))
        people.standings[user] = Standing("basic")
        return user

    records = MemoryBillingRecords(billing)
    return BillingWorld(
        MemoryCheckouts(billing),
        MemorySubscriptions(billing),
        MemoryBillingEvents(billing),
        records,
        records,
        jobs,
        audit,
        audit.fill,
        add,
        people.standings.pop,
        people.standing_of,
    )


def postgres_world(engine: Engine) -> BillingWorld:
    """On a database of the test's own."""

    def add() -> UserId:
        user = UserId(uuid7(NOW))
        number = f"+1415555{user.int % 10**8:08d}"
        with engine.connect() as connection:
            connection.execute(insert(users).values(id=user, mobile_number=number, email="a@b.example", created_at=NOW))
        return user

    def plan(user: UserId) -> Standing:
        with engine.connect() as connection:
            row = connection.execute(select(users.c.plan, users.c.plan_until).where(users.c.id == user)).one()
        return Standing(row.plan, row.plan_until)

    def close(user: UserId) -> None:
        with engine.connect() as connection:
            connection.execute(update(users).values(status="erasing").where(users.c.id == user))

    records = SqlBillingRecords(engine)
    return BillingWorld(
        SqlCheckouts(engine),
        SqlSubscriptions(engine),
        SqlBillingEvents(engine),
        records,
        records,
        SqlJobs(engine),
        SqlAuditLog(engine),
        lambda: fill(engine),
        add,
        close,
        plan,
    )
