"""Customers, checkouts, subscriptions, grants and the gateway's events in PostgreSQL.

Locks are always taken in the same order: customer, then user, then checkout, then idempotency key.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, bindparam, delete, insert, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB

from adapters.persistence.engine import statement, transaction
from adapters.persistence.jobs import insert_job
from adapters.persistence.tables import (
    billing_checkouts,
    billing_customers,
    billing_events,
    billing_flags,
    billing_grants,
    subscriptions,
)
from gemini_core.errors import Conflict, NotFound
from gemini_core.model.billing import (
    ALIVE,
    AlreadySubscribed,
    Begun,
    BillingFilter,
    BillingRecord,
    Checkout,
    CheckoutId,
    Concern,
    Customer,
    EventRecord,
    EventState,
    Flag,
    Grant,
    GrantId,
    Hint,
    Offer,
    Received,
    Session,
    Standing,
    Subject,
    Subscription,
    Sync,
    Terms,
    event_job,
    look_job,
    plan_for,
    surplus,
)
from gemini_core.model.ids import JobId, UserId
from gemini_core.model.requests import KEY_LIVES, Once, Page, key_reused

# --- buying -----------------------------------------------------------------------------------------------------------

LOCK_USER = text(
    """
    SELECT CASE WHEN plan_until IS NULL OR plan_until > :now THEN plan ELSE 'basic' END AS plan, email
    FROM users WHERE id = :user AND status <> 'erasing' FOR NO KEY UPDATE
    """
)
FIND_KEY = text(
    "SELECT fingerprint, outcome FROM idempotency_keys WHERE user_id = :user AND key = :key AND created_at > :expired"
)
TAKE_KEY = text(
    """
    INSERT INTO idempotency_keys AS held (user_id, key, fingerprint, outcome, created_at)
    VALUES (:user, :key, :fingerprint, :outcome, :now)
    ON CONFLICT (user_id, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, outcome = excluded.outcome, created_at = excluded.created_at
        WHERE held.created_at <= :expired
    RETURNING key
    """
).bindparams(bindparam("outcome", type_=JSONB))
ENSURE_CUSTOMER = text(
    "INSERT INTO billing_customers (user_id, created_at) VALUES (:user, :now) ON CONFLICT (user_id) DO NOTHING"
)
CUSTOMER = text(
    """
    SELECT c.customer_id, coalesce(c.generation, 0) AS generation, c.created_at, u.email
    FROM users u LEFT JOIN billing_customers c ON c.user_id = u.id WHERE u.id = :user
    """
)
KNOW_CUSTOMER = text(
    """
    UPDATE billing_customers SET customer_id = coalesce(customer_id, :customer) WHERE user_id = :user
    RETURNING customer_id
    """
)
FORGET_CUSTOMER = text(
    """
    UPDATE billing_customers SET customer_id = NULL, generation = generation + 1
    WHERE user_id = :user AND generation = :generation
    """
)
OPEN_CHECKOUT = select(billing_checkouts).where(
    billing_checkouts.c.user_id == bindparam("user"), ~billing_checkouts.c.closed
)
ONE_CHECKOUT = select(billing_checkouts).where(billing_checkouts.c.id == bindparam("checkout"))
STORE_SESSION = text(
    """
    UPDATE billing_checkouts SET session_id = coalesce(session_id, :session), url = coalesce(url, :url),
        expires_at = coalesce(expires_at, :expires_at)
    WHERE id = :checkout
    """
)
CLOSE_CHECKOUT = update(billing_checkouts).where(billing_checkouts.c.id == bindparam("checkout")).values(closed=True)
CLOSE_CHECKOUTS_OF = (
    update(billing_checkouts).where(billing_checkouts.c.user_id == bindparam("user")).values(closed=True)
)

# --- syncing ----------------------------------------------------------------------------------------------------------

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
SUBSCRIPTIONS_OF = select(subscriptions).where(subscriptions.c.user_id == bindparam("user")).order_by(
    subscriptions.c.created_at, subscriptions.c.id
)  # fmt: skip
DROP_SUBSCRIPTIONS = delete(subscriptions).where(subscriptions.c.user_id == bindparam("user"))
GRANTS_OF = select(billing_grants).where(billing_grants.c.user_id == bindparam("user")).order_by(billing_grants.c.id)
WRITE_PLAN = text("UPDATE users SET plan = :plan, plan_until = :until WHERE id = :user")
REVOKE = text(
    """
    UPDATE billing_grants SET revoked_at = :now
    WHERE user_id = :user AND revoked_at IS NULL AND (until IS NULL OR until > :now) RETURNING id
    """
)
BURY = text("UPDATE billing_customers SET buried_at = coalesce(buried_at, :now) WHERE user_id = :user")

# --- events -----------------------------------------------------------------------------------------------------------

STORE_EVENT = text(
    """
    INSERT INTO billing_events
        (id, kind, state, customer_id, subject_kind, subject_id, concern, happened_at, received_at)
    VALUES (:id, :kind, :state, :customer, :subject_kind, :subject_id, :concern, :happened_at, :now)
    ON CONFLICT (id) DO NOTHING RETURNING state
    """
)
LOCK_EVENT = text("SELECT state, customer_id FROM billing_events WHERE id = :id FOR UPDATE")
IGNORE_EVENT = text("UPDATE billing_events SET state = 'ignored', customer_id = :customer WHERE id = :id")
ASSIGN_EVENT = text("UPDATE billing_events SET customer_id = :customer WHERE id = :id")
LOCK_CUSTOMER = text(
    """
    SELECT user_id, sync_requested_at, sync_began_at FROM billing_customers WHERE customer_id = :customer FOR UPDATE
    """
)
LOCK_CUSTOMER_OF = text(
    """
    SELECT user_id, sync_requested_at, sync_began_at FROM billing_customers
    WHERE user_id = :user AND customer_id IS NOT NULL FOR UPDATE
    """
)
NOTE_REQUEST = text("UPDATE billing_customers SET sync_requested_at = :now WHERE user_id = :user")
RAISE_FLAG = text(
    """
    INSERT INTO billing_flags (user_id, concern, about, raised_at) VALUES (:user, :concern, :about, :now)
    ON CONFLICT DO NOTHING
    """
)
DROP_DUPLICATE_FLAGS = text("DELETE FROM billing_flags WHERE user_id = :user AND concern = 'duplicate'")
FLAGS_OF = select(billing_flags).where(billing_flags.c.user_id == bindparam("user")).order_by(billing_flags.c.raised_at)
CLEAR_FLAGS = delete(billing_flags).where(billing_flags.c.user_id == bindparam("user"))

# --- looking ----------------------------------------------------------------------------------------------------------

RECORD = text(
    """
    SELECT u.id AS user_id, c.customer_id, c.synced_at, u.plan, u.plan_until
    FROM users u LEFT JOIN billing_customers c ON c.user_id = u.id WHERE u.id = :user
    """
)
LIST_RECORDS = text(
    """
    SELECT p.user_id, c.customer_id, c.synced_at, u.plan, u.plan_until
    FROM (SELECT user_id FROM billing_customers UNION SELECT user_id FROM billing_grants) p
    LEFT JOIN billing_customers c USING (user_id) LEFT JOIN users u ON u.id = p.user_id
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
    WHERE c.customer_id IS NOT NULL AND (c.synced_at IS NULL OR c.synced_at < :looked_before
        OR EXISTS (SELECT FROM billing_events e WHERE e.customer_id = c.customer_id AND e.state = 'received')
        OR EXISTS (SELECT FROM subscriptions s WHERE s.user_id = c.user_id AND s.status = ANY (:alive)
                   AND s.period_end < :now AND s.period_end > c.synced_at))
    ORDER BY c.synced_at NULLS FIRST LIMIT :limit
    """
)
CURSOR = text("SELECT read_up_to FROM billing_cursor")
MOVE_CURSOR = text(
    """
    INSERT INTO billing_cursor AS held (only, read_up_to) VALUES (true, :moment)
    ON CONFLICT (only) DO UPDATE SET read_up_to = greatest(held.read_up_to, excluded.read_up_to)
    """
)
LINK = text(
    """
    INSERT INTO billing_customers AS held (user_id, customer_id, created_at)
    SELECT :user, :customer, :now WHERE NOT EXISTS (SELECT FROM billing_customers WHERE customer_id = :customer)
    ON CONFLICT (user_id) DO UPDATE SET customer_id = excluded.customer_id WHERE held.customer_id IS NULL
    RETURNING user_id
    """
)


@dataclass(frozen=True, slots=True)
class SqlCheckouts:
    """`CheckoutRepo` on PostgreSQL."""

    engine: Engine

    def begin(self, draft: Checkout, terms: Terms, *, now: datetime, once: Once | None) -> Begun:
        user = draft.user_id
        with transaction(self.engine) as connection:
            connection.execute(ENSURE_CUSTOMER, {"user": user, "now": now})
            owner = connection.execute(LOCK_USER, {"user": user, "now": now}).one_or_none()
            if owner is None:
                raise NotFound("There is no such user.")
            customer = _customer(connection, user)
            if (first := _first(connection, user, once, now)) is not None:
                return Begun(checkout=first, customer=customer, replayed=True)
            if owner.plan != "basic" or any(each.is_alive(terms) for each in _subscriptions(connection, user)):
                raise AlreadySubscribed
            row = connection.execute(OPEN_CHECKOUT, {"user": user}).one_or_none()
            found = _checkout(row) if row else None
            if found is not None and found.is_stale(now):
                connection.execute(CLOSE_CHECKOUT, {"checkout": found.id})
                found = None
            if found is None:
                connection.execute(
                    insert(billing_checkouts),
                    {"id": draft.id, "user_id": user, "offer": asdict(draft.offer), "created_at": draft.created_at},
                )
            return Begun(checkout=found or draft, customer=customer)

    def opened(self, checkout: Checkout, session: Session, *, now: datetime, once: Once | None) -> Begun:
        user = checkout.user_id
        with transaction(self.engine) as connection:
            connection.execute(KNOW_CUSTOMER, {"user": user, "customer": session.customer_id})
            stored = {"session": session.id, "url": session.url, "expires_at": session.expires_at}
            connection.execute(STORE_SESSION, {"checkout": checkout.id, **stored})
            replayed = once is not None and not _take(connection, user, once, checkout.id, now)
            first = _first(connection, user, once, now) if replayed else None
            kept = first or _checkout(connection.execute(ONE_CHECKOUT, {"checkout": checkout.id}).one())
            return Begun(checkout=kept, customer=_customer(connection, user), replayed=replayed)

    def close(self, checkout_id: CheckoutId) -> None:
        with statement(self.engine) as connection:
            connection.execute(CLOSE_CHECKOUT, {"checkout": checkout_id})

    def customer(self, user: UserId) -> Customer:
        with statement(self.engine) as connection:
            return _customer(connection, user)

    def forget_customer(self, customer: Customer) -> None:
        with statement(self.engine) as connection:
            connection.execute(FORGET_CUSTOMER, {"user": customer.user_id, "generation": customer.generation})


def _first(connection: Connection, user: UserId, once: Once | None, now: datetime) -> Checkout | None:
    """What this key stands for. Raises `Invalid` if that is another request."""
    if once is None:
        return None
    held = connection.execute(FIND_KEY, {"user": user, "key": once.key, "expired": now - KEY_LIVES}).one_or_none()
    if held is None:
        return None
    if held.fingerprint != once.fingerprint:
        raise key_reused()
    return _checkout(connection.execute(ONE_CHECKOUT, {"checkout": UUID(held.outcome["checkout"])}).one())


def _take(connection: Connection, user: UserId, once: Once, checkout: CheckoutId, now: datetime) -> bool:
    """The key stands for this checkout from now on. False: it was taken."""
    values = {
        "user": user,
        "key": once.key,
        "fingerprint": once.fingerprint,
        "outcome": {"checkout": str(checkout)},
        "now": now,
        "expired": now - KEY_LIVES,
    }
    return connection.execute(TAKE_KEY, values).one_or_none() is not None


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
        self, sync: Sync, subscriptions: Sequence[Subscription], terms: Terms, *, now: datetime
    ) -> Standing | None:
        user = sync.user_id
        with transaction(self.engine) as connection:
            taken = connection.execute(TAKE_APPLY, {"user": user, "number": sync.number, "now": now})
            if taken.one_or_none() is None:
                return None
            _replace(connection, user, subscriptions)
            connection.execute(DROP_DUPLICATE_FLAGS, {"user": user})
            for each in surplus(subscriptions, terms):
                _flag(connection, user, Concern.DUPLICATE, each, now)
            standing = _settle(connection, user, terms, now)
            if any(each.is_alive(terms) for each in subscriptions):
                connection.execute(CLOSE_CHECKOUTS_OF, {"user": user})
            connection.execute(EVENTS_DONE, {"customer": sync.customer_id, "number": sync.number, "now": now})
            return standing

    def grant(self, grant: Grant, terms: Terms, *, now: datetime) -> Standing:
        with transaction(self.engine) as connection:
            _lock_user(connection, grant.user_id, now)
            values = {
                "id": grant.id,
                "user_id": grant.user_id,
                "until": grant.until,
                "reason": grant.reason,
                "granted_by": grant.by,
                "created_at": grant.created_at,
            }
            connection.execute(insert(billing_grants), values)
            return _settle(connection, grant.user_id, terms, now)

    def revoke(self, user: UserId, terms: Terms, *, now: datetime) -> Sequence[GrantId]:
        with transaction(self.engine) as connection:
            _lock_user(connection, user, now)
            revoked = [GrantId(ended) for ended in connection.execute(REVOKE, {"user": user, "now": now}).scalars()]
            _settle(connection, user, terms, now)
            return revoked

    def bury(self, user: UserId, *, now: datetime) -> None:
        with statement(self.engine) as connection:
            connection.execute(BURY, {"user": user, "now": now})


def _settle(connection: Connection, user: UserId, terms: Terms, now: datetime) -> Standing:
    """Write the plan that follows from what is stored. The user's row is locked before anything is read."""
    connection.execute(LOCK_USER, {"user": user, "now": now})
    grants = [_grant(row) for row in connection.execute(GRANTS_OF, {"user": user})]
    standing = plan_for(_subscriptions(connection, user), grants, now, terms)
    connection.execute(WRITE_PLAN, {"user": user, "plan": standing.plan, "until": standing.until})
    return standing


def _lock_user(connection: Connection, user: UserId, now: datetime) -> None:
    if connection.execute(LOCK_USER, {"user": user, "now": now}).one_or_none() is None:
        raise NotFound("There is no such user.")


def _replace(connection: Connection, user: UserId, found: Sequence[Subscription]) -> None:
    connection.execute(DROP_SUBSCRIPTIONS, {"user": user})
    if found:
        rows = [{**asdict(each), "prices": list(each.prices), "user_id": user} for each in found]
        connection.execute(insert(subscriptions), rows)


def _flag(connection: Connection, user: UserId, concern: Concern, about: str, now: datetime) -> None:
    connection.execute(RAISE_FLAG, {"user": user, "concern": concern.value, "about": about, "now": now})


@dataclass(frozen=True, slots=True)
class SqlBillingEvents:
    """`BillingEvents` on PostgreSQL."""

    engine: Engine

    def receive(self, hint: Hint, *, now: datetime, promise: bool = True) -> Received:
        with transaction(self.engine) as connection:
            if (known := self._store(connection, hint, now)) is not None:
                return Received(known)
            if hint.customer_id is None:
                return Received(EventState.RECEIVED, _promise_to_resolve(connection, hint, now) if promise else None)
            return _turn_to(connection, hint.event_id, hint.customer_id, now, promise=promise)

    def resolve(self, event_id: str, customer_id: str | None, *, now: datetime) -> JobId | None:
        with transaction(self.engine) as connection:
            event = connection.execute(LOCK_EVENT, {"id": event_id}).one_or_none()
            if event is None or event.state != EventState.RECEIVED:
                return None
            if customer_id is None:
                connection.execute(IGNORE_EVENT, {"id": event_id, "customer": None})
                return None
            return _turn_to(connection, event_id, customer_id, now, promise=True).job

    def request_sync(self, user: UserId, *, now: datetime) -> JobId | None:
        with transaction(self.engine) as connection:
            customer = connection.execute(LOCK_CUSTOMER_OF, {"user": user}).one_or_none()
            return None if customer is None else _promise_look(connection, customer, now)

    def show(self, event_id: str) -> EventRecord:
        with statement(self.engine) as connection:
            row = connection.execute(select(billing_events).where(billing_events.c.id == event_id)).one_or_none()
        if row is None:
            raise NotFound("There is no such event.")
        return _event(row)

    def list_events(
        self, *, state: EventState | None, user: UserId | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[EventRecord]:
        order = (billing_events.c.received_at, billing_events.c.id)
        query = select(billing_events).order_by(*(column.desc() for column in order)).limit(limit + 1)
        if state is not None:
            query = query.where(billing_events.c.state == state.value)
        if user is not None:
            mine = select(billing_customers.c.customer_id).where(billing_customers.c.user_id == user)
            query = query.where(billing_events.c.customer_id.in_(mine))
        if after is not None:
            query = query.where(tuple_(*order) < tuple_(datetime.fromisoformat(after[0]), after[1]))
        with statement(self.engine) as connection:
            events = [_event(row) for row in connection.execute(query)]
        last = events[limit - 1] if len(events) > limit else None
        return Page(tuple(events[:limit]), (last.received_at.isoformat(), last.id) if last else None)

    def _store(self, connection: Connection, hint: Hint, now: datetime) -> EventState | None:
        """Write the event down. Answers its state if there is nothing left to do for it."""
        values = {
            "id": hint.event_id,
            "kind": hint.kind,
            "state": (EventState.RECEIVED if hint.matters else EventState.IGNORED).value,
            "customer": hint.customer_id,
            "subject_kind": hint.subject.kind if hint.subject else None,
            "subject_id": hint.subject.id if hint.subject else None,
            "concern": hint.concern.value if hint.concern else None,
            "happened_at": hint.happened_at,
            "now": now,
        }
        if connection.execute(STORE_EVENT, values).one_or_none() is not None:
            return None if hint.matters else EventState.IGNORED
        state = EventState(connection.execute(LOCK_EVENT, {"id": hint.event_id}).one().state)
        return None if state is EventState.RECEIVED else state


def _promise_to_resolve(connection: Connection, hint: Hint, now: datetime) -> JobId:
    job = event_job(hint.event_id, now)
    insert_job(connection, job)
    return job.id


def _turn_to(connection: Connection, event_id: str, customer_id: str, now: datetime, *, promise: bool) -> Received:
    """The event is about this customer: promise to look at them if they are ours."""
    customer = connection.execute(LOCK_CUSTOMER, {"customer": customer_id}).one_or_none()
    if customer is None:
        connection.execute(IGNORE_EVENT, {"id": event_id, "customer": customer_id})
        return Received(EventState.IGNORED)
    connection.execute(ASSIGN_EVENT, {"id": event_id, "customer": customer_id})
    event = connection.execute(select(billing_events).where(billing_events.c.id == event_id)).one()
    if event.concern is not None:
        about = event.subject_id or event.id
        _flag(connection, UserId(customer.user_id), Concern(event.concern), about, now)
    return Received(EventState.RECEIVED, _promise_look(connection, customer, now) if promise else None)


def _promise_look(connection: Connection, customer: Row[Any], now: datetime) -> JobId | None:
    """`customer` is a locked row: whoever begins a look comes before us, or will see what we wrote."""
    job = look_job(
        UserId(customer.user_id),
        requested_at=customer.sync_requested_at,
        began_at=customer.sync_began_at,
        now=now,
    )
    if job is None:
        return None
    insert_job(connection, job)
    connection.execute(NOTE_REQUEST, {"user": customer.user_id, "now": now})
    return job.id


@dataclass(frozen=True, slots=True)
class SqlBillingLedger:
    """`BillingLedger` and `Reconciliation` on PostgreSQL."""

    engine: Engine

    def record(self, user: UserId) -> BillingRecord:
        with transaction(self.engine) as connection:
            row = connection.execute(RECORD, {"user": user}).one_or_none()
            if row is None:
                raise NotFound("There is no such user.")
            return _record(connection, row)

    def list_records(self, which: BillingFilter, *, limit: int, after: tuple[str, ...] | None) -> Page[BillingRecord]:
        values = {**asdict(which), "after": UUID(after[0]) if after else None, "limit": limit + 1}
        with transaction(self.engine) as connection:
            rows = connection.execute(LIST_RECORDS, values).all()
            records = [_record(connection, row) for row in rows[:limit]]
        return Page(tuple(records), (str(records[-1].user_id),) if len(rows) > limit else None)

    def link(self, user: UserId, customer_id: str, *, now: datetime) -> None:
        with transaction(self.engine) as connection:
            if _customer(connection, user).id == customer_id:
                return
            if connection.execute(LINK, {"user": user, "customer": customer_id, "now": now}).one_or_none() is None:
                raise Conflict("The user or the customer is linked already.", code="customer-taken")

    def clear_flags(self, user: UserId) -> int:
        with statement(self.engine) as connection:
            return connection.execute(CLEAR_FLAGS, {"user": user}).rowcount

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


# --- rows -------------------------------------------------------------------------------------------------------------


def _customer(connection: Connection, user: UserId) -> Customer:
    row = connection.execute(CUSTOMER, {"user": user}).one_or_none()
    if row is None:
        raise NotFound("There is no such user.")
    return Customer(
        user_id=user, id=row.customer_id, generation=row.generation, known_since=row.created_at, email=row.email
    )


def _subscriptions(connection: Connection, user: UserId) -> tuple[Subscription, ...]:
    return tuple(
        Subscription(
            id=row.id,
            status=row.status,
            prices=tuple(row.prices),
            created_at=row.created_at,
            period_end=row.period_end,
            cancel_at=row.cancel_at,
            cancel_at_period_end=row.cancel_at_period_end,
        )
        for row in connection.execute(SUBSCRIPTIONS_OF, {"user": user})
    )


def _grant(row: Row[Any]) -> Grant:
    return Grant(
        id=GrantId(row.id),
        user_id=UserId(row.user_id),
        until=row.until,
        reason=row.reason,
        by=row.granted_by,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def _checkout(row: Row[Any]) -> Checkout:
    return Checkout(
        id=CheckoutId(row.id),
        user_id=UserId(row.user_id),
        offer=Offer(**row.offer),
        created_at=row.created_at,
        session_id=row.session_id,
        url=row.url,
        expires_at=row.expires_at,
    )


def _event(row: Row[Any]) -> EventRecord:
    return EventRecord(
        id=row.id,
        kind=row.kind,
        state=EventState(row.state),
        customer_id=row.customer_id,
        subject=Subject(row.subject_kind, row.subject_id) if row.subject_id else None,
        concern=Concern(row.concern) if row.concern else None,
        happened_at=row.happened_at,
        received_at=row.received_at,
        done_at=row.done_at,
    )


def _record(connection: Connection, row: Row[Any]) -> BillingRecord:
    user = UserId(row.user_id)
    flags = connection.execute(FLAGS_OF, {"user": user})
    return BillingRecord(
        user_id=user,
        customer_id=row.customer_id,
        synced_at=row.synced_at,
        standing=Standing(row.plan or "basic", row.plan_until),
        subscriptions=_subscriptions(connection, user),
        grants=tuple(_grant(each) for each in connection.execute(GRANTS_OF, {"user": user})),
        flags=tuple(Flag(Concern(each.concern), each.about, each.raised_at) for each in flags),
    )
