"""Every call that the sandbox knows, with the parameters that it takes; any other one is an error."""

import re

from adapters.local.stripe_sandbox import clocks, customers, sales
from adapters.local.stripe_sandbox.lists import Handler, listed, one

Route = tuple[str, re.Pattern[str], set[str], Handler]

PAGING = "limit starting_after created"
SESSION = (
    "mode customer line_items success_url cancel_url client_reference_id metadata subscription_data expires_at "
    "allow_promotion_codes locale"
)


def _route(method: str, path: str, known: str, handler: Handler) -> Route:
    return method, re.compile(path.replace("{id}", r"(?P<id>[^/]+)")), set(known.split()), handler


def _collection(path: str, kind: str, filters: str = "") -> list[Route]:
    """A list, and each thing of it."""
    return [
        _route("GET", path, f"{PAGING} {filters}", listed(kind, path, *filters.split())),
        _route("GET", f"{path}/{{id}}", "", one(kind)),
    ]


ROUTES = [
    _route("POST", "/v1/customers", "email name metadata test_clock", customers.create),
    _route("GET", "/v1/customers/search", "query limit page", customers.search),
    _route("GET", "/v1/customers/{id}", "", customers.retrieve),
    _route("POST", "/v1/customers/{id}", "email name metadata", customers.update),
    _route("DELETE", "/v1/customers/{id}", "", customers.delete),
    _route("POST", "/v1/payment_methods/{id}/attach", "customer", customers.attach_card),
    _route("POST", "/v1/billing_portal/sessions", "customer return_url", customers.open_portal),
    _route("GET", "/v1/billing_portal/configurations", "active is_default limit", customers.portal_configurations),
    _route("POST", "/v1/prices", "currency unit_amount nickname recurring product product_data", sales.create_price),
    _route("POST", "/v1/prices/{id}", "active", sales.update_price),
    _route("POST", "/v1/checkout/sessions", SESSION, sales.create_session),
    _route("POST", "/v1/checkout/sessions/{id}/expire", "", sales.expire_session),
    _route("POST", "/v1/subscriptions", "customer items metadata default_payment_method", sales.create_subscription),
    _route("GET", "/v1/subscriptions", f"{PAGING} customer status", sales.list_subscriptions),
    _route("GET", "/v1/subscriptions/{id}", "", one("subscription")),
    _route(
        "POST",
        "/v1/subscriptions/{id}",
        "cancel_at_period_end cancel_at default_payment_method metadata",
        sales.update_subscription,
    ),
    _route("DELETE", "/v1/subscriptions/{id}", "invoice_now prorate", sales.end_subscription),
    _route("POST", "/v1/invoices/{id}/pay", "", sales.pay_invoice),
    _route("POST", "/v1/refunds", "charge", sales.refund),
    _route("GET", "/v1/events", f"{PAGING} type types", sales.list_events),
    _route("GET", "/v1/events/{id}", "", one("event")),
    _route("POST", "/v1/test_helpers/test_clocks", "frozen_time name customer", clocks.create),
    _route("GET", "/v1/test_helpers/test_clocks/{id}", "", one("test_helpers.test_clock")),
    _route("POST", "/v1/test_helpers/test_clocks/{id}/advance", "frozen_time", clocks.advance),
    _route("DELETE", "/v1/test_helpers/test_clocks/{id}", "", clocks.delete),
    *_collection("/v1/customers", "customer", "email"),
    *_collection("/v1/prices", "price", "active"),
    *_collection("/v1/checkout/sessions", "checkout.session", "customer status subscription"),
    *_collection("/v1/invoices", "invoice", "customer status"),
    *_collection("/v1/charges", "charge", "customer"),
    *_collection("/v1/refunds", "refund", "charge"),
    *_collection("/v1/disputes", "dispute", "charge"),
]
