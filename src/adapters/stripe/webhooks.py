"""What Stripe sends by itself: verified over the raw bytes first, and then read for one thing only: where to look."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import stripe

from gemini_core.errors import Refused, Unavailable
from gemini_core.model.billing.events import Concern, Hint, Subject

TOLERANCE = 300
# What reading something raises that is no event.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)
LONGEST_WORD = 255
# Seconds since 1970, in the year 9999.
LATEST = 253_370_764_800

CONCERNS: Mapping[str, Concern] = {
    "charge.refunded": Concern.REFUND,
    "charge.dispute.created": Concern.DISPUTE,
}
KINDS = frozenset(
    {
        "checkout.session.async_payment_failed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.completed",
        "customer.deleted",
        "customer.subscription.created",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.pending_update_applied",
        "customer.subscription.pending_update_expired",
        "customer.subscription.resumed",
        "customer.subscription.trial_will_end",
        "customer.subscription.updated",
        "invoice.paid",
        "invoice.payment_action_required",
        "invoice.payment_failed",
        *CONCERNS,
    }
)


class Webhooks:
    """Checks and reads webhooks. The tolerance is no setting: 0 and None would switch the check off."""

    def __init__(self, secrets: tuple[str, ...], *, live: bool) -> None:
        self._secrets = tuple(secret for secret in secrets if secret.strip())
        self._live = live

    def verify(self, body: bytes, signature: str | None, now: datetime) -> Hint:
        """As `GatewayEvents.verify`."""
        if not self._secrets:
            raise Unavailable("No webhook secret is configured.", retry_after=300, code="webhooks-not-configured")
        if not any(_signed(body, signature, secret) for secret in self._secrets) or not _fresh(signature, now):
            raise _refused()
        try:
            event = json.loads(body)
            return hint_of(event, live=self._live, now=now)
        except UNREADABLE:
            raise _refused() from None


def _signed(body: bytes, signature: str | None, secret: str) -> bool:
    """The MAC holds. The age is checked by `_fresh`, in both directions: stripe's own check lets the future pass."""
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, tolerance=None)
    except (stripe.SignatureVerificationError, ValueError, TypeError):
        # A body that is no UTF-8 is a ValueError there, a header that is no ASCII a TypeError.
        return False
    return True


def _fresh(signature: str | None, now: datetime) -> bool:
    """The signed time, which is the first `t`, is close to now. Called after `_signed`, so it is there and a number."""
    items = (item.split("=", 2) for item in (signature or "").split(","))
    signed_at = next(int(item[1]) for item in items if item[0] == "t")
    return abs(int(now.timestamp()) - signed_at) <= TOLERANCE


def _refused() -> Refused:
    return Refused("The signature does not hold.", code="invalid-signature")


def hint_of(event: Mapping[str, Any], *, live: bool, now: datetime) -> Hint:
    """Where an event says to look; snapshot events and thin ones. `now` stands in for a time that is not told.

    Of other kinds nothing is read but which they are: they may look like anything.
    Raises one of `UNREADABLE` for what is no event.
    """
    event_id, kind = _word(event["id"]), _word(event["type"]).removeprefix("v1.")
    if kind not in KINDS:
        return Hint(event_id=event_id, kind=kind, happened_at=now, matters=False)
    is_thin = event.get("object") == "v2.core.event"
    about = (event.get("related_object") if is_thin else event["data"]["object"]) or {}
    subject_kind = about.get("type") if is_thin else about.get("object")
    customer = about.get("id") if subject_kind == "customer" else about.get("customer")
    if isinstance(customer, Mapping):
        customer = customer.get("id")
    return Hint(
        event_id=event_id,
        kind=kind,
        happened_at=_moment(event.get("created"), now),
        matters=bool(event.get("livemode", live)) == live,
        customer_id=_word(customer) if customer else None,
        subject=Subject(_word(subject_kind), _word(about["id"])) if subject_kind and about.get("id") else None,
        concern=CONCERNS.get(kind),
    )


def _word(value: object) -> str:
    """An id or a name: short text that any store can hold."""
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_WORD or not value.isprintable():
        raise ValueError("not a word")
    return value


def _moment(told: object, now: datetime) -> datetime:
    """Seconds since 1970 in snapshot events, RFC 3339 in thin ones."""
    if isinstance(told, int) and 0 < told < LATEST:
        return datetime.fromtimestamp(told, UTC)
    if isinstance(told, str):
        return datetime.fromisoformat(told).astimezone(UTC)
    return now
