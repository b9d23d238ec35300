"""Buying pro, hearing from the gateway, and keeping what is stored true to what the gateway says."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from gemini_core.errors import Conflict, Failure, NotFound, Unavailable
from gemini_core.model.accounts import AuditEvent
from gemini_core.model.billing import (
    ALIVE,
    AlreadySubscribed,
    Awaiting,
    Begun,
    BillingRecord,
    Cancellation,
    Checkout,
    CheckoutId,
    EventState,
    Grant,
    GrantId,
    Offer,
    Received,
    Session,
    SessionState,
    Standing,
    Subscription,
    SubscriptionStatus,
    Sync,
    Terms,
)
from gemini_core.model.ids import UserId, uuid7
from gemini_core.model.requests import Once
from gemini_core.ports.accounts import AuditLog
from gemini_core.ports.billing import (
    Approvals,
    BillingEvents,
    BillingLedger,
    CheckoutRepo,
    GatewayEvents,
    PaymentGateway,
    Reconciliation,
    SubscriptionRepo,
)
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue

CALLS_IN_FLIGHT = 5
BATCH = 100
# A gateway may show an event some time after it happened.
LATE = timedelta(minutes=5)
REMEMBERED = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class SyncCustomer:
    """Look at the customer's whole state at the gateway and write that; a look that began earlier never wins.

    For an account that is gone, whatever is alive at the gateway is ended.
    """

    store: SubscriptionRepo
    gateway: PaymentGateway
    terms: Terms
    clock: Clock

    def __call__(self, user: UserId) -> Standing | None:
        """The plan that follows; None for a user who was never a customer, or if a later look came first."""
        now = self.clock.now()
        sync = self.store.begin_sync(user, now=now)
        return None if sync is None else self.store.apply(sync, self._look(sync), self.terms, now=now)

    def _look(self, sync: Sync) -> Sequence[Subscription]:
        try:
            found = self.gateway.subscriptions(sync.customer_id)
            if sync.buried and (alive := [each for each in found if each.status in ALIVE]):
                for each in alive:
                    self.gateway.cancel(each.id, Cancellation.NOW)
                found = self.gateway.subscriptions(sync.customer_id)
        except NotFound:  # deleted at the gateway, and everything with it
            return ()
        return found


@dataclass(frozen=True, slots=True)
class SubscribePro:
    """A basic user gets one checkout page at a time; who has a subscription is led to the portal instead."""

    checkouts: CheckoutRepo
    gateway: PaymentGateway
    sync: SyncCustomer
    offer: Offer
    clock: Clock

    def __call__(self, user: UserId, *, once: Once | None = None) -> Begun:
        """Raises `AlreadySubscribed`, `Unavailable`, `Invalid` (`idempotency-key-reused`)."""
        now = self.clock.now()
        draft = Checkout(id=CheckoutId(uuid7(now)), user_id=user, offer=self.offer, created_at=now)
        try:
            begun = self.checkouts.begin(draft, self.sync.terms, now=now, once=once)
            if begun.replayed:
                return begun
            if self._is_over(begun.checkout):
                begun = self.checkouts.begin(draft, self.sync.terms, now=now, once=once)
        except AlreadySubscribed:
            raise AlreadySubscribed(portal_url=self._portal(user)) from None
        return self.checkouts.opened(begun.checkout, self._session(begun), now=now, once=once)

    def _is_over(self, checkout: Checkout) -> bool:
        """A page that was paid, or has expired, is not shown again: only the gateway knows."""
        if checkout.session_id is None:
            return False
        state = self.gateway.session_state(checkout.session_id)
        if state is SessionState.OPEN:
            return False
        if state is SessionState.COMPLETE:
            self.sync(checkout.user_id)
        self.checkouts.close(checkout.id)
        return True

    def _session(self, begun: Begun) -> Session:
        checkout, customer = begun.checkout, begun.customer
        if checkout.session_id and checkout.url and customer.id:
            return Session(
                customer_id=customer.id, id=checkout.session_id, url=checkout.url, expires_at=checkout.expires_at
            )
        try:
            return self.gateway.open_checkout(checkout, customer)
        except NotFound:
            self.checkouts.forget_customer(customer)
            return self.gateway.open_checkout(checkout, self.checkouts.customer(checkout.user_id))

    def _portal(self, user: UserId) -> str | None:
        customer = self.checkouts.customer(user)
        try:
            return self.gateway.portal(customer.id, self.offer.return_url) if customer.id else None
        except Failure:
            return None


@dataclass(frozen=True, slots=True)
class GetSubscription:
    """The plan in force, what it rests on, and how long it lasts."""

    ledger: BillingLedger
    terms: Terms
    clock: Clock

    def __call__(self, user: UserId) -> SubscriptionStatus:
        """Raises `NotFound`."""
        return self.ledger.record(user).status(self.clock.now(), self.terms)


@dataclass(frozen=True, slots=True)
class ChangeCancellation:
    """A subscription ends with the period that is paid, or goes on after all; an operator may end it at once."""

    ledger: BillingLedger
    gateway: PaymentGateway
    sync: SyncCustomer
    audit: AuditLog
    clock: Clock

    def __call__(self, user: UserId, when: Cancellation, *, by: str | None = None) -> SubscriptionStatus:
        """`by`: the operator, if it is not the user. Raises `Conflict` (`no-subscription`), `Unavailable`."""
        now = self.clock.now()
        for subscription in self.alive(user):
            self.gateway.cancel(subscription.id, when)
            detail = {"subscription": subscription.id, "when": when.value}
            self.audit.note(AuditEvent(event="subscription.changed", at=now, user_id=user, operator=by, detail=detail))
        self.sync(user)
        return self.ledger.record(user).status(now, self.sync.terms)

    def alive(self, user: UserId) -> Sequence[Subscription]:
        """What can be cancelled. If nothing is known, the gateway is asked first."""
        terms = self.sync.terms
        found = [each for each in self.ledger.record(user).subscriptions if each.is_alive(terms)]
        if not found:
            self.sync(user)
            found = [each for each in self.ledger.record(user).subscriptions if each.is_alive(terms)]
        if not found:
            raise Conflict("There is no subscription to change.", code="no-subscription")
        return found


@dataclass(frozen=True, slots=True)
class OpenPortal:
    """A customer manages payment and subscription on the gateway's own page."""

    checkouts: CheckoutRepo
    gateway: PaymentGateway
    offer: Offer

    def __call__(self, user: UserId) -> str:
        """The page's URL. Raises `Conflict` (`no-subscription`, `no-portal`), `Unavailable`."""
        customer = self.checkouts.customer(user)
        nothing = Conflict("There is no subscription to manage.", code="no-subscription")
        if customer.id is None:
            raise nothing
        try:
            return self.gateway.portal(customer.id, self.offer.return_url)
        except NotFound:
            raise nothing from None


@dataclass(frozen=True, slots=True)
class ReceiveWebhook:
    """What the gateway sends is verified, noted, and answered at once; looking there is a job."""

    gateway: GatewayEvents
    events: BillingEvents
    queue: JobQueue
    clock: Clock

    def __call__(self, body: bytes, signature: str | None, *, request_id: str = "") -> Received:
        """Raises `Refused` (`invalid-signature`), `Unavailable`."""
        now = self.clock.now()
        received = self.events.receive(self.gateway.verify(body, signature, now), now=now, request_id=request_id)
        if received.job is not None:
            self.queue.nudge(received.job)
        return received


@dataclass(frozen=True, slots=True)
class RequestSync:
    """A customer who comes back from paying is looked at soon. It grants nothing: only the gateway's word does."""

    events: BillingEvents
    queue: JobQueue
    clock: Clock

    def __call__(self, user: UserId, *, request_id: str = "") -> None:
        """Nothing happens for a user who was never a customer."""
        job = self.events.request_sync(user, now=self.clock.now(), request_id=request_id)
        if job is not None:
            self.queue.nudge(job)


@dataclass(frozen=True, slots=True)
class ResolveEvent:
    """An event that names no customer, such as a dispute, is followed to the customer it is about."""

    gateway: GatewayEvents
    events: BillingEvents
    queue: JobQueue
    clock: Clock

    def __call__(self, event_id: str) -> None:
        """May be done again. Raises `Unavailable`."""
        event = self.events.show(event_id)
        if event.state is not EventState.RECEIVED:
            return
        customer = self.gateway.customer_of(event.subject) if event.subject else None
        job = self.events.resolve(event.id, customer, now=self.clock.now())
        if job is not None:
            self.queue.nudge(job)


def _in_silence(_so_far: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a pass over what may have been missed has found. `failed`: looks that the gateway did not answer."""

    events: int
    looked_at: int
    failed: int


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Lost webhooks heal: read the gateway's own list of events, then look at every customer that needs it."""

    store: Reconciliation
    events: BillingEvents
    gateway: GatewayEvents
    sync: SyncCustomer
    clock: Clock

    def __call__(self, *, everybody: bool = False, progress: Callable[[int], None] = _in_silence) -> Reconciled:
        """`everybody`: look at all customers. `progress` is told how many so far.

        Raises `Unavailable` if the list of events cannot be read.
        """
        now = self.clock.now()
        heard = self._hear(now)
        looked_before = now if everybody else now - timedelta(days=2)
        done: set[UserId] = set()
        failed = 0
        with ThreadPoolExecutor(CALLS_IN_FLIGHT, thread_name_prefix="reconcile") as pool:
            while batch := set(self.store.overdue(looked_before=looked_before, now=now, limit=BATCH)) - done:
                failed += list(pool.map(self._look, batch)).count(False)
                done |= batch
                progress(len(done))
        return Reconciled(events=heard, looked_at=len(done), failed=failed)

    def _hear(self, now: datetime) -> int:
        """Note every event since the last time; those that name no customer are followed up."""
        heard = 0
        newest = since = self.store.cursor() or now - REMEMBERED
        for hint in self.gateway.since(since - LATE):
            received = self.events.receive(hint, now=now, promise=False)
            if received.state is EventState.RECEIVED:
                heard += 1
                if hint.customer_id is None and hint.subject is not None:
                    self.events.resolve(hint.event_id, self.gateway.customer_of(hint.subject), now=now)
            newest = max(newest, hint.happened_at)
        self.store.move_cursor(newest)
        return heard

    def _look(self, user: UserId) -> bool:
        try:
            self.sync(user)
        except Unavailable:
            return False
        return True


@dataclass(frozen=True, slots=True)
class GrantPro:
    """An operator gives a user pro, for a time or for ever, whatever the gateway says."""

    store: SubscriptionRepo
    audit: AuditLog
    terms: Terms
    clock: Clock

    def __call__(self, user: UserId, *, until: datetime | None, reason: str, by: str) -> Standing:
        """Raises `NotFound`, `Conflict` (`grant-in-the-past`)."""
        now = self.clock.now()
        if until is not None and until <= now:
            raise Conflict("A grant cannot end in the past.", code="grant-in-the-past")
        grant = Grant(id=GrantId(uuid7(now)), user_id=user, until=until, reason=reason, by=by, created_at=now)
        standing = self.store.grant(grant, self.terms, now=now)
        detail = {"until": until.isoformat() if until else None, "reason": reason}
        self.audit.note(AuditEvent(event="subscription.granted", at=now, user_id=user, operator=by, detail=detail))
        return standing


@dataclass(frozen=True, slots=True)
class RevokeGrants:
    """An operator takes back what operators gave; a paid subscription stays."""

    store: SubscriptionRepo
    audit: AuditLog
    terms: Terms
    clock: Clock

    def __call__(self, user: UserId, *, by: str) -> Sequence[GrantId]:
        """The grants that ended. Raises `NotFound`."""
        now = self.clock.now()
        ended = self.store.revoke(user, self.terms, now=now)
        detail = {"grants": [str(grant) for grant in ended]}
        self.audit.note(AuditEvent(event="subscription.revoked", at=now, user_id=user, operator=by, detail=detail))
        return ended


@dataclass(frozen=True, slots=True)
class LinkCustomer:
    """An operator says which of the gateway's customers a user is, and that customer is looked at."""

    ledger: BillingLedger
    sync: SyncCustomer
    audit: AuditLog
    clock: Clock

    def __call__(self, user: UserId, customer_id: str, *, by: str) -> BillingRecord:
        """Raises `NotFound` (user or customer), `Conflict` (`customer-taken`), `Unavailable`."""
        now = self.clock.now()
        self.sync.gateway.subscriptions(customer_id)
        self.ledger.link(user, customer_id, now=now)
        detail = {"customer": customer_id}
        self.audit.note(AuditEvent(event="subscription.linked", at=now, user_id=user, operator=by, detail=detail))
        self.sync(user)
        return self.ledger.record(user)


@dataclass(frozen=True, slots=True)
class ApproveCheckout:
    """Where no vendor takes the money, an operator who has it says so, and the user is on pro."""

    approvals: Approvals | None
    sync: SyncCustomer
    audit: AuditLog
    clock: Clock

    def __call__(self, session_id: str, *, by: str) -> UserId:
        """Whose checkout it was. Raises `NotFound`, `Conflict` (`no-approvals`)."""
        user = self._approvals().approve(session_id)
        now, detail = self.clock.now(), {"session": session_id}
        self.audit.note(AuditEvent(event="subscription.approved", at=now, user_id=user, operator=by, detail=detail))
        self.sync(user)
        return user

    def waiting(self) -> Sequence[Awaiting]:
        """What waits for an approval, oldest first. Raises `Conflict` (`no-approvals`)."""
        return self._approvals().waiting()

    def _approvals(self) -> Approvals:
        if self.approvals is None:
            raise Conflict("The payment provider approves by itself.", code="no-approvals")
        return self.approvals


@dataclass(frozen=True, slots=True)
class EndBilling:
    """Before an account is erased nothing of it may go on at the gateway; a tombstone stays for late events."""

    store: SubscriptionRepo
    sync: SyncCustomer
    clock: Clock

    def __call__(self, user: UserId) -> None:
        """Repeatable. Raises `Unavailable`: then the account must not be erased yet."""
        self.store.bury(user, now=self.clock.now())
        self.sync(user)
