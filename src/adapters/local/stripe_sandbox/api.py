"""The API that the `stripe` package calls: the part of Stripe's v1 that a subscription's life needs."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.local.stripe_sandbox.shelf import ApiError, Shelf, Thing, monthly, new_id
from adapters.local.stripe_sandbox.shop import CHECKOUT_LIFE, Shop

KEY_PREFIX = "sk_test_sandbox"
Params = dict[str, Any]
Handler = Callable[["Api", str, Params], Thing]


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, what to say, and whether it was said before for the same idempotency key."""

    status: int
    body: Thing
    replayed: bool = False


class Api:
    """One call in, one answer out; one call at a time."""

    def __init__(self, shelf: Shelf, shop: Shop, *, public_url: str) -> None:
        self.shelf = shelf
        self.shop = shop
        self.public_url = public_url
        self.calls: list[str] = []
        self._said: dict[str, tuple[bytes, int, Answer]] = {}

    def call(self, method: str, path: str, params: Params, headers: Mapping[str, str]) -> Answer:
        """Answer as Stripe would: authorised, once per idempotency key, errors in Stripe's form."""
        with self.shelf.lock:
            self.calls.append(f"{method} {path}")
            try:
                authorise(headers.get("Authorization", ""))
                key = headers.get("Idempotency-Key") if method == "POST" else None
                if key is None:
                    return Answer(200, self._answer(method, path, params))
                return self._once(key, method, path, params)
            except ApiError as error:
                return Answer(error.status, error.body)

    def _once(self, key: str, method: str, path: str, params: Params) -> Answer:
        asked = hashlib.sha256(json.dumps([method, path, params], sort_keys=True).encode()).digest()
        before = self._said.get(key)
        if before is not None and before[1] > self.shelf.now() - CHECKOUT_LIFE:
            if before[0] != asked:
                raise ApiError(
                    400,
                    "idempotency_error",
                    "Keys for idempotent requests can only be used with the same parameters they were first used with.",
                )
            return Answer(before[2].status, before[2].body, replayed=True)
        answer = Answer(200, json.loads(json.dumps(self._answer(method, path, params))))
        self._said[key] = (asked, self.shelf.now(), answer)
        return answer

    def _answer(self, method: str, path: str, params: Params) -> Thing:
        for route_method, pattern, known, handler in ROUTES:
            if route_method == method and (found := pattern.fullmatch(path)):
                params.pop("expand", None)
                if unknown := params.keys() - known:
                    param = min(unknown)
                    said = f"Received unknown parameter: {param}"
                    raise ApiError(400, "invalid_request_error", said, code="parameter_unknown", param=param)
                return handler(self, found.groupdict().get("id", ""), params)
        raise ApiError(404, "invalid_request_error", f"Unrecognized request URL ({method}: {path}).")


def authorise(header: str) -> None:
    """Only the sandbox's own keys: a key for the real Stripe never belongs here."""
    if not header.startswith(f"Bearer {KEY_PREFIX}"):
        said = f"Invalid API Key provided. This is a sandbox: it takes only keys that begin with {KEY_PREFIX}."
        raise ApiError(401, "invalid_request_error", said)


def _text(params: Params, name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        said = f"Missing required param: {name}."
        raise ApiError(400, "invalid_request_error", said, code="parameter_missing", param=name)
    return value


def _flag(params: Params, name: str) -> bool:
    if (value := params[name]) not in ("true", "false"):
        raise ApiError(400, "invalid_request_error", f"Invalid boolean: {value}", param=name)
    return bool(value == "true")


def _number(value: Any, name: str) -> int:
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal():
        said = f"Invalid integer: {value}"
        raise ApiError(400, "invalid_request_error", said, code="parameter_invalid_integer", param=name)
    return int(value)


def _group(params: Params, name: str) -> dict[str, Any]:
    value = params.get(name) or {}
    if not isinstance(value, dict):
        raise ApiError(400, "invalid_request_error", f"Invalid {name}: must be a hash", param=name)
    return value


def _page(
    api: Api, kind: str, params: Params, where: Thing, url: str, *, keep: Callable[[Thing], bool] = bool
) -> Thing:
    """Newest first, `limit` at a time, on from `starting_after`; only what to `keep`."""
    limit = _number(params.get("limit", "10"), "limit")
    if not 1 <= limit <= 100:
        raise ApiError(400, "invalid_request_error", "Invalid limit: must be 1 to 100", param="limit")
    things = [thing for thing in api.shelf.all(kind, **where) if keep(thing)]
    for name, value in _group(params, "created").items():
        bound = _number(value, f"created[{name}]")
        inside = {"gte": bound.__le__, "gt": bound.__lt__, "lte": bound.__ge__, "lt": bound.__gt__}[name]
        things = [thing for thing in things if inside(thing["created"])]
    if start := params.get("starting_after"):
        ids = [thing["id"] for thing in things]
        if start not in ids:
            raise api.shelf.missing(kind, start, param="starting_after")
        things = things[ids.index(start) + 1 :]
    return {"object": "list", "data": things[:limit], "has_more": len(things) > limit, "url": url}


def _new_customer(api: Api, _id: str, params: Params) -> Thing:
    return api.shelf.add(
        "customer", email=params.get("email"), name=params.get("name"), metadata=_group(params, "metadata")
    )


def _customer(api: Api, thing_id: str, _params: Params) -> Thing:
    return api.shelf.get("customer", thing_id, param="customer")


def _change_customer(api: Api, thing_id: str, params: Params) -> Thing:
    customer = _live_customer(api, thing_id)
    customer.update(params)
    api.shelf.emit("customer.updated", customer)
    return customer


def _delete_customer(api: Api, thing_id: str, _params: Params) -> Thing:
    customer = _live_customer(api, thing_id)
    for subscription in list(api.shelf.all("subscription", customer=thing_id)):
        if subscription["ended_at"] is None:
            api.shop.end(subscription)
    customer["deleted"] = True
    api.shelf.emit("customer.deleted", customer)
    return {"id": thing_id, "object": "customer", "deleted": True}


def _live_customer(api: Api, thing_id: str) -> Thing:
    customer = api.shelf.get("customer", thing_id, param="customer")
    if customer.get("deleted"):
        raise api.shelf.missing("customer", thing_id, param="customer")
    return customer


def _search_customers(api: Api, _id: str, params: Params) -> Thing:
    query = _text(params, "query")
    found = re.fullmatch(r"""metadata\[['"](\w+)['"]\]\s*:\s*['"]([^'"]*)['"]""", query)
    if not found:
        raise ApiError(400, "invalid_request_error", "The sandbox searches metadata only.", param="query")
    name, value = found.groups()
    data = [each for each in api.shelf.all("customer") if each["metadata"].get(name) == value and "deleted" not in each]
    return {
        "object": "search_result",
        "data": data,
        "has_more": False,
        "next_page": None,
        "url": "/v1/customers/search",
    }


def _new_price(api: Api, _id: str, params: Params) -> Thing:
    return api.shelf.add(
        "price",
        currency=_text(params, "currency"),
        unit_amount=_number(params.get("unit_amount"), "unit_amount"),
        nickname=params.get("nickname"),
        **monthly(),
    )


def _new_session(api: Api, _id: str, params: Params) -> Thing:
    if _text(params, "mode") != "subscription":
        raise ApiError(400, "invalid_request_error", "The sandbox sells subscriptions only.", param="mode")
    customer = _live_customer(api, _text(params, "customer"))["id"]
    items = params.get("line_items")
    if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
        raise ApiError(400, "invalid_request_error", "The sandbox sells one item at a time.", param="line_items")
    price = api.shelf.get("price", _text(items[0], "price"), param="line_items[0][price]")
    session_id = new_id("checkout.session")
    now = api.shelf.now()
    return api.shelf.add(
        "checkout.session",
        id=session_id,
        mode="subscription",
        status="open",
        payment_status="unpaid",
        customer=customer,
        subscription=None,
        client_reference_id=params.get("client_reference_id"),
        metadata=_group(params, "metadata"),
        success_url=_text(params, "success_url"),
        cancel_url=params.get("cancel_url"),
        expires_at=_number(params.get("expires_at", str(now + CHECKOUT_LIFE)), "expires_at"),
        url=f"{api.public_url}/pay/{session_id}",
        sandbox_price=price["id"],
        sandbox_metadata=_group(_group(params, "subscription_data"), "metadata"),
    )


def _expire_session(api: Api, thing_id: str, _params: Params) -> Thing:
    session = api.shelf.get("checkout.session", thing_id, param="session")
    if session["status"] != "open":
        raise ApiError(400, "invalid_request_error", "Only Checkout Sessions with a status of open can be expired.")
    api.shop.expire(session)
    return session


def _new_subscription(api: Api, _id: str, params: Params) -> Thing:
    customer = _live_customer(api, _text(params, "customer"))["id"]
    items = params.get("items")
    if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
        raise ApiError(400, "invalid_request_error", "The sandbox takes one item at a time.", param="items")
    made = api.shop.subscribe(customer, _text(items[0], "price"), _group(params, "metadata"))
    api.shop.collect(made)
    return made


def _change_subscription(api: Api, thing_id: str, params: Params) -> Thing:
    subscription = api.shelf.get("subscription", thing_id)
    if "cancel_at_period_end" in params:
        api.shop.plan_end(subscription, at_period_end=_flag(params, "cancel_at_period_end"))
    elif "cancel_at" in params:
        moment = params["cancel_at"]
        api.shop.change(
            subscription, cancel_at=_number(moment, "cancel_at") if moment else None, cancel_at_period_end=False
        )
    if "metadata" in params:
        subscription["metadata"].update(_group(params, "metadata"))
    return subscription


def _end_subscription(api: Api, thing_id: str, _params: Params) -> Thing:
    subscription = api.shelf.get("subscription", thing_id)
    api.shop.end(subscription)
    return subscription


def _subscriptions(api: Api, _id: str, params: Params) -> Thing:
    where = {name: params[name] for name in ("customer",) if name in params}
    if "customer" in where:
        api.shelf.get("customer", where["customer"], param="customer")
    wanted = params.get("status")

    def keep(subscription: Thing) -> bool:
        status = subscription["status"]
        return bool(status != "canceled" if wanted is None else wanted in ("all", status))

    return _page(api, "subscription", params, where, "/v1/subscriptions", keep=keep)


def _events(api: Api, _id: str, params: Params) -> Thing:
    wanted = params.get("types") or [params.get("type")]
    return _page(api, "event", params, {}, "/v1/events", keep=lambda event: wanted == [None] or event["type"] in wanted)


def _new_portal(api: Api, _id: str, params: Params) -> Thing:
    customer = _live_customer(api, _text(params, "customer"))["id"]
    session_id = new_id("billing_portal.session")
    url = f"{api.public_url}/portal/{session_id}"
    back = params.get("return_url")
    return api.shelf.add("billing_portal.session", id=session_id, customer=customer, return_url=back, url=url)


def _new_refund(api: Api, _id: str, params: Params) -> Thing:
    return api.shop.refund(api.shelf.get("charge", _text(params, "charge"), param="charge"))


def _one(kind: str) -> Handler:
    return lambda api, thing_id, _params: api.shelf.get(kind, thing_id)


def _list(kind: str, url: str, *filters: str) -> Handler:
    def listed(api: Api, _id: str, params: Params) -> Thing:
        return _page(api, kind, params, {name: params[name] for name in filters if name in params}, url)

    return listed


def _route(method: str, path: str, known: str, handler: Handler) -> tuple[str, re.Pattern[str], set[str], Handler]:
    return method, re.compile(path.replace("{id}", r"(?P<id>[^/]+)")), set(known.split()), handler


PAGING = "limit starting_after created"
SESSION = (
    "mode customer line_items success_url cancel_url client_reference_id metadata subscription_data expires_at "
    "allow_promotion_codes locale"
)
ROUTES = [
    _route("POST", "/v1/customers", "email name metadata", _new_customer),
    _route("GET", "/v1/customers", f"{PAGING} email", _list("customer", "/v1/customers", "email")),
    _route("GET", "/v1/customers/search", "query limit page", _search_customers),
    _route("GET", "/v1/customers/{id}", "", _customer),
    _route("POST", "/v1/customers/{id}", "email name metadata", _change_customer),
    _route("DELETE", "/v1/customers/{id}", "", _delete_customer),
    _route("POST", "/v1/prices", "currency unit_amount nickname recurring product product_data", _new_price),
    _route("GET", "/v1/prices", PAGING, _list("price", "/v1/prices")),
    _route("GET", "/v1/prices/{id}", "", _one("price")),
    _route("POST", "/v1/checkout/sessions", SESSION, _new_session),
    _route(
        "GET",
        "/v1/checkout/sessions",
        f"{PAGING} customer status",
        _list("checkout.session", "/v1/checkout/sessions", "customer", "status"),
    ),
    _route("GET", "/v1/checkout/sessions/{id}", "", _one("checkout.session")),
    _route("POST", "/v1/checkout/sessions/{id}/expire", "", _expire_session),
    _route("POST", "/v1/subscriptions", "customer items metadata", _new_subscription),
    _route("GET", "/v1/subscriptions", f"{PAGING} customer status", _subscriptions),
    _route("GET", "/v1/subscriptions/{id}", "", _one("subscription")),
    _route("POST", "/v1/subscriptions/{id}", "cancel_at_period_end cancel_at metadata", _change_subscription),
    _route("DELETE", "/v1/subscriptions/{id}", "invoice_now prorate", _end_subscription),
    _route("POST", "/v1/billing_portal/sessions", "customer return_url", _new_portal),
    _route("GET", "/v1/invoices", f"{PAGING} customer", _list("invoice", "/v1/invoices", "customer")),
    _route("GET", "/v1/invoices/{id}", "", _one("invoice")),
    _route("GET", "/v1/charges", f"{PAGING} customer", _list("charge", "/v1/charges", "customer")),
    _route("GET", "/v1/charges/{id}", "", _one("charge")),
    _route("POST", "/v1/refunds", "charge", _new_refund),
    _route("GET", "/v1/refunds", PAGING, _list("refund", "/v1/refunds")),
    _route("GET", "/v1/disputes", PAGING, _list("dispute", "/v1/disputes")),
    _route("GET", "/v1/disputes/{id}", "", _one("dispute")),
    _route("GET", "/v1/events", f"{PAGING} type types", _events),
    _route("GET", "/v1/events/{id}", "", _one("event")),
]
