"""Test clocks. At Stripe each has a time of its own; the sandbox has one time for all, and a clock moves that."""

from adapters.local.stripe_sandbox import customers
from adapters.local.stripe_sandbox.desk import Desk
from adapters.local.stripe_sandbox.params import Params, number, refused
from adapters.local.stripe_sandbox.shelf import Thing


def create(desk: Desk, _id: str, params: Params) -> Thing:
    """A clock, over a customer if one is named."""
    if "customer" in params:
        customers.live(desk, params["customer"])
    frozen = number(params.get("frozen_time"), "frozen_time")
    return desk.shelf.add("test_helpers.test_clock", frozen_time=frozen, status="ready", name=params.get("name"))


def advance(desk: Desk, thing_id: str, params: Params) -> Thing:
    """Time passes, and everything that falls due on the way happens."""
    clock = desk.shelf.get("test_helpers.test_clock", thing_id)
    until = number(params.get("frozen_time"), "frozen_time")
    if until <= clock["frozen_time"]:
        raise refused("frozen_time must be after the test clock's current time.", param="frozen_time")
    desk.shop.advance(until - clock["frozen_time"])
    clock["frozen_time"] = until
    return clock


def delete(desk: Desk, thing_id: str, _params: Params) -> Thing:
    """The clock goes."""
    del desk.shelf.things[desk.shelf.get("test_helpers.test_clock", thing_id)["id"]]
    return {"id": thing_id, "object": "test_helpers.test_clock", "deleted": True}
