"""What the gateway told about each customer, and the plan that follows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, text, update

from adapters.persistence.accounts.audit import add_note
from adapters.persistence.billing.rows import LOCK_USER, grant_of, lock_user, raise_flag, subscriptions_of
from adapters.persistence.engine import statement, transaction
from adapters.persistence.jobs import insert_job
from adapters.persistence.tables import billing_checkouts, billing_grants, subscriptions
from gemini_core.model.billing.acts import granted, revoked
from gemini_core.model.billing.events import Concern, Sync
from gemini_core.model.billing.subscriptions import (
    Grant,
    GrantId,
    Standing,
    Subscription,
    SubscriptionStatus,
    Terms,
    plan_for,
    status_for,
    surplus,
    unforeseen,
)
from gemini_core.model.events import NOBODY, Audience, subscription_changed
from gemini_core.model.ids import UserId

BEGIN_SYNC = text(
    """
    UPDATE billing_customers SET sync_number = sync_number + 1, sync_requested_at = NULL, sync_began_at = :now
    WHERE user_id = :user AND customer_id IS NOT NULL
    RETURNING user_id, customer_id, sync_number, buried_at
    """
)
CLAIM_EVENTS = text(
    "UPDATE billing_events SET sync_number = :number WHERE customer_id = :customer AND state = 'received'"
)
# Row by row the only place where a look is weighed against those that began later.
TAKE_APPLY = text(
    """
    UPDATE billing_customers SET applied_number = :number, synced_at = :now
    WHERE user_id = :user AND applied_number < :number RETURNING user_id
    """
)
EVENTS_DONE = text(
    """
    UPDATE billing_events SET state = 'done', done_at = :now
    WHERE customer_id = :customer AND state = 'received' AND sync_number <= :number
    """
)
DROP_SUBSCRIPTIONS = delete(subscriptions).where(subscriptions.c.user_id == bindparam("user"))
DROP_DUPLICATE_FLAGS = text("DELETE FROM billing_flags WHERE user_id = :user AND concern = 'duplicate'")
CLOSE_CHECKOUTS_OF = (
    update(billing_checkouts).where(billing_checkouts.c.user_id == bindparam("user")).values(closed=True)
)
GRANTS_OF = select(billing_grants).where(billing_grants.c.user_id == bindparam("user")).order_by(billing_grants.c.id)
WRITE_PLAN = text("UPDATE users SET plan = :plan, plan_until = :until WHERE id = :user")
REVOKE = text(
    """
    UPDATE billing_grants SET revoked_at = :now
    WHERE user_id = :user AND revoked_at IS NULL AND (until IS NULL OR until > :now) RETURNING id
    """
)
BURY = text("UPDATE billing_customers SET buried_at = coalesce(buried_at, :now) WHERE user_id = :user")


@dataclass(frozen=True, slots=True)
class SqlSubscriptions:
    """`SubscriptionRepo` on PostgreSQL."""

    engine: Engine

    def begin_sync(self, user: UserId, *, now: datetime) -> Sync | None:
        with transaction(self.engine) as connection:
            row = connection.execute(BEGIN_SYNC, {"user": user, "now": now}).one_or_none()
            if row is None:
                return None
            connection.execute(CLAIM_EVENTS, {"customer": row.customer_id, "number": row.sync_number})
        return Sync(
            user_id=UserId(row.user_id),
            customer_id=row.customer_id,
            number=row.sync_number,
            buried=row.buried_at is not None,
        )

    def apply(
        self,
        sync: Sync,
        subscriptions: Sequence[Subscription],
        terms: Terms,
        *,
        now: datetime,
        audience: Audience = NOBODY,
    ) -> Standing | None:
        user = sync.user_id
        with transaction(self.engine) as connection:
            taken = connection.execute(TAKE_APPLY, {"user": user, "number": sync.number, "now": now})
            if taken.one_or_none() is None:
                return None
            connection.execute(EVENTS_DONE, {"customer": sync.customer_id, "number": sync.number, "now": now})
            if sync.buried:
                for late in unforeseen(subscriptions, subscriptions_of(connection, user)):
                    raise_flag(connection, user, Concern.LATE_PAYMENT, late, now)
            connection.execute(DROP_DUPLICATE_FLAGS, {"user": user})
            for each in surplus(subscriptions, terms):
                raise_flag(connection, user, Concern.DUPLICATE, each, now)
            with _telling(connection, audience, user, terms, now):
                _replace(connection, user, subscriptions)
                standing = _settle(connection, user, terms, now)
            if any(each.is_alive(terms) for each in subscriptions):
                connection.execute(CLOSE_CHECKOUTS_OF, {"user": user})
            return standing

    def grant(self, grant: Grant, terms: Terms, *, now: datetime, audience: Audience = NOBODY) -> Standing:
        with transaction(self.engine) as connection:
            lock_user(connection, grant.user_id, now)
            values = {
                "id": grant.id,
                "user_id": grant.user_id,
                "until": grant.until,
                "reason": grant.reason,
                "granted_by": grant.by,
                "created_at": grant.created_at,
            }
            add_note(connection, granted(grant))
            with _telling(connection, audience, grant.user_id, terms, now):
                connection.execute(insert(billing_grants), values)
                return _settle(connection, grant.user_id, terms, now)

    def revoke(
        self, user: UserId, terms: Terms, *, operator: str, now: datetime, audience: Audience = NOBODY
    ) -> Sequence[GrantId]:
        with transaction(self.engine) as connection:
            lock_user(connection, user, now)
            with _telling(connection, audience, user, terms, now):
                ended = [GrantId(each) for each in connection.execute(REVOKE, {"user": user, "now": now}).scalars()]
                _settle(connection, user, terms, now)
            add_note(connection, revoked(user, ended, operator=operator, now=now))
            return ended

    def bury(self, user: UserId, *, now: datetime) -> None:
        with statement(self.engine) as connection:
            connection.execute(BURY, {"user": user, "now": now})


def _settle(connection: Connection, user: UserId, terms: Terms, now: datetime) -> Standing:
    """Write the plan that follows from what is stored. The user's row is locked before anything is read."""
    connection.execute(LOCK_USER, {"user": user, "now": now})
    standing = plan_for(subscriptions_of(connection, user), _grants_of(connection, user), now, terms)
    connection.execute(WRITE_PLAN, {"user": user, "plan": standing.plan, "until": standing.until})
    return standing


@contextmanager
def _telling(connection: Connection, audience: Audience, user: UserId, terms: Terms, now: datetime) -> Iterator[None]:
    """If the user's status is another one afterwards, whoever listens is promised to be told."""
    if not audience.listeners or connection.execute(LOCK_USER, {"user": user, "now": now}).one_or_none() is None:
        yield
        return
    before = _status(connection, user, terms, now)
    yield
    for job in audience.promises(subscription_changed(user, before, _status(connection, user, terms, now), now)):
        insert_job(connection, job)


def _status(connection: Connection, user: UserId, terms: Terms, now: datetime) -> SubscriptionStatus:
    return status_for(subscriptions_of(connection, user), _grants_of(connection, user), now, terms)


def _grants_of(connection: Connection, user: UserId) -> list[Grant]:
    return [grant_of(row) for row in connection.execute(GRANTS_OF, {"user": user})]


def _replace(connection: Connection, user: UserId, found: Sequence[Subscription]) -> None:
    connection.execute(DROP_SUBSCRIPTIONS, {"user": user})
    if found:
        rows = [{**asdict(each), "prices": list(each.prices), "user_id": user} for each in found]
        connection.execute(insert(subscriptions), rows)
