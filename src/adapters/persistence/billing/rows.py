"""What the modules of this folder share: rows as nouns, and the locks of a user and of what hangs on one."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, TextClause, bindparam, select, text
from sqlalchemy.exc import IntegrityError

from adapters.persistence.tables import PLAN, subscriptions
from gemini_core.model.billing.checkouts import Checkout, CheckoutId, Customer, Offer
from gemini_core.model.billing.events import Concern, EventRecord, EventState, Subject
from gemini_core.model.billing.records import customer_taken
from gemini_core.model.billing.subscriptions import Grant, GrantId, Subscription
from gemini_core.model.ids import UserId
from gemini_core.model.requests import no_user

LOCK_USER = text(
    f"SELECT {PLAN} AS plan FROM users u WHERE u.id = :user AND u.status <> 'erasing' FOR NO KEY UPDATE"  # noqa: S608
)
CUSTOMER = text(
    """
    SELECT c.customer_id, coalesce(c.generation, 0) AS generation, c.created_at, u.email
    FROM users u LEFT JOIN billing_customers c ON c.user_id = u.id WHERE u.id = :user AND u.status <> 'erasing'
    """
)
SUBSCRIPTIONS_OF = select(subscriptions).where(subscriptions.c.user_id == bindparam("user")).order_by(
    subscriptions.c.created_at, subscriptions.c.id
)  # fmt: skip
RAISE_FLAG = text(
    """
    INSERT INTO billing_flags (user_id, concern, about, raised_at) VALUES (:user, :concern, :about, :now)
    ON CONFLICT DO NOTHING
    """
)


def lock_user(connection: Connection, user: UserId, now: datetime) -> None:
    """Hold the user's row until the transaction ends. Raises `NotFound`."""
    if connection.execute(LOCK_USER, {"user": user, "now": now}).one_or_none() is None:
        raise no_user()


def customer_of(connection: Connection, user: UserId) -> Customer:
    """Who the user is to the gateway. Raises `NotFound` for no such user."""
    row = connection.execute(CUSTOMER, {"user": user}).one_or_none()
    if row is None:
        raise no_user()
    return Customer(
        user_id=user, id=row.customer_id, generation=row.generation, known_since=row.created_at, email=row.email
    )


def told_of_customer(connection: Connection, statement: TextClause, **values: object) -> Any:
    """What a statement answers that stores a user's customer. Raises `Conflict` where that is somebody else."""
    try:
        return connection.execute(statement, values).scalar_one_or_none()
    except IntegrityError:
        raise customer_taken() from None


def subscriptions_of(connection: Connection, user: UserId) -> tuple[Subscription, ...]:
    """What is stored of the user's subscriptions, oldest first."""
    return tuple(
        Subscription(
            id=row.id,
            status=row.status,
            prices=tuple(row.prices),
            created_at=row.created_at,
            period_end=row.period_end,
            cancel_at=row.cancel_at,
            cancel_at_period_end=row.cancel_at_period_end,
            sold_as=row.sold_as,
        )
        for row in connection.execute(SUBSCRIPTIONS_OF, {"user": user})
    )


def grant_of(row: Row[Any]) -> Grant:
    """A row of `billing_grants`."""
    return Grant(
        id=GrantId(row.id),
        user_id=UserId(row.user_id),
        until=row.until,
        reason=row.reason,
        by=row.granted_by,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def checkout_of(row: Row[Any]) -> Checkout:
    """A row of `billing_checkouts`."""
    return Checkout(
        id=CheckoutId(row.id),
        user_id=UserId(row.user_id),
        offer=Offer(**row.offer),
        created_at=row.created_at,
        session_id=row.session_id,
        url=row.url,
        expires_at=row.expires_at,
    )


def event_of(row: Row[Any]) -> EventRecord:
    """A row of `billing_events`."""
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


def raise_flag(connection: Connection, user: UserId, concern: Concern, about: str, now: datetime) -> None:
    """Something for the operator; raised once."""
    connection.execute(RAISE_FLAG, {"user": user, "concern": concern.value, "about": about, "now": now})
