"""How much of a limit is left, in the headers of draft-ietf-httpapi-ratelimit-headers-10."""

from dataclasses import dataclass

import falcon

DAY = 86_400


@dataclass(frozen=True, slots=True)
class LimitState:
    """Where a caller stands: `remaining` of `limit` in a window of `window` seconds that ends in `reset` seconds."""

    policy: str
    limit: int
    window: int
    remaining: int
    reset: int


def daily(limit: int, used: int, reset: int) -> LimitState:
    """How much of a plan's daily limit is left."""
    return LimitState("daily", limit, DAY, max(0, limit - used), reset)


def tell(resp: falcon.Response, state: LimitState) -> None:
    """Tell it in the answer's headers."""
    resp.set_header("RateLimit-Policy", f'"{state.policy}";q={state.limit};w={state.window}')
    resp.set_header("RateLimit", f'"{state.policy}";r={state.remaining};t={state.reset}')
