"""What a customer has at Stripe, and ending it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import stripe

from adapters.stripe.calls import is_missing
from adapters.stripe.times import moment_of
from gemini_core.model.billing.subscriptions import Cancellation, Subscription

# What our own checkout writes to the metadata of a subscription: its price, when that was pro's.
SOLD_AS = "sold_as"


class Subscriptions:
    """The deeds about subscriptions. They raise stripe's errors."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._subscriptions = client.v1.subscriptions

    def of(self, customer_id: str) -> Sequence[Subscription]:
        """As `PaymentGateway.subscriptions`."""
        found = self._subscriptions.list({"customer": customer_id, "status": "all", "limit": 100})
        return [_subscription(each.to_dict()) for each in found.auto_paging_iter()]

    def one(self, subscription_id: str) -> Subscription:
        """As it is now; it may be there before the customer's list shows it."""
        return _subscription(self._subscriptions.retrieve(subscription_id).to_dict())

    def cancel(self, subscription_id: str, when: Cancellation) -> None:
        """As `PaymentGateway.cancel`."""
        try:
            if when is Cancellation.NOW:
                self._subscriptions.cancel(subscription_id)
            elif when is Cancellation.AT_PERIOD_END:
                self._subscriptions.update(subscription_id, {"cancel_at_period_end": True})
            elif self._subscriptions.retrieve(subscription_id).cancel_at_period_end:
                self._subscriptions.update(subscription_id, {"cancel_at_period_end": False})
            else:  # planned in the portal, which sets a date; Stripe takes only one of the two in a call
                self._subscriptions.update(subscription_id, {"cancel_at": ""})
        except stripe.InvalidRequestError as error:
            if not is_missing(error) and not self._has_ended(subscription_id):
                raise

    def _has_ended(self, subscription_id: str) -> bool:
        return self.one(subscription_id).has_ended


def _subscription(told: Mapping[str, Any]) -> Subscription:
    """What Stripe tells, as far as it matters. The period is its items', in older shapes the subscription's own."""
    items = told.get("items", {}).get("data", [])
    ends = [item.get("current_period_end") or 0 for item in items] + [told.get("current_period_end") or 0]
    created = moment_of(told.get("created"))
    return Subscription(
        id=told["id"],
        status=told["status"],
        prices=tuple(item["price"]["id"] for item in items),
        created_at=created or datetime.fromtimestamp(0, UTC),
        period_end=moment_of(max(ends)),
        cancel_at=moment_of(told.get("cancel_at")),
        cancel_at_period_end=bool(told.get("cancel_at_period_end")),
        sold_as=(told.get("metadata") or {}).get(SOLD_AS),
    )
