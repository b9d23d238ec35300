"""Paths and methods: the table's rows, and a router that answers both slash forms, and HEAD wherever there is GET."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import falcon
from falcon.routing import BaseConverter, CompiledRouter

from adapters.http import events, queries


@dataclass(frozen=True, slots=True)
class Route:
    """A path in its canonical form, the resource that answers it, and by which responders (`on_get_<suffix>`)."""

    path: str
    resource: object
    suffix: str | None = None


@dataclass(frozen=True, slots=True)
class Topic:
    """Routes that belong together."""

    name: str
    routes: tuple[Route, ...]


class CanonicalUuid(BaseConverter):
    """`{id:uuid}` in a path: anything but a canonical UUID is no such path."""

    def convert(self, value: str) -> UUID | None:
        return queries.uuid(value)


class _Methods(dict[str, Any]):
    """Methods that nobody has heard of are refused like the known ones that a path does not answer."""

    def __missing__(self, _method: str) -> Any:
        return self["TRACE"]


class Router(CompiledRouter):
    """Falcon's router, with the house's conventions."""

    def __init__(self) -> None:
        super().__init__()
        self.options.converters["uuid"] = CanonicalUuid

    def map_http_methods(self, resource: object, **kwargs: Any) -> Any:
        methods = _Methods(super().map_http_methods(resource, **kwargs))
        if "GET" in methods:
            methods["HEAD"] = _head_of(methods["GET"])
        return methods

    def add_route(self, uri_template: str, resource: object, **kwargs: Any) -> None:
        super().add_route(_bare(uri_template), resource, **kwargs)

    def find(self, uri: str, req: Any = None) -> tuple[object, Any, dict[str, Any], str | None] | None:
        return super().find(_bare(uri), req)


def _head_of(get: Callable[..., None]) -> Callable[..., None]:
    """What GET answers, for Falcon to leave the body out. A stream is not even begun."""

    def head(req: falcon.Request, resp: falcon.Response, **params: object) -> None:
        get(req, resp, **params)
        events.drop(resp)

    return head


def _bare(path: str) -> str:
    return path[:-1] if path.endswith("/") and path != "/" else path


def methods_of(route: Route) -> Mapping[str, Any]:
    """The methods that a route answers, each with its responder; without HEAD and OPTIONS, which every path has."""
    methods: Mapping[str, Any] = CompiledRouter().map_http_methods(route.resource, suffix=route.suffix)
    return methods
