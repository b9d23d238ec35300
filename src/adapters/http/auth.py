"""Who is signed in: the bearer of an access token."""

from collections.abc import Callable

from falcon import Request, Response

from gemini_core.errors import Unauthenticated
from gemini_core.model.accounts.people import Caller

SCHEME = "bearer "


class Authentication:
    """Hands the verb that reads access tokens to every request. Asked only where somebody must be signed in."""

    def __init__(self, authenticate: Callable[[str], Caller]) -> None:
        self._authenticate = authenticate

    def process_request(self, req: Request, resp: Response) -> None:
        req.context.authenticate = self._authenticate


def caller(req: Request) -> Caller:
    """Who is signed in. Raises `Unauthenticated`, `RateLimited`, `Unavailable`."""
    known: Caller | None = req.context.get("caller")
    if known is None:
        given = req.get_header("Authorization", default="")
        if not given.lower().startswith(SCHEME):
            raise Unauthenticated("Send Authorization: Bearer <access token>.")
        known = req.context.caller = req.context.authenticate(given[len(SCHEME) :].strip())
    return known


def is_signed_in(req: Request) -> bool:
    """The request claims to be somebody's."""
    return req.get_header("Authorization") is not None
