"""What billing needs of the world."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from gemini_core.model.billing.checkouts import Awaiting, Begun, Checkout, CheckoutId, Customer, Session, SessionState
from gemini_core.model.billing.events import EventRecord, EventState, Hint, Received, Subject, Sync
from gemini_core.model.billing.records import BillingFilter, BillingRecord
from gemini_core.model.billing.subscriptions import Cancellation, Grant, GrantId, Standing, Subscription, Terms
from gemini_core.model.events import NOBODY, Audience
from gemini_core.model.ids import JobId, UserId
from gemini_core.model.requests import Once, Page


class PaymentGateway(Protocol):
    """Whoever takes the money. Every call ends within 12 seconds, whatever the other side does.

    All raise `Unavailable`: code `payments-unavailable` where asking again may help, `payments-misconfigured` where an
    operator must act (a wrong key, an unknown price). Customers that the gateway does not have are `NotFound`
    (`unknown-customer`).
    """

    def as_one_call(self) -> AbstractContextManager[None]:
        """Whatever this thread asks inside ends within the 12 seconds of one call: for who waits for all of it."""
        ...

    def open_checkout(self, checkout: Checkout, customer: Customer) -> Session:
        """The page where the user pays. The same checkout always gets the same session, also at the same instant.

        A customer without an id is made: one per user and generation, however often this is called.
        """
        ...

    def session_state(self, session_id: str) -> SessionState:
        """What became of a session. One that the gateway does not know counts as `OPEN` until it expires by itself.

        Where the customer was deleted nobody can pay any more: it has expired.
        """
        ...

    def bought(self, session_id: str) -> Subscription | None:
        """What a session that is complete has led to, as it is now, also before `subscriptions` shows it."""
        ...

    def close_checkouts(self, customer_id: str) -> None:
        """Nobody can pay any more on a page that was opened for this customer. What was paid already stays."""
        ...

    def forget_person(self, customer_id: str) -> None:
        """The account is gone: the gateway keeps what was paid, and no address of whoever paid. Repeatable."""
        ...

    def subscriptions(self, customer_id: str) -> Sequence[Subscription]:
        """All that this customer has or had, whatever their status."""
        ...

    def cancel(self, subscription_id: str, when: Cancellation) -> None:
        """Plan, carry out or take back a cancellation. One that has ended already stays so, without complaint."""
        ...

    def portal(self, customer_id: str, return_url: str) -> str:
        """The page where the customer manages everything. Raises `Conflict` (`no-portal`) if there is none."""
        ...


class Approvals(Protocol):
    """Where nobody takes the money but the operator. Raises `Unavailable` while the store is away.

    Neither `preview` nor `approve` of what was approved and has ended: `Conflict` (`subscription-ended`).
    """

    def waiting(self) -> Sequence[Awaiting]:
        """Checkouts that wait for an approval, oldest first."""
        ...

    def preview(self, session_id: str) -> tuple[UserId, Subscription]:
        """Whose it is, and what they would have by an approval now; nothing is changed. Raises `NotFound`."""
        ...

    def approve(self, session_id: str, *, operator: str) -> UserId:
        """The operator has the money; answers whose. It is in the audit log at once. Raises `NotFound`."""
        ...


class GatewayEvents(Protocol):
    """What the gateway tells by itself. Failures as in `PaymentGateway`."""

    def verify(self, body: bytes, signature: str | None, now: datetime) -> Hint:
        """Check the signature over the raw bytes and the time within them; only then read.

        Raises `Refused` (`invalid-signature`) for anything that the gateway did not send within the last 5 minutes,
        or that cannot be read; `Unavailable` (`webhooks-not-configured`) where there is no secret to check with.
        """
        ...

    def since(self, moment: datetime) -> Iterator[Hint]:
        """What happened at or after a moment of the gateway's time, oldest first, as far back as it remembers."""
        ...

    def customer_of(self, subject: Subject) -> str | None:
        """Whom something at the gateway is about; None if it is about nobody or not there."""
        ...


class CheckoutRepo(Protocol):
    """Attempts to buy. Every method is one transaction; all raise `Unavailable` while the store is away."""

    def begin(self, draft: Checkout, terms: Terms, *, now: datetime, once: Once | None) -> Begun:
        """The user's open checkout: the one that is there, else the draft. Of parallel callers all get the same one.

        An open checkout that has expired, or is a day old without an answer, makes way for the draft. A key that was
        used before gets its checkout again (`replayed`).
        Raises `AlreadySubscribed` (on pro, or something is alive at the gateway), `NotFound` (no such user),
        `Invalid` (`idempotency-key-reused`).
        """
        ...

    def opened(self, checkout: Checkout, session: Session, *, now: datetime, once: Once | None) -> Begun:
        """The gateway has answered: store the page, the customer's id, and what the key stands for.

        Answers what was stored first. Raises `Invalid` (`idempotency-key-reused`), `NotFound` (no such user any more),
        `Conflict` (the user was linked to another customer meanwhile): then nobody is shown the page. Of a user who is
        gone the customer is kept on the tombstone, and a look at it is promised, which ends all that was opened.
        """
        ...

    def close(self, checkout_id: CheckoutId) -> None:
        """The attempt is over, well or badly."""
        ...

    def customer(self, user: UserId) -> Customer:
        """Who the user is to the gateway; without an id where they never were there. Raises `NotFound`."""
        ...

    def forget_customer(self, customer: Customer) -> None:
        """The gateway deleted this customer: the next checkout makes another one, of the next generation."""
        ...


class SubscriptionRepo(Protocol):
    """What the gateway told about each customer, and the plan that follows. The only place that writes a plan.

    Every method is one transaction, and an operator's act is in the audit log by the same one or not done at all
    (`model.billing.acts`). Where the user's status changes, the `audience` is promised to be told by the same one too;
    not of an account that is closed. All raise `Unavailable` while the store is away.
    """

    def begin_sync(self, user: UserId, *, now: datetime) -> Sync | None:
        """Take the customer's next number, before the gateway is asked. None: the user was never a customer.

        Events of the customer that were received by now will be done when this sync, or a later one, is applied.
        """
        ...

    def apply(
        self,
        sync: Sync,
        subscriptions: Sequence[Subscription],
        terms: Terms,
        *,
        now: datetime,
        audience: Audience = NOBODY,
    ) -> Standing | None:
        """Write the customer's whole state, and the plan it gives; all but the newest look is dropped (None).

        More than one alive subscription raises a flag, and so does one that is new to a tombstone. A checkout whose
        purpose is fulfilled is closed.
        """
        ...

    def grant(self, grant: Grant, terms: Terms, *, now: datetime, audience: Audience = NOBODY) -> Standing:
        """Store a grant, and the plan it gives. Raises `NotFound` for no such user."""
        ...

    def revoke(
        self, user: UserId, terms: Terms, *, operator: str, now: datetime, audience: Audience = NOBODY
    ) -> Sequence[GrantId]:
        """End every grant of the user in force, and write the plan that is left. Raises `NotFound` for no such user."""
        ...

    def bury(self, user: UserId, *, now: datetime) -> None:
        """The account goes: its customer stays as a tombstone, so that late events find it. Repeatable."""
        ...


class BillingEvents(Protocol):
    """Events from the gateway, each known once. Every method is one transaction; all raise `Unavailable`."""

    def receive(self, hint: Hint, *, now: datetime, promise: bool = True, request_id: str = "") -> Received:
        """Store the event unless it is known, and promise to look at its customer; many events, few looks.

        An event that is known but not done is promised anew. Events that do not matter, or whose customer is not ours,
        are `IGNORED`. Without `promise` the caller looks by itself.
        """
        ...

    def resolve(self, event_id: str, customer_id: str | None, *, now: datetime) -> JobId | None:
        """It is known now whom the event is about: promise to look at them; None: nobody of ours, it is ignored."""
        ...

    def request_sync(self, user: UserId, *, now: datetime, request_id: str = "") -> JobId | None:
        """Promise to look at a customer soon; None: the user was never a customer."""
        ...

    def show(self, event_id: str) -> EventRecord:
        """One event. Raises `NotFound`."""
        ...

    def list_events(
        self, *, state: EventState | None, user: UserId | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[EventRecord]:
        """Events, latest received first. `after`: `Page.next` of the page before."""
        ...


class BillingRecords(Protocol):
    """What is stored, to look at, and what operators set right: in the audit log by the same transaction.

    Raises `Unavailable` while the store is away.
    """

    def record(self, user: UserId) -> BillingRecord:
        """All about one user, or about the tombstone of one who is gone. Raises `NotFound`."""
        ...

    def list_records(self, which: BillingFilter, *, limit: int, after: tuple[str, ...] | None) -> Page[BillingRecord]:
        """Users who are or were customers, or have a grant, oldest first. `after`: `Page.next` of the page before."""
        ...

    def owner(self, customer_id: str) -> UserId | None:
        """Whose customer this is, also when they are gone; None: nobody's."""
        ...

    def link(self, user: UserId, customer_id: str, *, operator: str, now: datetime) -> None:
        """The user is that customer, and an attempt to buy as another one is over.

        Raises `NotFound` (no such user), `Conflict` (either belongs to another).
        """
        ...

    def clear_flags(self, user: UserId, *, operator: str, now: datetime) -> int:
        """The operator has looked. Answers how many flags there were."""
        ...


class Reconciliation(Protocol):
    """What may have been missed. Raises `Unavailable` while the store is away."""

    def overdue(self, *, looked_before: datetime, now: datetime, limit: int) -> Sequence[UserId]:
        """Customers worth a look: not looked at since `looked_before`, or with an event of theirs not done, or with an
        alive subscription whose period has ended since the last look. Those looked at longest ago come first.
        """
        ...

    def cursor(self) -> datetime | None:
        """Up to which moment of the gateway's time its events have been read; None: never."""
        ...

    def move_cursor(self, moment: datetime) -> None:
        """They have been read up to here. Never moves back."""
        ...
