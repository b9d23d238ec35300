"""Attempts to buy."""

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, bindparam, insert, select, text, update

from adapters.persistence.billing.events import promise_look_at
from adapters.persistence.billing.rows import (
    LOCK_USER,
    checkout_of,
    customer_of,
    subscriptions_of,
    told_of_customer,
)
from adapters.persistence.engine import statement, transaction
from adapters.persistence.once import first_outcome, take_key
from adapters.persistence.tables import billing_checkouts
from gemini_core.model.billing.checkouts import AlreadySubscribed, Begun, Checkout, CheckoutId, Customer, Session
from gemini_core.model.billing.records import customer_taken
from gemini_core.model.billing.subscriptions import Terms
from gemini_core.model.ids import UserId
from gemini_core.model.requests import Once, no_user

ENSURE_CUSTOMER = text(
    "INSERT INTO billing_customers (user_id, created_at) VALUES (:user, :now) ON CONFLICT (user_id) DO NOTHING"
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
                raise no_user()
            customer = customer_of(connection, user)
            if (first := _first(connection, user, once, now)) is not None:
                return Begun(checkout=first, customer=customer, replayed=True)
            if owner.plan != "basic" or any(each.is_alive(terms) for each in subscriptions_of(connection, user)):
                raise AlreadySubscribed
            row = connection.execute(OPEN_CHECKOUT, {"user": user}).one_or_none()
            found = checkout_of(row) if row else None
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
            known = told_of_customer(connection, KNOW_CUSTOMER, user=user, customer=session.customer_id)
            if known != session.customer_id:
                raise customer_taken()
            if connection.execute(LOCK_USER, {"user": user, "now": now}).one_or_none() is not None:
                return _opened(connection, checkout, session, now=now, once=once)
            # What was opened is known from here on, although the user is not.
            promise_look_at(connection, user, now)
        raise no_user()

    def close(self, checkout_id: CheckoutId) -> None:
        with statement(self.engine) as connection:
            connection.execute(CLOSE_CHECKOUT, {"checkout": checkout_id})

    def customer(self, user: UserId) -> Customer:
        with statement(self.engine) as connection:
            return customer_of(connection, user)

    def forget_customer(self, customer: Customer) -> None:
        with statement(self.engine) as connection:
            connection.execute(FORGET_CUSTOMER, {"user": customer.user_id, "generation": customer.generation})


def _opened(connection: Connection, checkout: Checkout, session: Session, *, now: datetime, once: Once | None) -> Begun:
    """Store the page, and what the key stands for; the user's row is locked."""
    user = checkout.user_id
    stored = {"session": session.id, "url": session.url, "expires_at": session.expires_at}
    connection.execute(STORE_SESSION, {"checkout": checkout.id, **stored})
    replayed = once is not None and not take_key(connection, user, once, {"checkout": str(checkout.id)}, now)
    first = _first(connection, user, once, now) if replayed else None
    kept = first or checkout_of(connection.execute(ONE_CHECKOUT, {"checkout": checkout.id}).one())
    return Begun(checkout=kept, customer=customer_of(connection, user), replayed=replayed)


def _first(connection: Connection, user: UserId, once: Once | None, now: datetime) -> Checkout | None:
    """What this key stands for. Raises `Invalid` if that is another request."""
    if once is None:
        return None
    outcome = first_outcome(connection, user, once, now)
    if outcome is None:
        return None
    return checkout_of(connection.execute(ONE_CHECKOUT, {"checkout": UUID(outcome["checkout"])}).one())
