"""The OpenAPI 3.1 description, made from the routes, what their responders say about themselves, and the structs."""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from types import UnionType
from typing import Any, Final, get_args

import msgspec

from adapters.http import bodies
from adapters.http.describing import Description, Parameter, Raw, description_of
from adapters.http.kinds import KINDS
from adapters.http.problems import MEDIA_PROBLEM, Problem
from adapters.http.routing import Route, Topic, methods_of

_REF: Final = "#/components/schemas/{name}"
_FIELD: Final = re.compile(r"{(\w+)(?::(\w+))?}")
_STATUS_WORDS: Final[Mapping[int, str]] = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "Done", 304: "Not modified", 503: "Not ready",
}  # fmt: skip
_LATER: Final[Mapping[str, str]] = {"Retry-After": "Seconds after which it is worth while again."}
_LIMITED: Final[Mapping[str, str]] = {
    **_LATER,
    "RateLimit": "What is left of the limit, and when it is whole again.",
    "RateLimit-Policy": "The limit.",
}
_PROBLEM_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": "How to sign in."}, 402: _LIMITED, 429: _LIMITED, 503: _LATER,
}  # fmt: skip

_ABOUT: Final = """\
Every path works with and without its trailing slash. Every answer has an `X-Request-ID`: yours, if it is 1 to 64 of
`[A-Za-z0-9._-]`. Errors are problems (RFC 9457) whose `type` leads to a page. Bodies are JSON, at most 1 MiB;
unknown fields are refused, unknown query parameters ignored. Times are RFC 3339 in UTC, ids are UUIDs (version 7).
Every GET answers HEAD too. Lists come page by page: follow `next_cursor` until it is null."""


def described(topics: tuple[Topic, ...]) -> Iterator[tuple[Topic, Route, str, Description]]:
    """Every method of every route with its description. Raises `LookupError` for one that has none."""
    for topic in topics:
        for route in topic.routes:
            for method, responder in methods_of(route).items():
                description = description_of(responder)
                if description is None:
                    raise LookupError(f"{method} {route.path} is not described")
                yield topic, route, method, description


def document(topics: tuple[Topic, ...], public_url: str) -> dict[str, Any]:
    """The whole description, as plain values."""
    operations = list(described(topics))
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for topic, route, method, description in operations:
        at = paths.setdefault(_FIELD.sub(r"{\1}", route.path), {})
        at[method.lower()] = _operation(topic, route, method, description, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gemini backend", "version": _version(), "description": _ABOUT},
        "servers": [{"url": public_url}],
        "tags": [{"name": topic.name} for topic in topics],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


class _Schemas:
    """The JSON schemas of all types that the operations mention, made in one go so that they share components."""

    def __init__(self, operations: list[tuple[Topic, Route, str, Description]]) -> None:
        types: list[Any] = [Problem]
        for _, _, _, description in operations:
            types += [one for kind in (description.body, *description.answers.values()) for one in _structs(kind)]
            types += [parameter.type for parameter in (*description.path, *description.query, *description.headers)]
        found, self.components = msgspec.json.schema_components(types, ref_template=_REF)
        for schema in self.components.values():
            schema["description"] = " ".join(schema.get("description", "").split())
        self._of = {repr(kind): schema for kind, schema in zip(types, found, strict=True)}

    def of(self, kind: Any) -> dict[str, Any]:
        return self._of[repr(kind)]


def _structs(kind: Any) -> tuple[Any, ...]:
    """What a body is made of: one struct, or, where several are possible, each of them."""
    if isinstance(kind, UnionType):
        return get_args(kind)
    return () if kind is None or isinstance(kind, Raw) else (kind,)


def _operation(topic: Topic, route: Route, method: str, description: Description, schemas: _Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {
        "tags": [topic.name],
        "operationId": _operation_id(route, method),
        "summary": description.summary,
        "description": description.text,
        "parameters": list(_parameters(route, description, schemas)),
        "responses": {**_answers(description, schemas), **_problems(route, description, schemas)},
        "security": [{"bearer": []}] if description.signed_in else [],
    }
    if description.body is not None:
        content = _content(description.body, schemas)
        made["requestBody"] = {"required": not bodies.may_be_left_out(description.body), "content": content}
    return made


def _operation_id(route: Route, method: str) -> str:
    words = re.findall(r"\w+", _FIELD.sub(r"\1", route.path))
    return "_".join((method.lower(), *words))


def _parameters(route: Route, description: Description, schemas: _Schemas) -> Iterator[dict[str, Any]]:
    told = {parameter.name: parameter for parameter in description.path}
    for name, converter in _FIELD.findall(route.path):
        schema = {"type": "string", "format": "uuid"} if converter == "uuid" else {"type": "string"}
        text = told[name].text if name in told else f"The {name.replace('_', ' ')}."
        yield {"name": name, "in": "path", "required": True, "description": text, "schema": schema}
    for place, parameters in (("query", description.query), ("header", description.headers)):
        for parameter in parameters:
            yield _parameter(parameter, place, schemas)


def _parameter(parameter: Parameter, place: str, schemas: _Schemas) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": place,
        "required": parameter.required,
        "description": parameter.text,
        "schema": schemas.of(parameter.type),
    }


def _answers(description: Description, schemas: _Schemas) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, kind in description.answers.items():
        answer: dict[str, Any] = {"description": _STATUS_WORDS.get(status, "Answer")}
        if kind is not None:
            answer["content"] = _content(kind, schemas)
            if description.html:
                answer["content"]["text/html"] = {"schema": {"type": "string"}}
        if description.answer_headers and status < 300:
            answer["headers"] = _headers(description.answer_headers)
        answers[str(status)] = answer
    return answers


def _problems(route: Route, description: Description, schemas: _Schemas) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    codes = description.problems
    if "{" in route.path and "not-found" not in codes:
        codes = ("not-found", *codes)
    for code in codes:
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {
        str(status): {
            "description": "; ".join(f"`{code}`: {KINDS[code].title}" for code in by_status[status]),
            "content": {MEDIA_PROBLEM: {"schema": schemas.of(Problem)}},
            **({"headers": _headers(_PROBLEM_HEADERS[status])} if status in _PROBLEM_HEADERS else {}),
        }
        for status in sorted(by_status)
        if status not in description.answers
    }


def _headers(told: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in told.items()}


def _content(kind: Any, schemas: _Schemas) -> dict[str, Any]:
    if isinstance(kind, Raw):
        return {kind.media_type: {"schema": {**_type_of(kind.media_type), "description": kind.text}}}
    one, *others = (schemas.of(struct) for struct in _structs(kind))
    return {"application/json": {"schema": {"anyOf": [one, *others]} if others else one}}


def _type_of(media_type: str) -> dict[str, str]:
    """An event stream is a text to some readers and a list of events to others: OpenAPI 3.1 does not say."""
    if media_type == "text/event-stream":
        return {}
    return {"type": "object" if media_type.endswith("json") else "string"}


def _version() -> str:
    try:
        return version("gemini-backend")
    except PackageNotFoundError:  # run from the sources
        return "0"
