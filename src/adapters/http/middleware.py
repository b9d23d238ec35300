"""What happens around every request: its id, who calls, one log line, the figures, and the headers of every answer."""

from time import perf_counter
from typing import Any, Final

import falcon
import structlog
from falcon import Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram

from adapters.http.context import client, request_id
from adapters.http.shares import Shares

# ruff: noqa: FBT001 (Falcon prescribes the parameters)

log = structlog.get_logger()

EXPOSED_HEADERS: Final = (
    "ETag", "Idempotent-Replayed", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID",
)  # fmt: skip

_STANDARD_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)
_METHODS: Final = frozenset(falcon.HTTP_METHODS)


class Requests:
    """Gives `req.context` its `request_id`, `client` and `bodies`, and writes down what became of the request.

    Neither the log line nor the figures have anything that the client chose freely: the route's template stands for
    the path, and a method that is none of HTTP's is `OTHER`.
    """

    def __init__(self, trusted_proxies: int, bodies: Shares, registry: CollectorRegistry) -> None:
        self._trusted_proxies = trusted_proxies
        self._bodies = bodies
        self._count = Counter("http_requests", "Requests answered.", ("method", "route", "status"), registry=registry)
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Time to the answer's beginning; an event stream's own length is not in it.",
            ("method", "route"),
            registry=registry,
        )

    def process_request(self, req: Request, resp: Response) -> None:
        req.context.started = perf_counter()
        req.context.client = client(req, self._trusted_proxies)
        req.context.bodies = self._bodies
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id(req))

    def process_response(self, req: Request, resp: Response, resource: object, req_succeeded: bool) -> None:
        resp.set_header("X-Request-ID", request_id(req))
        now = perf_counter()
        seconds = now - getattr(req.context, "started", now)
        method = req.method if req.method in _METHODS else "OTHER"
        route = req.uri_template or "none"
        self._count.labels(method, route, resp.status_code).inc()
        self._seconds.labels(method, route).observe(seconds)
        log.info("request", method=method, route=route, status=resp.status_code, ms=round(seconds * 1000, 1))


class StandardHeaders:
    """The headers that every answer has, unless its resource chose its own."""

    def process_response(self, req: Request, resp: Response, resource: object, req_succeeded: bool) -> None:
        for name, value in _STANDARD_HEADERS:
            if resp.get_header(name) is None:
                resp.set_header(name, value)


class Cors(falcon.CORSMiddleware[Any, Any]):
    """Lets pages of the given origins call the API. Tokens go in a header, so no cookies are ever allowed along."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        super().__init__(origins, expose_headers=EXPOSED_HEADERS)

    def process_response(self, req: Any, resp: Any, resource: object, req_succeeded: bool) -> None:
        super().process_response(req, resp, resource, req_succeeded)
        resp.append_header("Vary", "Origin")
