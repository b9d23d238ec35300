"""Prices, checkouts, subscriptions, and money that is asked for or goes back."""

from adapters.local.stripe_sandbox import customers
from adapters.local.stripe_sandbox.desk import Desk
from adapters.local.stripe_sandbox.lists import page
from adapters.local.stripe_sandbox.params import Params, address, flag, group, number, only, refused, text
from adapters.local.stripe_sandbox.shelf import ApiError, Thing, new_id
from adapters.local.stripe_sandbox.shop import CHECKOUT_LIFE

HALF_AN_HOUR = 1_800


def create_price(desk: Desk, _id: str, params: Params) -> Thing:
    """Something to sell: once, or every month."""
    if not params.get("product") and not group(params, "product_data").get("name"):
        raise refused("One of product or product_data[name] is needed.", code="parameter_missing", param="product")
    again = group(params, "recurring")
    if again and again.get("interval") != "month":
        raise refused("The sandbox's periods are months.", param="recurring[interval]")
    return desk.shelf.add(
        "price",
        currency=text(params, "currency"),
        unit_amount=number(params.get("unit_amount"), "unit_amount"),
        nickname=params.get("nickname"),
        active=True,
        type="recurring" if again else "one_time",
        recurring={"interval": "month", "interval_count": 1} if again else None,
    )


def update_price(desk: Desk, thing_id: str, params: Params) -> Thing:
    """Take a price off the shelf, or put it back."""
    price = desk.shelf.get("price", thing_id)
    if "active" in params:
        price["active"] = flag(params, "active")
    return price


def create_session(desk: Desk, _id: str, params: Params) -> Thing:
    """A page to pay on."""
    if text(params, "mode") != "subscription":
        raise refused("The sandbox sells subscriptions only.", param="mode")
    customer = customers.live(desk, text(params, "customer"))["id"]
    item = only(params, "line_items")
    price = _for_sale(desk, item, "line_items[0]")
    number(item.get("quantity"), "line_items[0][quantity]")
    session_id = new_id("checkout.session")
    return desk.shelf.add(
        "checkout.session",
        id=session_id,
        mode="subscription",
        status="open",
        payment_status="unpaid",
        customer=customer,
        subscription=None,
        client_reference_id=params.get("client_reference_id"),
        metadata=group(params, "metadata"),
        success_url=address(params, "success_url"),
        cancel_url=address(params, "cancel_url") if "cancel_url" in params else None,
        expires_at=_expiry(desk.shelf.now(), params),
        url=f"{desk.public_url}/pay/{session_id}",
        sandbox_price=price["id"],
        sandbox_metadata=group(group(params, "subscription_data"), "metadata"),
    )


def _expiry(now: int, params: Params) -> int:
    expires_at = number(params.get("expires_at", str(now + CHECKOUT_LIFE)), "expires_at")
    if not now + HALF_AN_HOUR <= expires_at <= now + CHECKOUT_LIFE:
        raise refused("expires_at must be between 30 minutes and 24 hours from now.", param="expires_at")
    return expires_at


def _for_sale(desk: Desk, item: Params, param: str) -> Thing:
    price = desk.shelf.get("price", text(item, "price"), param=f"{param}[price]")
    if not price.get("active", True):
        raise refused("The price specified is inactive.", param=f"{param}[price]")
    if price.get("type") == "one_time":
        raise refused("A subscription needs a recurring price.", param=f"{param}[price]")
    return price


def expire_session(desk: Desk, thing_id: str, _params: Params) -> Thing:
    """Nobody can pay on this page any more."""
    session = desk.shelf.get("checkout.session", thing_id)
    if session["status"] != "open":
        raise refused("Only Checkout Sessions with a status in ['open'] can be expired.")
    desk.shop.expire(session)
    return session


def create_subscription(desk: Desk, _id: str, params: Params) -> Thing:
    """A subscription without a page, charged to a card that the customer has."""
    customer = customers.live(desk, text(params, "customer"))["id"]
    price = _for_sale(desk, only(params, "items"), "items[0]")
    card = _card_of(desk, customer, params)
    made = desk.shop.subscribe(customer, price["id"], group(params, "metadata"), card=card)
    desk.shop.collect(made)
    return made


def _card_of(desk: Desk, customer: str, params: Params) -> str:
    if "default_payment_method" not in params:
        said = "This customer has no attached payment source or default payment method."
        raise refused(said, code="resource_missing")
    name = text(params, "default_payment_method")
    card = desk.shelf.get("payment_method", name, param="default_payment_method")
    if card["customer"] != customer:
        raise desk.shelf.missing("payment_method", name, param="default_payment_method")
    return name


def update_subscription(desk: Desk, thing_id: str, params: Params) -> Thing:
    """Plan an end or take it back, or charge another card."""
    subscription = desk.shelf.get("subscription", thing_id)
    if "cancel_at" in params and "cancel_at_period_end" in params:
        raise refused("You may only specify one of cancel_at and cancel_at_period_end.", param="cancel_at")
    if "cancel_at_period_end" in params:
        desk.shop.plan_end(subscription, at_period_end=flag(params, "cancel_at_period_end"))
    elif "cancel_at" in params:
        moment = number(params["cancel_at"], "cancel_at") if params["cancel_at"] else None
        if moment is not None and moment <= desk.shelf.now():
            raise refused("cancel_at must be in the future.", param="cancel_at")
        desk.shop.change(subscription, cancel_at=moment, cancel_at_period_end=False)
    if "default_payment_method" in params:
        card = _card_of(desk, subscription["customer"], params)
        desk.shop.change(subscription, default_payment_method=card)
    if "metadata" in params:
        subscription["metadata"].update(group(params, "metadata"))
    return subscription


def end_subscription(desk: Desk, thing_id: str, _params: Params) -> Thing:
    """Over, now."""
    subscription = desk.shelf.get("subscription", thing_id)
    desk.shop.end(subscription)
    return subscription


def list_subscriptions(desk: Desk, _id: str, params: Params) -> Thing:
    """Of one customer or of all; those that were canceled only if asked for."""
    where = {name: params[name] for name in ("customer",) if name in params}
    if "customer" in where:
        desk.shelf.get("customer", where["customer"], param="customer")
    wanted = params.get("status")

    def keep(subscription: Thing) -> bool:
        status = subscription["status"]
        return bool(status != "canceled" if wanted is None else wanted in ("all", status))

    return page(desk, "subscription", params, where, "/v1/subscriptions", keep=keep)


def pay_invoice(desk: Desk, thing_id: str, _params: Params) -> Thing:
    """Ask once more for money that did not come."""
    invoice = desk.shelf.get("invoice", thing_id)
    if invoice["status"] != "open":
        raise refused("Invoice is already paid.")
    if not desk.shop.attempt(invoice):
        raise ApiError(402, "card_error", "Your card was declined.", code="card_declined")
    return invoice


def refund(desk: Desk, _id: str, params: Params) -> Thing:
    """Give the money of a charge back."""
    return desk.shop.refund(desk.shelf.get("charge", text(params, "charge"), param="charge"))


def list_events(desk: Desk, _id: str, params: Params) -> Thing:
    """What happened, newest first; of some kinds, if they are named."""
    wanted = params.get("types") or [params.get("type")]
    if "type" in params and "types" in params:
        raise refused("You may pass either type or types, but not both.", param="types")
    if not isinstance(wanted, list) or len(wanted) > 20:
        raise refused("types must be an array of up to 20 names.", param="types")
    return page(desk, "event", params, {}, "/v1/events", keep=lambda event: wanted == [None] or event["type"] in wanted)
