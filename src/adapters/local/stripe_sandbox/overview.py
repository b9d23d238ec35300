"""The sandbox's own page: how things stand in it, and its levers as buttons."""

import json
from datetime import UTC, datetime
from html import escape
from typing import Any

from adapters.local.stripe_sandbox.deliveries import Deliveries
from adapters.local.stripe_sandbox.pages import page
from adapters.local.stripe_sandbox.shelf import Shelf, Thing

Order = dict[str, Any]

LEVERS: dict[str, list[tuple[str, str, Order]]] = {
    "Time": [
        ("A day passes", "advance", {"days": 1}),
        ("A month passes", "advance", {"days": 31}),
    ],
    "Payments": [
        ("The next payment fails", "payments", {"fail_next": 1}),
        ("Payments succeed", "payments", {"fail_next": 0}),
    ],
    "Webhooks": [
        ("Hold them back", "deliveries", {"mode": "hold"}),
        ("Lose them", "deliveries", {"mode": "drop"}),
        ("Send each twice", "deliveries", {"mode": "duplicate"}),
        ("Let go of what is held, the last one first", "release", {"backwards": True}),
        ("Let go of what is held, and deliver normally", "release", {}),
    ],
    "The API": [
        ("Slow: 5 s for the next 3 calls", "faults", {"kind": "slow", "seconds": 5, "count": 3}),
        ("Broken: the next 3 calls are 500", "faults", {"kind": "error", "count": 3}),
        ("Nothing is broken", "faults", {"count": 0}),
    ],
}
SCRIPT = """
for (const button of document.querySelectorAll("button[data-lever]")) button.onclick = async () => {
  const headers = {"Content-Type": "application/json"};
  const answer = await fetch("/sandbox/" + button.dataset.lever, {method: "POST", headers, body: button.dataset.order});
  if (answer.ok) location.reload(); else alert((await answer.json()).error.message);
};
"""


def overview(shelf: Shelf, deliveries: Deliveries) -> str:
    """The page. The caller holds the shelf's lock."""
    levers = "".join(
        f"<h2>{escape(name)}</h2><p>{_state(name, shelf, deliveries)}</p>{''.join(_button(*each) for each in buttons)}"
        for name, buttons in LEVERS.items()
    )
    return page(
        "Stripe sandbox",
        f"<p>It stands in for Stripe on this machine. The product sends its buyers to pages here.</p>"
        f"<h2>Subscriptions</h2>{_subscriptions(shelf)}<h2>Open checkouts</h2>{_checkouts(shelf)}{levers}"
        f"<p>The same by hand: <code>POST /sandbox/advance</code> with JSON, <code>GET /sandbox/state</code>.</p>"
        f"<script>{SCRIPT}</script>",
    )


def _state(name: str, shelf: Shelf, deliveries: Deliveries) -> str:
    match name:
        case "Time":
            return f"It is {_date(shelf.now())} here."
        case "Payments":
            return f"{shelf.declines} of the next ones will fail."
        case "Webhooks":
            said = f"{escape(deliveries.mode)}; {deliveries.waiting()} wait, {deliveries.attempts} were sent"
            return f"To <code>{escape(deliveries.url)}</code>: {said}."
        case _:
            return "What the product's own calls meet."


def _subscriptions(shelf: Shelf) -> str:
    rows = "".join(f"<li>{_subscription(each)}</li>" for each in shelf.all("subscription"))
    return f"<ul>{rows}</ul>" if rows else "<p>None yet.</p>"


def _subscription(subscription: Thing) -> str:
    until = _date(subscription["items"]["data"][0]["current_period_end"])
    planned = f", ends {_date(subscription['cancel_at'])}" if subscription["cancel_at"] else ""
    state = f"<code>{subscription['id']}</code> is <strong>{escape(subscription['status'])}</strong>"
    if subscription["ended_at"]:
        return state
    about = {"subscription": subscription["id"]}
    buttons = _button("Refund", "refund", about) + _button("Dispute", "dispute", about)
    return f"{state}, paid for until {until}{planned} {buttons}"


def _checkouts(shelf: Shelf) -> str:
    rows = "".join(
        f'<li><a href="{escape(each["url"])}">{each["id"]}</a></li>'
        for each in shelf.all("checkout.session", status="open")
    )
    return f"<ul>{rows}</ul>" if rows else "<p>None.</p>"


def _button(text: str, lever: str, order: Order) -> str:
    return f'<button data-lever="{lever}" data-order="{escape(json.dumps(order))}">{escape(text)}</button>'


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%d %B %Y, %H:%M} UTC"
