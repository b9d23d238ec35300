"""Reading the parameters of a request, with Stripe's words for what is wrong with them."""

import re
from typing import Any
from urllib.parse import urlsplit

from adapters.local.stripe_sandbox.shelf import ApiError

Params = dict[str, Any]


def refused(said: str, *, code: str | None = None, param: str | None = None) -> ApiError:
    """A request that makes no sense."""
    return ApiError(400, "invalid_request_error", said, code=code, param=param)


def text(params: Params, name: str) -> str:
    """A text that must be there."""
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise refused(f"Missing required param: {name}.", code="parameter_missing", param=name)
    return value


def flag(params: Params, name: str) -> bool:
    """`true` or `false`."""
    if (value := params[name]) not in ("true", "false"):
        raise refused(f"Invalid boolean: {value}", param=name)
    return bool(value == "true")


def number(value: Any, name: str) -> int:
    """A whole number."""
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal():
        raise refused(f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
    return int(value)


def group(params: Params, name: str) -> Params:
    """The fields `name[…]`; none is an empty group."""
    value = params.get(name) or {}
    if not isinstance(value, dict):
        raise refused(f"Invalid {name}: must be a hash", param=name)
    return value


def only(params: Params, name: str) -> Params:
    """The one item of a list; Stripe takes more, the sandbox sells one at a time."""
    items = params.get(name)
    if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
        raise refused("The sandbox sells one item at a time.", param=name)
    return items[0]


def address(params: Params, name: str) -> str:
    """A URL with its scheme."""
    value = text(params, name)
    where = urlsplit(value)
    if where.scheme not in ("http", "https") or not where.netloc:
        said = "Not a valid URL: an explicit scheme (such as https) must be provided."
        raise refused(said, code="url_invalid", param=name)
    return value


def email(params: Params) -> str | None:
    """An address that Stripe takes: plain ASCII, or none."""
    value = params.get("email") or None
    if value is not None and not re.fullmatch(r"[!-?A-~]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+", str(value)):
        raise refused(f"Invalid email address: {value}", code="email_invalid", param="email")
    return value
