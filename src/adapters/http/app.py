"""The HTTP API: all routes on this page."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import falcon
from prometheus_client import CollectorRegistry

from adapters.http import openapi
from adapters.http.documentation import Documentation
from adapters.http.middleware import Cors, Requests, StandardHeaders
from adapters.http.operations import Healthz, Metrics, Probe, Readyz
from adapters.http.problems import Answers, ProblemPages
from adapters.http.routing import Route, Router, Topic
from gemini_core.core import Core
from gemini_core.ports.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What the HTTP side needs to know beside the core.

    `public_url` has no slash at its end. `cursor_keys`: 32 random bytes each, newest first. `stopping` is set when the
    process is about to end, so that event streams end too. `registry` is where this process keeps its figures.
    """

    clock: Clock
    public_url: str
    cursor_keys: tuple[bytes, ...]
    probes: Mapping[str, Probe]
    trusted_proxies: int = 0
    cors_origins: tuple[str, ...] = ()
    stopping: threading.Event = field(default_factory=threading.Event)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)


def topics(core: Core, edge: Edge) -> tuple[Topic, ...]:  # noqa: ARG001
    """Every path of the product, by topic."""
    return ()


def create(core: Core, edge: Edge) -> "falcon.App[falcon.Request, falcon.Response]":
    """The WSGI application."""
    return assemble(topics(core, edge), edge)


def with_operations(topics: tuple[Topic, ...], edge: Edge) -> tuple[Topic, ...]:
    """These topics, and what every service has beside its product: health, figures, and the description of it all."""
    problems = ProblemPages()
    documentation = Documentation(lambda: openapi.document(every, edge.public_url))
    operations = Topic(
        "Operations",
        (
            Route("/healthz/", Healthz()),
            Route("/readyz/", Readyz(edge.probes)),
            Route("/metrics", Metrics(edge.registry)),
            Route("/openapi.json", documentation),
            Route("/docs/", documentation, "page"),
            Route("/problems/", problems),
            Route("/problems/{slug}/", problems, "one"),
        ),
    )
    every = (*topics, operations)
    return every


def assemble(topics: tuple[Topic, ...], edge: Edge) -> "falcon.App[falcon.Request, falcon.Response]":
    """A WSGI application that answers these topics' routes, and the operations, by the house's conventions."""
    app = falcon.App(router=Router())
    app.add_middleware(Requests(edge.trusted_proxies, edge.registry))
    app.add_middleware(StandardHeaders())
    if edge.cors_origins:
        app.add_middleware(Cors(edge.cors_origins))
    Answers(edge.clock, f"{edge.public_url}/subscribe/pro/").install(app)
    for topic in with_operations(topics, edge):
        for route in topic.routes:
            app.add_route(route.path, route.resource, suffix=route.suffix)
    return app
