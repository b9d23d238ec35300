"""What operators do about plans and customers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gemini_core.errors import Conflict
from gemini_core.model.accounts import AuditEvent
from gemini_core.model.billing.checkouts import Awaiting
from gemini_core.model.billing.ledger import BillingRecord
from gemini_core.model.billing.subscriptions import Grant, GrantId, Standing, Terms
from gemini_core.model.ids import UserId, uuid7
from gemini_core.ports.accounts import AuditLog
from gemini_core.ports.billing import Approvals, BillingLedger, SubscriptionRepo
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.billing.syncing import SyncCustomer


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
