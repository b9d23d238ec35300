"""How much of a limit is left, in the headers of draft-ietf-httpapi-ratelimit-headers-10."""

from dataclasses import dataclass

import falcon

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands: `remaining` of `limit` in a window of `window` seconds that ends in `reset` seconds."""

    policy: str
    limit: int
    window: int
    remaining: int
    reset: int


def daily(limit: int, used: int, reset: int) -> Standing:
    """The standing against a plan's daily limit."""
    return Standing("daily", limit, DAY, max(0, limit - used), reset)


def tell(resp: falcon.Response, standing: Standing) -> None:
    """Put a standing into the answer's headers."""
    resp.set_header("RateLimit-Policy", f'"{standing.policy}";q={standing.limit};w={standing.window}')
    resp.set_header("RateLimit", f'"{standing.policy}";r={standing.remaining};t={standing.reset}')
