"""Lists as Stripe pages through them, and single things by their id."""

from collections.abc import Callable

from adapters.local.stripe_sandbox.desk import Desk
from adapters.local.stripe_sandbox.params import Params, group, number, refused
from adapters.local.stripe_sandbox.shelf import Thing

Handler = Callable[[Desk, str, Params], Thing]


def one(kind: str) -> Handler:
    """The call that shows one thing of a kind."""
    return lambda desk, thing_id, _params: desk.shelf.get(kind, thing_id)


def listed(kind: str, url: str, *filters: str) -> Handler:
    """The call that lists things of a kind, by these fields where they are given."""

    def page_of(desk: Desk, _id: str, params: Params) -> Thing:
        return page(desk, kind, params, {name: params[name] for name in filters if name in params}, url)

    return page_of


def page(
    desk: Desk, kind: str, params: Params, where: Thing, url: str, *, keep: Callable[[Thing], bool] = bool
) -> Thing:
    """Newest first, `limit` at a time, on from `starting_after`; only what to `keep`."""
    limit = number(params.get("limit", "10"), "limit")
    if not 1 <= limit <= 100:
        raise refused("Invalid limit: must be 1 to 100", param="limit")
    things = [thing for thing in desk.shelf.all(kind, **where) if keep(thing)]
    for name, value in group(params, "created").items():
        bound = number(value, f"created[{name}]")
        inside = {"gte": bound.__le__, "gt": bound.__lt__, "lte": bound.__ge__, "lt": bound.__gt__}[name]
        things = [thing for thing in things if inside(thing["created"])]
    if start := params.get("starting_after"):
        ids = [thing["id"] for thing in things]
        if start not in ids:
            raise desk.shelf.missing(kind, start, param="starting_after")
        things = things[ids.index(start) + 1 :]
    return {"object": "list", "data": things[:limit], "has_more": len(things) > limit, "url": url}
