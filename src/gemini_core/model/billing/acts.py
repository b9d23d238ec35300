"""What the audit log says of operators' acts. Whoever stores an act stores its note, in the same transaction."""

from collections.abc import Collection
from datetime import datetime

from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.billing.subscriptions import Cancellation, Grant, GrantId
from gemini_core.model.ids import UserId


def granted(grant: Grant) -> AuditEvent:
    """Pro was given."""
    detail = {"until": grant.until.isoformat() if grant.until else None, "reason": grant.reason}
    return AuditEvent(
        event="subscription.granted", at=grant.created_at, user_id=grant.user_id, operator=grant.by, detail=detail
    )


def revoked(user: UserId, grants: Collection[GrantId], *, operator: str, now: datetime) -> AuditEvent:
    """These grants were taken back."""
    detail = {"grants": [str(grant) for grant in grants]}
    return AuditEvent(event="subscription.revoked", at=now, user_id=user, operator=operator, detail=detail)


def linked(user: UserId, customer_id: str, *, operator: str, now: datetime) -> AuditEvent:
    """The user is this customer of the gateway's."""
    detail = {"customer": customer_id}
    return AuditEvent(event="subscription.linked", at=now, user_id=user, operator=operator, detail=detail)


def flags_cleared(user: UserId, flags: int, *, operator: str, now: datetime) -> AuditEvent:
    """The operator has looked into what was flagged."""
    detail = {"flags": flags}
    return AuditEvent(event="subscription.flags_cleared", at=now, user_id=user, operator=operator, detail=detail)


def approved(user: UserId, session_id: str, *, operator: str, now: datetime) -> AuditEvent:
    """The operator has the money for this checkout."""
    detail = {"session": session_id}
    return AuditEvent(event="subscription.approved", at=now, user_id=user, operator=operator, detail=detail)


def change_asked(
    user: UserId, subscription_id: str, when: Cancellation, *, operator: str | None, now: datetime
) -> AuditEvent:
    """The gateway is about to be asked to end a subscription, or not to; `operator` None: by the user.

    The gateway's store is not ours, so this is noted before: an act without its note cannot happen there either.
    """
    detail = {"subscription": subscription_id, "when": when.value}
    return AuditEvent(event="subscription.change_asked", at=now, user_id=user, operator=operator, detail=detail)
