"""What is stored, to look at, and what may have been missed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, bindparam, delete, select, text

from adapters.persistence.accounts.audit import add_note
from adapters.persistence.billing.rows import customer_of, grant_of, lock_user, subscriptions_of, told_of_customer
from adapters.persistence.billing.subscriptions import CLOSE_CHECKOUTS_OF, GRANTS_OF
from adapters.persistence.engine import statement, transaction
from adapters.persistence.tables import billing_checkouts, billing_events, billing_flags
from gemini_core.model.billing.acts import flags_cleared, linked
from gemini_core.model.billing.events import Concern
from gemini_core.model.billing.records import BillingFilter, BillingRecord, Flag, customer_taken
from gemini_core.model.billing.subscriptions import ALIVE, Standing
from gemini_core.model.ids import UserId
from gemini_core.model.requests import Page, no_user

FLAGS_OF = select(billing_flags).where(billing_flags.c.user_id == bindparam("user")).order_by(billing_flags.c.raised_at)
CHECKOUTS_OF = (
    select(billing_checkouts)
    .where(billing_checkouts.c.user_id == bindparam("user"))
    .order_by(billing_checkouts.c.created_at)
)
EVENTS_OF = (
    select(*(billing_events.c[name] for name in ("id", "kind", "state", "concern", "happened_at", "received_at")))
    .where(billing_events.c.customer_id == bindparam("customer"))
    .order_by(billing_events.c.received_at)
)
CLEAR_FLAGS = delete(billing_flags).where(billing_flags.c.user_id == bindparam("user"))
RECORD = text(
    """
    SELECT p.user_id, c.customer_id, c.synced_at, u.plan, u.plan_until, u.id IS NULL AS gone
    FROM (SELECT CAST(:user AS uuid) AS user_id) p
    LEFT JOIN billing_customers c USING (user_id)
    LEFT JOIN users u ON u.id = p.user_id AND u.status <> 'erasing'
    WHERE coalesce(c.user_id, u.id) IS NOT NULL
    """
)
LIST_RECORDS = text(
    """
    SELECT p.user_id, c.customer_id, c.synced_at, u.plan, u.plan_until, u.id IS NULL AS gone
    FROM (SELECT user_id FROM billing_customers UNION SELECT user_id FROM billing_grants) p
    LEFT JOIN billing_customers c USING (user_id)
    LEFT JOIN users u ON u.id = p.user_id AND u.status <> 'erasing'
    WHERE (CAST(:after AS uuid) IS NULL OR p.user_id > :after)
      AND (CAST(:status AS text) IS NULL
           OR EXISTS (SELECT FROM subscriptions s WHERE s.user_id = p.user_id AND s.status = :status))
      AND (CAST(:stale_before AS timestamptz) IS NULL
           OR c.customer_id IS NOT NULL AND (c.synced_at IS NULL OR c.synced_at < :stale_before))
      AND (NOT :duplicates
           OR EXISTS (SELECT FROM billing_flags f WHERE f.user_id = p.user_id AND f.concern = 'duplicate'))
      AND (NOT :flagged OR EXISTS (SELECT FROM billing_flags f WHERE f.user_id = p.user_id))
    ORDER BY p.user_id LIMIT :limit
    """
)
OVERDUE = text(
    """
    SELECT c.user_id FROM billing_customers c
    WHERE c.customer_id IS NOT NULL AND (c.synced_at IS NULL OR c.buried_at IS NULL AND c.synced_at < :looked_before
        OR EXISTS (SELECT FROM billing_events e WHERE e.customer_id = c.customer_id AND e.state = 'received')
        OR EXISTS (SELECT FROM subscriptions s WHERE s.user_id = c.user_id AND s.status = ANY (:alive)
                   AND s.period_end < :now AND s.period_end > c.synced_at))
    ORDER BY c.synced_at NULLS FIRST LIMIT :limit
    """
)
CURSOR = text("SELECT read_up_to FROM billing_cursor")
MOVE_CURSOR = text(
    """
    INSERT INTO billing_cursor AS held (one, read_up_to) VALUES (true, :moment)
    ON CONFLICT (one) DO UPDATE SET read_up_to = greatest(held.read_up_to, excluded.read_up_to)
    """
)
OWNER = text("SELECT user_id FROM billing_customers WHERE customer_id = :customer")
LINK = text(
    """
    INSERT INTO billing_customers AS held (user_id, customer_id, created_at)
    VALUES (:user, :customer, :now)
    ON CONFLICT (user_id) DO UPDATE SET customer_id = excluded.customer_id WHERE held.customer_id IS NULL
    RETURNING user_id
    """
)


@dataclass(frozen=True, slots=True)
class SqlBillingRecords:
    """`BillingRecords` and `Reconciliation` on PostgreSQL."""

    engine: Engine

    def record(self, user: UserId) -> BillingRecord:
        with transaction(self.engine) as connection:
            row = connection.execute(RECORD, {"user": user}).one_or_none()
            if row is None:
                raise no_user()
            return _record(connection, row)

    def list_records(self, which: BillingFilter, *, limit: int, after: tuple[str, ...] | None) -> Page[BillingRecord]:
        values = {**asdict(which), "after": UUID(after[0]) if after else None, "limit": limit + 1}
        with transaction(self.engine) as connection:
            rows = connection.execute(LIST_RECORDS, values).all()
            records = [_record(connection, row) for row in rows[:limit]]
        return Page(tuple(records), (str(records[-1].user_id),) if len(rows) > limit else None)

    def owner(self, customer_id: str) -> UserId | None:
        with statement(self.engine) as connection:
            found = connection.execute(OWNER, {"customer": customer_id}).scalar_one_or_none()
        return UserId(found) if found else None

    def link(self, user: UserId, customer_id: str, *, operator: str, now: datetime) -> None:
        with transaction(self.engine) as connection:
            if customer_of(connection, user).id == customer_id:
                return
            if told_of_customer(connection, LINK, user=user, customer=customer_id, now=now) is None:
                raise customer_taken()
            lock_user(connection, user, now)  # whoever closes the account now finds the customer, and ends it
            connection.execute(CLOSE_CHECKOUTS_OF, {"user": user})
            add_note(connection, linked(user, customer_id, operator=operator, now=now))

    def clear_flags(self, user: UserId, *, operator: str, now: datetime) -> int:
        with transaction(self.engine) as connection:
            cleared = connection.execute(CLEAR_FLAGS, {"user": user}).rowcount
            add_note(connection, flags_cleared(user, cleared, operator=operator, now=now))
            return cleared

    def overdue(self, *, looked_before: datetime, now: datetime, limit: int) -> Sequence[UserId]:
        values = {"looked_before": looked_before, "now": now, "limit": limit, "alive": sorted(ALIVE)}
        with statement(self.engine) as connection:
            return [UserId(user) for user in connection.execute(OVERDUE, values).scalars()]

    def cursor(self) -> datetime | None:
        with statement(self.engine) as connection:
            found: datetime | None = connection.execute(CURSOR).scalar()
            return found

    def move_cursor(self, moment: datetime) -> None:
        with statement(self.engine) as connection:
            connection.execute(MOVE_CURSOR, {"moment": moment})


def _record(connection: Connection, row: Row[Any]) -> BillingRecord:
    user = UserId(row.user_id)
    flags = connection.execute(FLAGS_OF, {"user": user})
    return BillingRecord(
        user_id=user,
        customer_id=row.customer_id,
        synced_at=row.synced_at,
        standing=Standing(row.plan or "basic", row.plan_until),
        gone=row.gone,
        subscriptions=subscriptions_of(connection, user),
        grants=tuple(grant_of(each) for each in connection.execute(GRANTS_OF, {"user": user})),
        flags=tuple(Flag(Concern(each.concern), each.about, each.raised_at) for each in flags),
    )


@dataclass(frozen=True, slots=True)
class SqlBillingExport:
    """`AccountExport` of what billing holds."""

    engine: Engine

    def parts(self, user: UserId) -> Iterator[tuple[str, Iterator[Mapping[str, object]]]]:
        record = SqlBillingRecords(self.engine).record(user)
        yield "subscriptions", (asdict(each) for each in record.subscriptions)
        yield "grants", (asdict(each) for each in record.grants)
        yield "payment_customer", iter([{"id": record.customer_id}] if record.customer_id else [])
        with statement(self.engine) as connection:
            checkouts = [dict(row) for row in connection.execute(CHECKOUTS_OF, {"user": user}).mappings()]
            events = [dict(row) for row in connection.execute(EVENTS_OF, {"customer": record.customer_id}).mappings()]
        yield "checkouts", iter(checkouts)
        yield "payment_events", iter(events)
        yield "payment_flags", (asdict(each) for each in record.flags)
