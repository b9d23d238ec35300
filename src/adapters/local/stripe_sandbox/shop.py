"""What happens when somebody pays, does not pay, changes their mind, or time passes."""

from typing import Any

from adapters.local.stripe_sandbox.shelf import ApiError, Shelf, Thing

DAY = 86_400
PERIOD = 30 * DAY
DUNNING = 15 * DAY
CHECKOUT_LIFE = DAY
ENDED = ("canceled", "incomplete_expired")


class Shop:
    """The rules of subscriptions, over one shelf. Callers hold the shelf's lock."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def subscribe(
        self, customer: str, price: str, metadata: dict[str, str] | None = None, *, card: str | None = None
    ) -> Thing:
        """A new subscription, its first invoice open; `collect` decides whether it comes alive.

        `card`: a payment method of Stripe's for tests; without one only the lever decides whether payments come.
        """
        shelf = self._shelf
        now = shelf.now()
        item = {
            "id": f"si_{len(shelf.things)}",
            "object": "subscription_item",
            "price": shelf.get("price", price, param="items[0][price]"),
            "quantity": 1,
            "current_period_start": now,
            "current_period_end": now + PERIOD,
        }
        made = shelf.add(
            "subscription",
            customer=customer,
            status="incomplete",
            items={"object": "list", "data": [item], "has_more": False, "url": "/v1/subscription_items"},
            cancel_at=None,
            cancel_at_period_end=False,
            canceled_at=None,
            ended_at=None,
            collection_method="charge_automatically",
            default_payment_method=card,
            currency="usd",
            latest_invoice=None,
            metadata=metadata or {},
            start_date=now,
        )
        shelf.emit("customer.subscription.created", made)
        return made

    def collect(self, subscription: Thing) -> bool:
        """Ask for the money of the present period. True if it was paid."""
        invoice = self._shelf.add(
            "invoice",
            customer=subscription["customer"],
            status="open",
            amount_due=subscription["items"]["data"][0]["price"].get("unit_amount") or 0,
            currency="usd",
            parent={"type": "subscription_details", "subscription_details": {"subscription": subscription["id"]}},
        )
        subscription["latest_invoice"] = invoice["id"]
        return self.attempt(invoice)

    def attempt(self, invoice: Thing) -> bool:
        """Ask for the money of an open invoice. True if it was paid."""
        shelf = self._shelf
        subscription = shelf.get("subscription", invoice["parent"]["subscription_details"]["subscription"])
        if self._declined(subscription):
            if subscription["status"] in ("active", "trialing"):
                self._change(subscription, status="past_due", sandbox_past_due_since=shelf.now())
            shelf.emit("invoice.payment_failed", invoice)
            return False
        customer, amount = invoice["customer"], invoice["amount_due"]
        shelf.add("charge", customer=customer, invoice=invoice["id"], amount=amount, paid=True, refunded=False)
        invoice["status"] = "paid"
        self._change(subscription, status="active")
        shelf.emit("invoice.paid", invoice)
        return True

    def pay_due(self, subscription: Thing) -> bool:
        """The buyer pays what is due."""
        return self.attempt(self._shelf.get("invoice", subscription["latest_invoice"]))

    def _declined(self, subscription: Thing) -> bool:
        if self._shelf.declines > 0:
            self._shelf.declines -= 1
            return True
        card = self._shelf.things.get(subscription.get("default_payment_method") or "", {})
        return card.get("sandbox_card") == "pm_card_chargeCustomerFail"

    def pay(self, session: Thing) -> bool:
        """The buyer presses "pay" on the hosted page. False: the card was declined and the page stays open."""
        shelf = self._shelf
        if session["status"] != "open":
            raise ApiError(400, "invalid_request_error", "This Checkout Session is no longer open.")
        if shelf.declines > 0:
            shelf.declines -= 1
            return False
        subscription = self.subscribe(session["customer"], session["sandbox_price"], session["sandbox_metadata"])
        self.collect(subscription)
        session.update(status="complete", payment_status="paid", subscription=subscription["id"], url=None)
        shelf.emit("checkout.session.completed", session)
        return True

    def expire(self, session: Thing) -> None:
        """The hosted page is no longer good for anything."""
        if session["status"] == "open":
            session.update(status="expired", url=None)
            self._shelf.emit("checkout.session.expired", session)

    def change(self, subscription: Thing, **fields: Any) -> None:
        """Set fields of a subscription that has not ended."""
        if subscription["status"] in ENDED:
            raise ApiError(400, "invalid_request_error", "A canceled subscription can only update its metadata.")
        self._change(subscription, **fields)

    def plan_end(self, subscription: Thing, *, at_period_end: bool) -> None:
        """Cancel at the end of the period, or take that back: the API's way, as a flag."""
        end = subscription["items"]["data"][0]["current_period_end"]
        now = self._shelf.now()
        self.change(
            subscription,
            cancel_at_period_end=at_period_end,
            cancel_at=end if at_period_end else None,
            canceled_at=now if at_period_end else None,
        )

    def end(self, subscription: Thing) -> None:
        """The subscription is over, now."""
        if subscription["status"] in ENDED:
            raise self._shelf.missing("subscription", subscription["id"])
        now = self._shelf.now()
        subscription.update(status="canceled", ended_at=now, canceled_at=subscription["canceled_at"] or now)
        self._shelf.emit("customer.subscription.deleted", subscription)

    def refund(self, charge: Thing) -> Thing:
        """The money of a charge goes back. The subscription goes on, as at Stripe."""
        charge["refunded"] = True
        made = self._shelf.add("refund", charge=charge["id"], amount=charge["amount"], status="succeeded")
        self._shelf.emit("charge.refunded", charge)
        return made

    def dispute(self, charge: Thing) -> Thing:
        """The buyer's bank takes the money back."""
        made = self._shelf.add("dispute", charge=charge["id"], amount=charge["amount"], status="needs_response")
        self._shelf.emit("charge.dispute.created", made)
        return made

    def advance(self, seconds: int) -> None:
        """Time passes: everything that falls due on the way happens, in order."""
        target = self._shelf.now() + seconds
        while (due := self._next_due(target)) is not None:
            moment, subscription = due
            self._shelf.offset += max(0, moment - self._shelf.now())
            self._fall_due(subscription)
        self._shelf.offset += max(0, target - self._shelf.now())
        for session in list(self._shelf.all("checkout.session", status="open")):
            if session["expires_at"] <= self._shelf.now():
                self.expire(session)

    def _next_due(self, until: int) -> tuple[int, Thing] | None:
        dates = [
            (date, thing)
            for thing in self._shelf.things.values()
            if thing["object"] == "subscription" and (date := _due_date(thing)) is not None and date <= until
        ]
        return min(dates, key=lambda due: due[0], default=None)

    def _fall_due(self, subscription: Thing) -> None:
        item, now = subscription["items"]["data"][0], self._shelf.now()
        if subscription["status"] == "incomplete":
            self._change(subscription, status="incomplete_expired", ended_at=now)
        elif subscription["status"] == "past_due" or (subscription["cancel_at"] or now + 1) <= now:
            self.end(subscription)
        else:
            item["current_period_start"] = item["current_period_end"]
            item["current_period_end"] += PERIOD
            self.collect(subscription)

    def _change(self, subscription: Thing, **fields: Any) -> None:
        subscription.update(fields)
        self._shelf.emit("customer.subscription.updated", subscription)


def _due_date(subscription: Thing) -> int | None:
    """When something happens to a subscription by itself; None: never."""
    end: int = subscription["items"]["data"][0]["current_period_end"]
    match subscription["status"]:
        case "incomplete":
            return int(subscription["created"]) + DAY
        case "past_due":
            return int(subscription["sandbox_past_due_since"]) + DUNNING
        case "active" | "trialing":
            return min(end, subscription["cancel_at"] or end)
        case _:
            return None
