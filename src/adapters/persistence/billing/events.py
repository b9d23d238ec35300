"""The gateway's events, each known once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, text, tuple_

from adapters.persistence.billing.rows import event_of, raise_flag
from adapters.persistence.engine import statement, transaction
from adapters.persistence.jobs import insert_job
from adapters.persistence.tables import billing_customers, billing_events
from gemini_core.errors import NotFound
from gemini_core.model.billing.events import Concern, EventRecord, EventState, Hint, Received, event_job, look_job
from gemini_core.model.ids import JobId, UserId
from gemini_core.model.requests import Page

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
ASSIGN_EVENT = text(
    "UPDATE billing_events SET customer_id = :customer WHERE id = :id RETURNING id, concern, subject_id"
)
LOCK_CUSTOMER = text(
    """
    SELECT user_id, customer_id, sync_requested_at, sync_began_at
    FROM billing_customers WHERE customer_id = :customer FOR UPDATE
    """
)
LOCK_CUSTOMER_OF = text(
    """
    SELECT user_id, sync_requested_at, sync_began_at FROM billing_customers
    WHERE user_id = :user AND customer_id IS NOT NULL FOR UPDATE
    """
)
NOTE_REQUEST = text("UPDATE billing_customers SET sync_requested_at = :now WHERE user_id = :user")


@dataclass(frozen=True, slots=True)
class SqlBillingEvents:
    """`BillingEvents` on PostgreSQL."""

    engine: Engine

    def receive(self, hint: Hint, *, now: datetime, promise: bool = True, request_id: str = "") -> Received:
        with transaction(self.engine) as connection:
            customer = _locked(connection, hint.customer_id) if hint.matters else None
            if (known := self._store(connection, hint, now)) is not None:
                return Received(known)
            if hint.customer_id is None:
                job = _promise_to_resolve(connection, hint, now, request_id) if promise else None
                return Received(EventState.RECEIVED, job)
            if customer is None:
                connection.execute(IGNORE_EVENT, {"id": hint.event_id, "customer": hint.customer_id})
                return Received(EventState.IGNORED)
            _assign(connection, hint.event_id, customer, now)
            return Received(
                EventState.RECEIVED, _promise_look(connection, customer, now, request_id) if promise else None
            )

    def resolve(self, event_id: str, customer_id: str | None, *, now: datetime) -> JobId | None:
        with transaction(self.engine) as connection:
            customer = _locked(connection, customer_id)
            event = connection.execute(LOCK_EVENT, {"id": event_id}).one_or_none()
            if event is None or event.state != EventState.RECEIVED:
                return None
            if customer is None:
                connection.execute(IGNORE_EVENT, {"id": event_id, "customer": customer_id})
                return None
            _assign(connection, event_id, customer, now)
            return _promise_look(connection, customer, now, "")

    def request_sync(self, user: UserId, *, now: datetime, request_id: str = "") -> JobId | None:
        with transaction(self.engine) as connection:
            return promise_look_at(connection, user, now, request_id)

    def show(self, event_id: str) -> EventRecord:
        with statement(self.engine) as connection:
            row = connection.execute(select(billing_events).where(billing_events.c.id == event_id)).one_or_none()
        if row is None:
            raise NotFound("There is no such event.")
        return event_of(row)

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
            last = select(*order).where(billing_events.c.id == after[0]).subquery()
            query = query.where(tuple_(*order) < select(*last.c).scalar_subquery())
        with statement(self.engine) as connection:
            events = [event_of(row) for row in connection.execute(query)]
        return Page(tuple(events[:limit]), (events[limit - 1].id,) if len(events) > limit else None)

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


def promise_look_at(connection: Connection, user: UserId, now: datetime, request_id: str = "") -> JobId | None:
    """Promise to look at a customer soon; None: the user was never a customer, or it is promised already."""
    customer = connection.execute(LOCK_CUSTOMER_OF, {"user": user}).one_or_none()
    return None if customer is None else _promise_look(connection, customer, now, request_id)


def _promise_to_resolve(connection: Connection, hint: Hint, now: datetime, request_id: str) -> JobId:
    job = event_job(hint.event_id, now, request_id)
    insert_job(connection, job)
    return job.id


def _locked(connection: Connection, customer_id: str | None) -> Row[Any] | None:
    """The customer, until the transaction ends; None if they are none of ours."""
    if customer_id is None:
        return None
    return connection.execute(LOCK_CUSTOMER, {"customer": customer_id}).one_or_none()


def _assign(connection: Connection, event_id: str, customer: Row[Any], now: datetime) -> None:
    """The event is about this customer; what concerns the operator is flagged."""
    event = connection.execute(ASSIGN_EVENT, {"id": event_id, "customer": customer.customer_id}).one()
    if event.concern is not None:
        about = event.subject_id or event.id
        raise_flag(connection, UserId(customer.user_id), Concern(event.concern), about, now)


def _promise_look(connection: Connection, customer: Row[Any], now: datetime, request_id: str) -> JobId | None:
    """`customer` is a locked row: whoever begins a look comes before us, or will see what we wrote."""
    job = look_job(
        UserId(customer.user_id),
        requested_at=customer.sync_requested_at,
        began_at=customer.sync_began_at,
        now=now,
        request_id=request_id,
    )
    if job is None:
        return None
    insert_job(connection, job)
    connection.execute(NOTE_REQUEST, {"user": customer.user_id, "now": now})
    return job.id
