"""The pages a buyer sees: the hosted Checkout and the customer portal. Each says that no money moves."""

from html import escape

from adapters.local.stripe_sandbox.shelf import ApiError, Shelf, Thing
from adapters.local.stripe_sandbox.shop import ENDED, Shop

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#222;background:#fafafa}
.note{background:#fff4ce;border:1px solid #e0c060;border-radius:6px;padding:.5rem 1rem}
.bad{background:#fde7e9;border:1px solid #d08080;border-radius:6px;padding:.5rem 1rem}
button{font:inherit;padding:.5rem 1.2rem;margin:.2rem .4rem .2rem 0;border-radius:6px;border:1px solid #888}
button.main{background:#2457d6;color:#fff;border-color:#2457d6}form{display:inline}code{background:#eee;padding:0 .2rem}
"""
NOTE = '<p class="note">This is a sandbox: <strong>no money moves</strong>, and no card is asked for.</p>'


class Pages:
    """What the hosted pages show and do. Every method answers (status, html) or (303, where to go)."""

    def __init__(self, shelf: Shelf, shop: Shop) -> None:
        self._shelf = shelf
        self._shop = shop

    def show(self, path: list[str]) -> tuple[int, str]:
        """A page by its path."""
        with self._shelf.lock:
            match path:
                case ["pay", session_id]:
                    return self._checkout(self._shelf.get("checkout.session", session_id))
                case ["portal", portal_id]:
                    return self._portal(self._shelf.get("billing_portal.session", portal_id))
                case _:
                    return 404, page("Not found", "<p>There is no such page.</p>")

    def press(self, path: list[str], fields: dict[str, str]) -> tuple[int, str]:
        """A button on a page."""
        with self._shelf.lock:
            match path:
                case ["pay", session_id, button]:
                    return self._press_checkout(self._shelf.get("checkout.session", session_id), button)
                case ["portal", portal_id, button]:
                    portal = self._shelf.get("billing_portal.session", portal_id)
                    return self._press_portal(portal, button, fields.get("subscription", ""))
                case _:
                    return 404, page("Not found", "<p>There is no such page.</p>")

    def _checkout(self, session: Thing, trouble: str = "") -> tuple[int, str]:
        if session["status"] != "open":
            word = "already complete" if session["status"] == "complete" else "expired"
            return 410, page("Checkout", f"<p>This checkout is {word}.</p>")
        price = self._shelf.get("price", session["sandbox_price"])
        where = f"/pay/{session['id']}"
        buttons = [
            button(f"{where}/pay", "Pay", main=True),
            button(f"{where}/decline", "Pay with a card that is declined"),
            button(f"{where}/cancel", "Cancel") if session["cancel_url"] else "",
        ]
        what = escape(price.get("nickname") or price["id"])
        body = f"<p>Subscribe to <strong>{what}</strong>, {amount(price)} a month.</p>"
        return 200, page("Checkout", trouble + body + "".join(buttons))

    def _press_checkout(self, session: Thing, pressed: str) -> tuple[int, str]:
        declined = '<p class="bad" id="declined">Your card was declined. Nothing was charged.</p>'
        if session["status"] != "open":
            return self._checkout(session)
        match pressed:
            case "pay" if self._shop.pay(session):
                return 303, session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
            case "pay" | "decline":
                return self._checkout(session, declined)
            case "cancel" if session["cancel_url"]:
                return 303, session["cancel_url"]
            case _:
                return 404, page("Not found", "<p>There is no such button.</p>")

    def _portal(self, portal: Thing) -> tuple[int, str]:
        rows = "".join(
            self._portal_row(portal, each)
            for each in self._shelf.all("subscription", customer=portal["customer"])
            if each["status"] not in ENDED
        )
        back = f'<p><a id="back" href="{escape(portal["return_url"] or "/")}">Back</a></p>'
        return 200, page("Your subscription", (rows or "<p>There is no subscription.</p>") + back)

    def _portal_row(self, portal: Thing, subscription: Thing) -> str:
        planned = subscription["cancel_at"] is not None
        choices = [("resume", "Keep the subscription") if planned else ("cancel", "Cancel at the end of the period")]
        if subscription["status"] == "past_due":
            choices.insert(0, ("pay", "Pay what is due"))
        buttons = "".join(
            button(f"/portal/{portal['id']}/{name}", text, subscription=subscription["id"]) for name, text in choices
        )
        state = escape(subscription["status"]) + (", ends with the period" if planned else "")
        return f"<p><code>{subscription['id']}</code> is <strong>{state}</strong>.</p><p>{buttons}</p>"

    def _press_portal(self, portal: Thing, pressed: str, subscription_id: str) -> tuple[int, str]:
        subscription = self._shelf.get("subscription", subscription_id)
        if subscription["customer"] != portal["customer"]:
            raise self._shelf.missing("subscription", subscription_id)
        match pressed:
            case "cancel":
                # The portal sets `cancel_at` where the API sets `cancel_at_period_end`; both mean the same.
                end = subscription["items"]["data"][0]["current_period_end"]
                self._shop.change(subscription, cancel_at=end, canceled_at=self._shelf.now())
            case "resume":
                self._shop.change(subscription, cancel_at=None, cancel_at_period_end=False, canceled_at=None)
            case "pay":
                self._shop.pay_due(subscription)
            case _:
                return 404, page("Not found", "<p>There is no such button.</p>")
        return 303, f"/portal/{portal['id']}"


def button(action: str, text: str, *, main: bool = False, **fields: str) -> str:
    """A form of one button, named after the last part of its address."""
    hidden = "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items())
    kind = ' class="main"' if main else ""
    return (
        f'<form method="post" action="{escape(action)}">{hidden}'
        f'<button id="{escape(action.rpartition("/")[2])}"{kind}>{escape(text)}</button></form>'
    )


def page(title: str, body: str) -> str:
    """A whole page. `body` is trusted HTML."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)} (sandbox)</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1>{NOTE}{body}"
    )


def amount(price: Thing) -> str:
    """A price in words: 10.00 USD."""
    return f"{(price.get('unit_amount') or 0) / 100:.2f} {str(price['currency']).upper()}"


def sorry(error: ApiError) -> tuple[int, str]:
    """An error on a page."""
    return error.status, page("Sorry", f'<p class="bad">{escape(str(error))}</p>')
