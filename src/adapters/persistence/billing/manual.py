"""Selling without a vendor: a checkout waits until an operator approves it. All state is in our own database."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Row, bindparam, delete, select, text

from adapters.persistence.accounts.audit import add_note
from adapters.persistence.engine import statement, transaction
from adapters.persistence.tables import manual_subscriptions
from gemini_core.errors import Conflict, NotFound, Unavailable
from gemini_core.model.billing.acts import approved
from gemini_core.model.billing.checkouts import Awaiting, Checkout, Customer, Session, SessionState
from gemini_core.model.billing.events import Hint, Subject
from gemini_core.model.billing.subscriptions import Cancellation, Subscription
from gemini_core.model.ids import UserId
from gemini_core.ports.clock import Clock

PERIOD = timedelta(days=30)
WAITS = timedelta(days=30)
CUSTOMER = "manual-"

ASK = text(
    """
    INSERT INTO manual_subscriptions (id, customer_id, price, asked_at) VALUES (:id, :customer, :price, :now)
    ON CONFLICT (id) DO UPDATE SET price = manual_subscriptions.price RETURNING asked_at
    """
)
ONE = select(manual_subscriptions).where(manual_subscriptions.c.id == bindparam("subscription"))
APPROVED_OF = select(manual_subscriptions).where(
    manual_subscriptions.c.customer_id == bindparam("customer"), manual_subscriptions.c.approved_at.is_not(None)
)
WAITING = (
    select(manual_subscriptions)
    .where(manual_subscriptions.c.approved_at.is_(None))
    .order_by(manual_subscriptions.c.asked_at)
)
APPROVE = text(
    """
    UPDATE manual_subscriptions SET approved_at = coalesce(approved_at, :now) WHERE id = :id
    RETURNING customer_id, ends_at
    """
)
ONE_APPROVED = text(
    """
    SELECT id, customer_id, price, ends_at, coalesce(approved_at, :now) AS approved_at
    FROM manual_subscriptions WHERE id = :id
    """
)
WITHDRAW = delete(manual_subscriptions).where(
    manual_subscriptions.c.customer_id == bindparam("customer"), manual_subscriptions.c.approved_at.is_(None)
)
PLAN_END = text(
    """
    UPDATE manual_subscriptions SET ends_at = :ends_at
    WHERE id = :id AND (ends_at IS NULL OR ends_at > :now)
    """
)


@dataclass(frozen=True, slots=True)
class ManualGateway:
    """`PaymentGateway`, `Approvals` and `GatewayEvents` without a vendor.

    Periods of 30 days follow each other from the approval on.
    """

    engine: Engine
    clock: Clock

    def as_one_call(self) -> AbstractContextManager[None]:
        return nullcontext()

    def open_checkout(self, checkout: Checkout, customer: Customer) -> Session:
        customer_id = customer.id or f"{CUSTOMER}{customer.user_id}"
        session_id = f"manual-{checkout.id}"
        values = {"id": session_id, "customer": customer_id, "price": checkout.offer.price, "now": self.clock.now()}
        with statement(self.engine) as connection:
            asked_at: datetime = connection.execute(ASK, values).scalar_one()
        page = checkout.offer.success_url.replace("{CHECKOUT_SESSION_ID}", session_id)
        return Session(customer_id=customer_id, id=session_id, url=page, expires_at=asked_at + WAITS)

    def session_state(self, session_id: str) -> SessionState:
        row = self._find(session_id)
        return SessionState.COMPLETE if row is not None and row.approved_at is not None else SessionState.OPEN

    def bought(self, session_id: str) -> Subscription | None:
        row = self._find(session_id)
        return _subscription(row, self.clock.now()) if row is not None and row.approved_at is not None else None

    def close_checkouts(self, customer_id: str) -> None:
        with statement(self.engine) as connection:
            connection.execute(WITHDRAW, {"customer": customer_id})

    def forget_person(self, customer_id: str) -> None:
        """No address is kept here."""

    def subscriptions(self, customer_id: str) -> Sequence[Subscription]:
        if not customer_id.startswith(CUSTOMER):
            raise NotFound("There is no such customer.", code="unknown-customer")
        now = self.clock.now()
        with statement(self.engine) as connection:
            return [_subscription(row, now) for row in connection.execute(APPROVED_OF, {"customer": customer_id})]

    def cancel(self, subscription_id: str, when: Cancellation) -> None:
        now = self.clock.now()
        row = self._find(subscription_id)
        if row is None or row.approved_at is None:
            return
        ends_at = {
            Cancellation.NOW: now,
            Cancellation.AT_PERIOD_END: _period_end(row, now),
            Cancellation.NOT_AT_ALL: None,
        }[when]
        with statement(self.engine) as connection:
            connection.execute(PLAN_END, {"id": subscription_id, "ends_at": ends_at, "now": now})

    def portal(self, customer_id: str, return_url: str) -> str:
        raise Conflict("There is no page to manage a subscription; ask the operator.", code="no-portal")

    def waiting(self) -> Sequence[Awaiting]:
        with statement(self.engine) as connection:
            return [Awaiting(row.id, _user_of(row.customer_id), row.asked_at) for row in connection.execute(WAITING)]

    def preview(self, session_id: str) -> tuple[UserId, Subscription]:
        now = self.clock.now()
        with statement(self.engine) as connection:
            row = _approvable(connection.execute(ONE_APPROVED, {"id": session_id, "now": now}).one_or_none(), now)
        return _user_of(row.customer_id), _subscription(row, now)

    def approve(self, session_id: str, *, operator: str) -> UserId:
        now = self.clock.now()
        with transaction(self.engine) as connection:
            row = _approvable(connection.execute(APPROVE, {"id": session_id, "now": now}).one_or_none(), now)
            user = _user_of(row.customer_id)
            add_note(connection, approved(user, session_id, operator=operator, now=now))
        return user

    def verify(self, body: bytes, signature: str | None, now: datetime) -> Hint:
        raise Unavailable("Nobody sends webhooks here.", retry_after=300, code="webhooks-not-configured")

    def since(self, moment: datetime) -> Iterator[Hint]:
        return iter(())

    def customer_of(self, subject: Subject) -> str | None:
        row = self._find(subject.id)
        return None if row is None else str(row.customer_id)

    def _find(self, subscription_id: str) -> Row[Any] | None:
        with statement(self.engine) as connection:
            return connection.execute(ONE, {"subscription": subscription_id}).one_or_none()


def _approvable(row: Row[Any] | None, now: datetime) -> Row[Any]:
    """What an approval is for. Raises `NotFound`, `Conflict`."""
    if row is None:
        raise NotFound("There is no such checkout.")
    if _has_ended(row, now):
        raise Conflict("What was approved here has ended; it takes another checkout.", code="subscription-ended")
    return row


def _user_of(customer_id: str) -> UserId:
    return UserId(UUID(customer_id.removeprefix(CUSTOMER)))


def _subscription(row: Row[Any], now: datetime) -> Subscription:
    ended = _has_ended(row, now)
    return Subscription(
        id=row.id,
        status="canceled" if ended else "active",
        prices=(row.price,),
        created_at=row.approved_at,
        period_end=row.ends_at if ended else _period_end(row, now),
        cancel_at=row.ends_at,
        sold_as=row.price,
    )


def _has_ended(row: Row[Any], now: datetime) -> bool:
    return row.ends_at is not None and bool(row.ends_at <= now)


def _period_end(row: Row[Any], now: datetime) -> datetime:
    begun = (now - row.approved_at) // PERIOD + 1
    end: datetime = row.approved_at + begun * PERIOD
    return end
