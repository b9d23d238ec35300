"""Customers, their cards, and the portal that they are led to."""

import re

from adapters.local.stripe_sandbox.desk import Desk
from adapters.local.stripe_sandbox.params import Params, email, group, refused, text
from adapters.local.stripe_sandbox.shelf import Thing, new_id

# Stripe's own cards for tests, by whether they can be charged.
TEST_CARDS = {"pm_card_visa": True, "pm_card_chargeCustomerFail": False}


def create(desk: Desk, _id: str, params: Params) -> Thing:
    """A new customer."""
    clock = params.get("test_clock")
    if clock is not None:
        desk.shelf.get("test_helpers.test_clock", clock, param="test_clock")
    about = {"email": email(params), "name": params.get("name"), "metadata": group(params, "metadata")}
    return desk.shelf.add("customer", test_clock=clock, **about)


def retrieve(desk: Desk, thing_id: str, _params: Params) -> Thing:
    """A customer; of one who was deleted, only that."""
    customer = desk.shelf.get("customer", thing_id)
    return _stub(thing_id) if customer.get("deleted") else customer


def update(desk: Desk, thing_id: str, params: Params) -> Thing:
    """Change a customer."""
    customer = live(desk, thing_id, param="id")
    told = email(params)
    customer.update(params | {"email": told} if "email" in params else params)
    desk.shelf.emit("customer.updated", customer)
    return customer


def delete(desk: Desk, thing_id: str, _params: Params) -> Thing:
    """Delete a customer, and end all that they have."""
    customer = live(desk, thing_id, param="id")
    for subscription in list(desk.shelf.all("subscription", customer=thing_id)):
        if subscription["ended_at"] is None:
            desk.shop.end(subscription)
    customer["deleted"] = True
    desk.shelf.emit("customer.deleted", customer)
    return _stub(thing_id)


def search(desk: Desk, _id: str, params: Params) -> Thing:
    """Customers by one field of their metadata."""
    found = re.fullmatch(r"""metadata\[['"](\w+)['"]\]\s*:\s*['"]([^'"]*)['"]""", text(params, "query"))
    if not found:
        raise refused("The sandbox searches metadata only.", param="query")
    name, value = found.groups()
    data = [
        each for each in desk.shelf.all("customer") if each["metadata"].get(name) == value and "deleted" not in each
    ]
    url = "/v1/customers/search"
    return {"object": "search_result", "data": data, "has_more": False, "next_page": None, "url": url}


def attach_card(desk: Desk, thing_id: str, params: Params) -> Thing:
    """One of Stripe's test cards becomes a customer's."""
    customer = live(desk, text(params, "customer"))["id"]
    if thing_id not in TEST_CARDS:
        raise desk.shelf.missing("payment_method", thing_id)
    card = {"brand": "visa", "last4": "4242" if TEST_CARDS[thing_id] else "0341"}
    return desk.shelf.add("payment_method", customer=customer, type="card", card=card, sandbox_card=thing_id)


def open_portal(desk: Desk, _id: str, params: Params) -> Thing:
    """A page where the customer manages everything."""
    customer = live(desk, text(params, "customer"))["id"]
    session_id = new_id("billing_portal.session")
    url = f"{desk.public_url}/portal/{session_id}"
    back = params.get("return_url")
    return desk.shelf.add("billing_portal.session", id=session_id, customer=customer, return_url=back, url=url)


def portal_configurations(_desk: Desk, _id: str, _params: Params) -> Thing:
    """What Stripe has once an operator has saved the portal's settings; here they always have."""
    kept = {"id": "bpc_sandbox", "object": "billing_portal.configuration", "active": True, "is_default": True}
    return {"object": "list", "data": [kept], "has_more": False, "url": "/v1/billing_portal/configurations"}


def live(desk: Desk, thing_id: str, *, param: str = "customer") -> Thing:
    """A customer who is not deleted."""
    customer = desk.shelf.get("customer", thing_id, param=param)
    if customer.get("deleted"):
        raise desk.shelf.missing("customer", thing_id, param=param)
    return customer


def _stub(thing_id: str) -> Thing:
    return {"id": thing_id, "object": "customer", "deleted": True}
