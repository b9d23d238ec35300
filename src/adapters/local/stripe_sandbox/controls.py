"""The sandbox's levers: make time pass, make payments fail, disturb deliveries, be slow or broken."""

import re
import threading
from dataclasses import dataclass
from typing import Any

from adapters.local.stripe_sandbox.api import Api
from adapters.local.stripe_sandbox.deliveries import FORMS, MODES, Deliveries
from adapters.local.stripe_sandbox.overview import overview
from adapters.local.stripe_sandbox.shelf import ApiError, Shelf, Thing
from adapters.local.stripe_sandbox.shop import DAY, Shop

MOST = 10_000_000
FAULTS = ("slow", "hang", "stale", "error", "burn", "rate_limit", "lose_answer", "garble")


@dataclass(slots=True)
class Fault:
    """What is wrong with the next `count` API calls whose "METHOD path" matches.

    `slow` answers after `seconds`; `stale` too, with what was true when it was asked; `hang` never does, and hangs up
    after `seconds`; `error` is a 500 before anything was done, `burn` one that Stripe repeats for as long as it
    remembers the idempotency key; `rate_limit` is a 429; `lose_answer` does the deed and hangs up; `garble` does it and
    answers no JSON.
    """

    kind: str
    count: int
    seconds: float
    calls: re.Pattern[str]


class Controls:
    """`POST /sandbox/<lever>` with a JSON object; `GET /sandbox/state` tells how things stand."""

    def __init__(self, shelf: Shelf, shop: Shop, api: Api, deliveries: Deliveries) -> None:
        self._shelf = shelf
        self._shop = shop
        self._api = api
        self._deliveries = deliveries
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.patched_up = threading.Event()

    def fault_for(self, call: str) -> Fault | None:
        """The fault that this API call suffers, which is then used up."""
        with self._lock:
            for fault in self._faults:
                if fault.count > 0 and fault.calls.search(call):
                    fault.count -= 1
                    return fault
        return None

    def pull(self, lever: str, order: dict[str, Any]) -> Thing:
        """Do what a lever is for. Raises `ApiError` for an order that makes no sense."""
        match lever:
            case "advance":
                with self._shelf.lock:
                    self._shop.advance(int(amount(order, "days") * DAY + amount(order, "seconds")))
            case "payments":
                self._shelf.declines = int(amount(order, "fail_next"))
            case "deliveries":
                self._deliveries.mode = one_of(MODES, order.get("mode", self._deliveries.mode), "mode")
                self._deliveries.form = one_of(FORMS, order.get("form", self._deliveries.form), "form")
            case "release":
                self._deliveries.release(backwards=bool(order.get("backwards", False)))
            case "send":
                with self._shelf.lock:
                    event = self._shelf.get("event", str(order.get("event")))
                for _ in range(int(amount(order, "times", 1))):
                    self._deliveries.send(event)
            case "faults":
                self._set_fault(order)
            case "refund" | "dispute":
                with self._shelf.lock:
                    charge = self._charge(str(order.get("subscription")))
                    self._shop.refund(charge) if lever == "refund" else self._shop.dispute(charge)
            case _:
                raise ApiError(404, "invalid_request_error", f"No such lever: {lever}")
        return self.state()

    def state(self) -> Thing:
        """How things stand."""
        with self._shelf.lock:
            things = [thing["object"] for thing in self._shelf.things.values()]
            return {
                "now": self._shelf.now(),
                "things": {kind: things.count(kind) for kind in sorted(set(things))},
                "declines": self._shelf.declines,
                "deliveries": {
                    "mode": self._deliveries.mode,
                    "form": self._deliveries.form,
                    "waiting": self._deliveries.waiting(),
                    "attempts": self._deliveries.attempts,
                },
                "calls": list(self._api.calls),
            }

    def overview(self) -> str:
        """The levers as a page."""
        with self._shelf.lock:
            return overview(self._shelf, self._deliveries)

    def _set_fault(self, order: dict[str, Any]) -> None:
        with self._lock:
            if not (count := int(amount(order, "count", 1))):
                self._faults.clear()
                self.patched_up.set()
                return
            self.patched_up.clear()
            kind = one_of(FAULTS, order.get("kind"), "kind")
            self._faults.append(Fault(kind, count, amount(order, "seconds", 30), pattern(order)))

    def _charge(self, subscription_id: str) -> Thing:
        invoice = self._shelf.get("subscription", subscription_id)["latest_invoice"]
        found = next(self._shelf.all("charge", invoice=invoice), None)
        if found is None:
            raise ApiError(400, "invalid_request_error", "Nothing was paid for this subscription's present period.")
        return found


def amount(order: dict[str, Any], name: str, default: float = 0) -> float:
    """A number that is not below 0: time goes one way only."""
    value = order.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        raise ApiError(400, "invalid_request_error", f"{name} must be a number from 0 to {MOST:,}", param=name)
    return value


def pattern(order: dict[str, Any]) -> re.Pattern[str]:
    """Which calls: a regular expression for their method and path; all, if it is not given."""
    try:
        return re.compile(str(order.get("calls", "")))
    except re.error as error:
        raise ApiError(
            400, "invalid_request_error", f"calls is no regular expression: {error}", param="calls"
        ) from None


def one_of(words: tuple[str, ...], word: Any, name: str) -> str:
    """The word, if it is one of these."""
    if word not in words:
        raise ApiError(400, "invalid_request_error", f"{name} must be one of {', '.join(words)}", param=name)
    return str(word)
