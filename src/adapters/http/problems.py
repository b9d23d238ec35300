"""What goes wrong, as problems (RFC 9457): one table says what every code means, in a status and in words.

A verb's failure, an error of Falcon's and an exception that nobody expected all leave through here, so every error
has the same shape, and tells nothing but what its words say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from math import ceil
from typing import Any, Final

import falcon
import structlog
from msgspec import Struct

from adapters.http import bodies, pages, ratelimits
from adapters.http.context import request_id
from adapters.http.describing import Parameter, describe
from gemini_core.errors import Failure, Invalid, LimitReached, NotFound, RateLimited, Unauthenticated, Unavailable
from gemini_core.ports.clock import Clock

log = structlog.get_logger()

MEDIA_PROBLEM: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its status, its title, and the paragraph on its page."""

    status: int
    title: str
    text: str


KINDS: Final[Mapping[str, Kind]] = {
    # The words of gemini_core.errors. A code that is not in this table takes its word's status and page.
    "invalid-request": Kind(
        422,
        "The request is not acceptable as it is",
        "`errors` names each field at fault, with a message for people and a code for programs. Unknown fields, "
        "wrong types, duplicate keys and numbers that JSON does not have are refused too.",
    ),
    "refused": Kind(400, "Refused", "The proof that came with the request does not hold. Nothing more is told."),
    "unauthenticated": Kind(
        401,
        "Sign-in needed",
        "The call needs `Authorization: Bearer <access token>`, and there was none, or it is not valid (any more). "
        "Get a new one with the refresh token, or sign in again.",
    ),
    "forbidden": Kind(403, "Not part of the plan", "You are signed in, but your plan does not include this."),
    "not-found": Kind(
        404, "Not found", "There is nothing at this address, or it is not yours: the two are never told apart."
    ),
    "conflict": Kind(409, "Not in this state", "The thing exists, but is in a state that does not allow this call."),
    "daily-limit-reached": Kind(
        402,
        "The plan's daily limit is used up",
        "`used` of `limit` messages of today (UTC) are used. It starts anew at `resets_at`; `Retry-After` has the "
        "seconds until then; `upgrade_url` leads to a larger plan. Nothing was stored.",
    ),
    "rate-limited": Kind(
        429,
        "Too many requests",
        "Wait as many seconds as `Retry-After` says, then ask again. `RateLimit-Policy` has the rule.",
    ),
    "unavailable": Kind(
        503,
        "Unavailable for the moment",
        "Something that this call needs is away. Nothing was done; ask again after `Retry-After` seconds.",
    ),
    # Finer words of the verbs.
    "idempotency-key-reused": Kind(
        422,
        "The Idempotency-Key was used before",
        "The same key came earlier with another request. A key stands for one request; take a fresh one for a new one.",
    ),
    "invalid-otp": Kind(
        400,
        "The code is not valid",
        "The code is wrong, expired, used, unknown, or was tried too often: which of these is never told. "
        "Ask for a new one.",
    ),
    "invalid-credentials": Kind(
        401, "Wrong number or password", "The number and the password do not fit together. Which is wrong is not told."
    ),
    "already-subscribed": Kind(
        409, "Already subscribed", "There is a running subscription. It can be managed through the portal."
    ),
    "invalid-signature": Kind(
        400,
        "The signature does not hold",
        "The signature is missing, wrong or too old. Nothing was read from the body.",
    ),
    "temporary-reduced-capacity": Kind(
        503, "Less capacity for the moment", "This can not be served right now. Nothing was done; try again later."
    ),
    # What HTTP itself has to say.
    "bad-request": Kind(400, "Bad request", "The request is not proper HTTP, for instance in one of its headers."),
    "malformed-json": Kind(400, "Malformed JSON", "The body is not JSON (RFC 8259) in UTF-8, or ended early."),
    "bad-cursor": Kind(
        400,
        "The cursor is not valid",
        "A cursor is good only for the list, the user and the filters that it was given out for, and only unchanged. "
        "Start again without one.",
    ),
    "method-not-allowed": Kind(
        405, "The path does not answer this method", "`Allow` lists the methods that the path answers."
    ),
    "content-too-large": Kind(413, "The body is too large", "A body may have 1 MiB, unless the call says otherwise."),
    "unsupported-media-type": Kind(
        415, "Not a media type for this call", "Bodies are `application/json` in UTF-8, and `Content-Type` says so."
    ),
    "internal-error": Kind(
        500,
        "Something went wrong here",
        "The fault is ours and is in our log under the request id (`instance`). Asking again may help.",
    ),
}

_BY_STATUS: Final[Mapping[int, str]] = {
    404: "not-found",
    405: "method-not-allowed",
    413: "content-too-large",
    415: "unsupported-media-type",
}

_CHALLENGE: Final = 'Bearer error="invalid_token"'


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
    resets_at: datetime | None = None
    upgrade_url: str | None = None


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

    def failure(self, req: falcon.Request, resp: falcon.Response, failure: Failure, _params: dict[str, Any]) -> None:
        """A verb said no."""
        code, kind = kind_of(failure)
        problem = _problem(req, code, kind, failure.detail)
        match failure:
            case Invalid():
                problem.errors = [FieldProblem(error.field, error.message, error.code) for error in failure.errors]
            case Unauthenticated():
                resp.set_header("WWW-Authenticate", _CHALLENGE)
            case LimitReached():
                problem.limit, problem.used, problem.resets_at = failure.limit, failure.used, failure.resets_at
                problem.upgrade_url = self._upgrade_url
                seconds = max(1, ceil((failure.resets_at - self._clock.now()).total_seconds()))
                resp.set_header("Retry-After", str(seconds))
                ratelimits.tell(resp, ratelimits.daily(failure.limit, failure.used, seconds))
            case RateLimited():
                resp.set_header("Retry-After", str(failure.retry_after))
                ratelimits.tell(
                    resp,
                    ratelimits.Standing(failure.policy, failure.limit, failure.window, 0, failure.retry_after),
                )
            case Unavailable():
                resp.set_header("Retry-After", str(failure.retry_after))
            case _:
                pass
        _send(resp, problem)

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
    resp.stream = None
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
