"""A small API on the HTTP foundation: resources that take bodies, pages and ids, and raise what they are told to."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import falcon
from falcon.testing import Result, StartResponseMock, create_environ
from msgspec import Meta, Struct

from adapters.http import bodies, events
from adapters.http.app import Edge, assemble
from adapters.http.describing import PAGED, Parameter, describe
from adapters.http.operations import Probe
from adapters.http.paging import Cursors, Listing
from adapters.http.routing import Route, Topic
from gemini_core.model.requests import Page

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOON


class Part(Struct, forbid_unknown_fields=True):
    size: int


class Thing(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=10)]
    count: Annotated[int, Meta(ge=0)] = 0
    weight: float = 0.0
    colour: Literal["red", "blue"] = "red"
    parts: list[Part] = []
    made_at: datetime | None = None
    owner: UUID | None = None


class Wish(Struct, forbid_unknown_fields=True):
    name: str = "none"


@dataclass(frozen=True, slots=True)
class Letters:
    """A list of letters, page by page."""

    def after(self, limit: int, position: tuple[str, ...] | None) -> Page[str]:
        letters = "abcdefghijklmnopqrstuvwxyz"
        start = 0 if position is None else letters.index(position[0]) + 1
        items = tuple(letters[start : start + limit])
        return Page(items, (items[-1],) if start + limit < len(letters) else None)


class Things:
    def __init__(self, cursors: Cursors) -> None:
        self.cursors = cursors

    @describe("All letters", answers={200: Listing[str]}, query=PAGED, signed_in=False)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        scope = ("letters", req.get_header("X-User", default="ann"))
        limit, after = self.cursors.asked(req, *scope)
        resp.data = bodies.write(self.cursors.listing(Letters().after(limit, after), str.upper, *scope))

    @describe("A new thing", body=Thing, answers={201: Thing}, signed_in=False)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.status = falcon.HTTP_201
        resp.data = bodies.write(bodies.read(req, Thing))

    @describe("One thing", answers={200: Wish})
    def on_get_one(self, _req: falcon.Request, resp: falcon.Response, thing_id: UUID) -> None:
        resp.data = bodies.write({"id": thing_id})

    @describe("A wish", body=Wish, answers={200: Wish})
    def on_patch_one(self, req: falcon.Request, resp: falcon.Response, thing_id: UUID) -> None:
        resp.data = bodies.write(bodies.read(req, Wish))


class Trouble:
    """Raises what it is told to."""

    def __init__(self) -> None:
        self.error: Exception = RuntimeError("boom")

    @describe("Trouble", answers={204: None}, signed_in=False)
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.stream = iter([b"half an answer"])
        raise self.error


class Caller:
    """Tells what is known of the caller."""

    @describe("Who calls", answers={200: Wish}, query=(Parameter("q", "Anything."),), signed_in=False)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.data = bodies.write({"client": req.context.client, "request_id": req.context.request_id})


class Ticker:
    """An event stream that ticks until it is closed."""

    def __init__(self, edge: Edge, source: Callable[[], Iterator[events.Event | None]]) -> None:
        self.edge = edge
        self.source = source

    @describe("Ticks", answers={200: None}, signed_in=False)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        events.send(req, resp, self.source(), self.edge.stopping)


def edge(*, probes: Mapping[str, Probe] | None = None, **changes: object) -> Edge:
    plain = Edge(clock=Noon(), public_url="https://api.test", cursor_keys=(b"k" * 32,), probes=probes or {})
    return replace(plain, **changes)  # type: ignore[arg-type]


def house(
    edge: Edge,
    *,
    trouble: Trouble | None = None,
    source: Callable[[], Iterator[events.Event | None]] = lambda: iter(()),
) -> tuple[Topic, ...]:
    things = Things(Cursors(*edge.cursor_keys))
    return (
        Topic(
            "Things",
            (
                Route("/things/", things),
                Route("/things/{thing_id:uuid}/", things, "one"),
                Route("/trouble/", trouble or Trouble()),
                Route("/caller/", Caller()),
                Route("/ticks/", Ticker(edge, source)),
            ),
        ),
    )


def call(app: Any, **environ: str) -> Result:
    """One call with a WSGI environment that no well-behaved client would cause."""
    started = StartResponseMock()
    body = app(create_environ() | environ, started)
    assert started.status is not None
    return Result(body, started.status, started.headers or [])


def app(trouble: Trouble | None = None, **changes: object) -> "falcon.App[falcon.Request, falcon.Response]":
    at = edge(**changes)  # type: ignore[arg-type]
    return assemble(house(at, trouble=trouble), at)
