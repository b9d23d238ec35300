"""What operators do about plans and customers. Each act is in the audit log by the transaction that stores it.

`foresee` tells what an act would lead to, and raises what the act would; nothing is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gemini_core.errors import Conflict, Invalid
from gemini_core.model.billing.checkouts import Awaiting
from gemini_core.model.billing.records import BillingRecord, customer_taken
from gemini_core.model.billing.subscriptions import Grant, GrantId, Standing, SubscriptionStatus, Terms
from gemini_core.model.events import NOBODY, Audience
from gemini_core.model.ids import UserId, uuid7
from gemini_core.model.requests import no_user
from gemini_core.ports.billing import Approvals, BillingRecords, PaymentGateway, SubscriptionRepo
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.billing.syncing import SyncCustomer


@dataclass(frozen=True, slots=True)
class GrantPro:
    """An operator gives a user pro, for a time or for ever, whatever the gateway says."""

    store: SubscriptionRepo
    records: BillingRecords
    terms: Terms
    clock: Clock
    audience: Audience = NOBODY

    def __call__(self, user: UserId, *, until: datetime | None, reason: str, operator: str) -> Standing:
        """Raises `NotFound`, `Invalid` (no reason), `Conflict` (`grant-in-the-past`)."""
        now = self.clock.now()
        return self.store.grant(_grant(user, until, reason, operator, now), self.terms, now=now, audience=self.audience)

    def foresee(self, user: UserId, *, until: datetime | None, reason: str, operator: str) -> SubscriptionStatus:
        """What the status would be."""
        now = self.clock.now()
        record = _there(self.records, user)
        grants = (*record.grants, _grant(user, until, reason, operator, now))
        return replace(record, grants=grants).status(now, self.terms)


def _there(records: BillingRecords, user: UserId) -> BillingRecord:
    """All about a user whose account is there. Raises `NotFound`."""
    record = records.record(user)
    if record.gone:
        raise no_user()
    return record


def _grant(user: UserId, until: datetime | None, reason: str, operator: str, now: datetime) -> Grant:
    if not reason.strip():
        raise Invalid.field("reason", "must not be blank", "too_short")
    if until is not None and until <= now:
        raise Conflict("A grant cannot end in the past.", code="grant-in-the-past")
    return Grant(id=GrantId(uuid7(now)), user_id=user, until=until, reason=reason, by=operator, created_at=now)


@dataclass(frozen=True, slots=True)
class RevokeGrants:
    """An operator takes back what operators gave; a paid subscription stays."""

    store: SubscriptionRepo
    records: BillingRecords
    terms: Terms
    clock: Clock
    audience: Audience = NOBODY

    def __call__(self, user: UserId, *, operator: str) -> Sequence[GrantId]:
        """The grants that ended. Raises `NotFound`."""
        return self.store.revoke(user, self.terms, operator=operator, now=self.clock.now(), audience=self.audience)

    def foresee(self, user: UserId) -> SubscriptionStatus:
        """What the status would be."""
        now = self.clock.now()
        record = _there(self.records, user)
        return replace(record, grants=tuple(grant.revoked(now) for grant in record.grants)).status(now, self.terms)


@dataclass(frozen=True, slots=True)
class LinkCustomer:
    """An operator says which of the gateway's customers a user is, and that customer is looked at."""

    records: BillingRecords
    gateway: PaymentGateway
    sync: SyncCustomer
    clock: Clock

    def __call__(self, user: UserId, customer_id: str, *, operator: str) -> BillingRecord:
        """Raises `NotFound` (user or customer), `Conflict` (`customer-taken`), `Unavailable`."""
        self.gateway.subscriptions(customer_id)
        self.records.link(user, customer_id, operator=operator, now=self.clock.now())
        self.sync(user)
        return self.records.record(user)

    def foresee(self, user: UserId, customer_id: str) -> SubscriptionStatus:
        """What the status would be."""
        record = _there(self.records, user)
        found = tuple(self.gateway.subscriptions(customer_id))
        owner = self.records.owner(customer_id)
        if owner not in (None, user) or record.customer_id not in (None, customer_id):
            raise customer_taken()
        linked = replace(record, customer_id=customer_id, subscriptions=found)
        return linked.status(self.clock.now(), self.sync.terms)


@dataclass(frozen=True, slots=True)
class ClearFlags:
    """An operator has looked into what was flagged of a user, or of one who is gone."""

    records: BillingRecords
    clock: Clock

    def __call__(self, user: UserId, *, operator: str) -> int:
        """How many flags there were."""
        return self.records.clear_flags(user, operator=operator, now=self.clock.now())


@dataclass(frozen=True, slots=True)
class ApproveCheckout:
    """Where no vendor takes the money, an operator who has it says so, and the user is on pro."""

    approvals: Approvals | None
    records: BillingRecords
    sync: SyncCustomer

    def __call__(self, session_id: str, *, operator: str) -> UserId:
        """Whose checkout it was. Raises `NotFound`, `Conflict` (`no-approvals`, `subscription-ended`)."""
        user = self._approvals().approve(session_id, operator=operator)
        self.sync(user)
        return user

    def foresee(self, session_id: str) -> tuple[UserId, SubscriptionStatus]:
        """Whose checkout it is, and what their status would be."""
        user, bought = self._approvals().preview(session_id)
        return user, self.sync.foresee_status(self.records.record(user), bought)

    @property
    def is_needed(self) -> bool:
        """Nobody but the operator takes money: a checkout waits for an approval."""
        return self.approvals is not None

    def waiting(self) -> Sequence[Awaiting]:
        """What waits for an approval, oldest first. Raises `Conflict` (`no-approvals`)."""
        return self._approvals().waiting()

    def _approvals(self) -> Approvals:
        if self.approvals is None:
            raise Conflict("The payment provider approves by itself.", code="no-approvals")
        return self.approvals
