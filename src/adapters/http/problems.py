"""What goes wrong, as problems (RFC 9457).

A verb's failure, an error of Falcon's and an exception that nobody expected all leave through here, so every error
has the same shape, and tells nothing but what its words say.
"""

from collections.abc import Mapping
from html import escape
from math import ceil
from typing import Any, Final

import falcon
import structlog
from msgspec import Struct

from adapters.http import bodies, events, pages, ratelimits
from adapters.http.context import request_id
from adapters.http.describing import Moment, Parameter, describe
from adapters.http.kinds import KINDS, Kind
from gemini_core.errors import Failure, Invalid, LimitReached, NotFound, RateLimited, Unauthenticated, Unavailable
from gemini_core.model.billing.checkouts import AlreadySubscribed
from gemini_core.model.requests import NoUser
from gemini_core.ports.clock import Clock

log = structlog.get_logger()

MEDIA_PROBLEM: Final = "application/problem+json"


_BY_STATUS: Final[Mapping[int, str]] = {
    404: "not-found",
    405: "method-not-allowed",
    413: "content-too-large",
    415: "unsupported-media-type",
}

# Every 401 says how to sign in (RFC 9110); only one for want of a good access token says that this was why (RFC 6750),
# so that nobody renews a good one and sends a wrong password again.
_CHALLENGE: Final = "Bearer"
_SIGNED_OUT: Final = 'Bearer error="invalid_token"'


class FieldProblem(Struct):
    """What is wrong with one field. `field` is a dotted path, empty for the body as a whole."""

    field: str
    message: str
    code: str


class Problem(Struct, omit_defaults=True):
    """An error (RFC 9457). `type` is a page about this kind of problem; `instance` is the request id."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem] | None = None
    limit: int | None = None
    used: int | None = None
    resets_at: Moment | None = None
    upgrade_url: str | None = None
    portal_url: str | None = None


def kind_of(failure: Failure) -> tuple[str, Kind]:
    """The code that a failure is answered under, and its kind."""
    code = failure.code if failure.code in KINDS else type(failure).code
    return code, KINDS[code]


class Answers:
    """Turns whatever was raised into an answer. `upgrade_url`: where a larger plan is to be had."""

    def __init__(self, clock: Clock, upgrade_url: str) -> None:
        self._clock = clock
        self._upgrade_url = upgrade_url

    def install(self, app: "falcon.App[falcon.Request, falcon.Response]") -> None:
        """From now on every error of `app` is a problem."""
        app.add_error_handler(Exception, self.unexpected)
        app.add_error_handler(falcon.HTTPError, self.protocol)
        app.add_error_handler(Failure, self.failure)
        app.add_error_handler(NoUser, self.gone)

    def failure(self, req: falcon.Request, resp: falcon.Response, failure: Failure, _params: dict[str, Any]) -> None:
        """A verb said no."""
        code, kind = kind_of(failure)
        problem = _problem(req, code, kind, failure.detail)
        match failure:
            case Invalid():
                problem.errors = [FieldProblem(error.field, error.message, error.code) for error in failure.errors]
            case Unauthenticated():
                resp.set_header("WWW-Authenticate", _SIGNED_OUT if code == "unauthenticated" else _CHALLENGE)
            case LimitReached():
                problem.limit, problem.used, problem.resets_at = failure.limit, failure.used, failure.resets_at
                problem.upgrade_url = self._upgrade_url
                seconds = max(1, ceil((failure.resets_at - self._clock.now()).total_seconds()))
                resp.set_header("Retry-After", str(seconds))
                ratelimits.tell(resp, ratelimits.daily(failure.limit, failure.used, seconds))
            case AlreadySubscribed():
                problem.portal_url = failure.portal_url
            case RateLimited():
                resp.set_header("Retry-After", str(failure.retry_after))
                ratelimits.tell(
                    resp,
                    ratelimits.LimitState(failure.policy, failure.limit, failure.window, 0, failure.retry_after),
                )
            case Unavailable():
                resp.set_header("Retry-After", str(failure.retry_after))
            case _:
                pass
        _send(resp, problem)

    def gone(self, req: falcon.Request, resp: falcon.Response, _failure: NoUser, params: dict[str, Any]) -> None:
        """The one user that a request can be about is its caller, whose account has just been closed: signed out."""
        self.failure(req, resp, Unauthenticated("This session has ended."), params)

    def protocol(
        self, req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _params: dict[str, Any]
    ) -> None:
        """Falcon said no: no such path, no such method, a body or header that is none."""
        if isinstance(error, falcon.MediaMalformedError):
            code = "malformed-json"
        elif error.status_code >= 500:
            code = "internal-error"
        else:
            code = _BY_STATUS.get(error.status_code, "bad-request")
        if error.headers is not None:
            resp.set_headers(error.headers)
        kind = KINDS[code]
        _send(resp, _problem(req, code, kind, error.description or f"{kind.title}."))

    def unexpected(self, req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, Any]) -> None:
        """Nobody expected this: it goes to the log with everything, and to the client with nothing."""
        log.error("unexpected error", exc_info=error, method=req.method, route=req.uri_template)
        kind = KINDS["internal-error"]
        _send(resp, _problem(req, "internal-error", kind, "The server failed to answer this request."))


def _problem(req: falcon.Request, code: str, kind: Kind, detail: str) -> Problem:
    return Problem(f"/problems/{code}", kind.title, kind.status, detail, request_id(req))


def _send(resp: falcon.Response, problem: Problem) -> None:
    resp.status = problem.status
    events.drop(resp)
    resp.content_type = MEDIA_PROBLEM
    resp.set_header("Cache-Control", "no-store")
    resp.data = bodies.write(problem)


class ProblemKind(Struct):
    """A kind of problem, explained."""

    type: str
    status: int
    title: str
    text: str


class ProblemKinds(Struct):
    """All kinds of problem."""

    items: list[ProblemKind]


class ProblemPages:
    """The pages that a problem's `type` leads to: HTML for a browser, JSON for a program."""

    @describe("All kinds of problem", answers={200: ProblemKinds}, html=True, signed_in=False)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every `type` that an error can carry, with what it means."""
        kinds = [_explained(slug) for slug in sorted(KINDS)]
        if not pages.wanted(req):
            resp.data = bodies.write(ProblemKinds(kinds))
            return
        rows = "".join(
            f'<tr><td>{kind.status}</td><td><a href="{kind.type}/">{escape(kind.title)}</a></td></tr>' for kind in kinds
        )
        pages.show(resp, "Problems", f"<h1>Problems</h1><table>{rows}</table>")

    @describe(
        "One kind of problem",
        answers={200: ProblemKind},
        html=True,
        path=(Parameter("slug", "The last part of a problem's `type`."),),
        problems=("not-found",),
        signed_in=False,
    )
    def on_get_one(self, req: falcon.Request, resp: falcon.Response, slug: str) -> None:
        """What a problem means, and what to do about it."""
        if slug not in KINDS:
            raise NotFound("There is no such kind of problem.")
        kind = _explained(slug)
        if not pages.wanted(req):
            resp.data = bodies.write(kind)
            return
        body = (
            f'<p class="dim">{kind.status} · <code>{slug}</code></p><h1>{escape(kind.title)}</h1>'
            f'<p>{prose(kind.text)}</p><p><a href="/problems/">All problems</a> · <a href="/docs/">The API</a></p>'
        )
        pages.show(resp, kind.title, body)


def _explained(slug: str) -> ProblemKind:
    kind = KINDS[slug]
    return ProblemKind(f"/problems/{slug}", kind.status, kind.title, kind.text)


def prose(text: str) -> str:
    """Our own words as HTML: `so` becomes code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
