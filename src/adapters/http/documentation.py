"""The description for programs (`/openapi.json`) and the same as a page for people, made here, without any script."""

from collections.abc import Callable, Iterator
from functools import cached_property
from html import escape
from typing import Any

import falcon
import msgspec

from adapters.http import bodies, pages
from adapters.http.describing import Raw, describe
from adapters.http.problems import prose

Json = dict[str, Any]


class Documentation:
    """Serves a description that is made when it is first asked for."""

    def __init__(self, make: Callable[[], Json]) -> None:
        self._make = make

    @cached_property
    def document(self) -> Json:
        """The OpenAPI description."""
        return self._make()

    @describe("This description", answers={200: Raw("application/json", "OpenAPI 3.1")}, signed_in=False)
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """OpenAPI 3.1, made from the code that answers."""
        resp.set_header("Cache-Control", "no-cache")
        resp.data = bodies.write(self.document)

    @describe("The page for people", answers={200: Raw("text/html")}, signed_in=False)
    def on_get_page(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Every call with its fields, answers and problems."""
        pages.show(resp, self.document["info"]["title"], "".join(_page(self.document)))


def _page(document: Json) -> Iterator[str]:
    info = document["info"]
    yield f"<h1>{escape(info['title'])}</h1>"
    yield f'<p class="dim">Version {escape(info["version"])} · <a href="/openapi.json">openapi.json</a>'
    yield ' · <a href="/problems/">problems</a></p>'
    yield f"<p>{prose(info['description'])}</p><nav><ul>"
    for tag in document["tags"]:
        yield f'<li><a href="#{_anchor(tag["name"])}">{escape(tag["name"])}</a></li>'
    yield "</ul></nav>"
    for tag in document["tags"]:
        yield f'<h2 id="{_anchor(tag["name"])}">{escape(tag["name"])}</h2>'
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    yield from _operation(method, path, operation)
    yield "<h2>Types</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield f'<details id="{_anchor(name)}"><summary><code>{escape(name)}</code></summary>'
        yield f"<p>{prose(schema.get('description', ''))}</p>{_fields(schema)}</details>"


def _operation(method: str, path: str, operation: Json) -> Iterator[str]:
    yield f'<details id="{escape(operation["operationId"])}"><summary><span class="method">{method.upper()}</span>'
    yield f'<code>{escape(path)}</code> <span class="dim">{escape(operation["summary"])}</span></summary>'
    yield f"<p>{prose(operation['description'])}</p>"
    if operation["security"]:
        yield '<p class="dim">Needs <code>Authorization: Bearer</code>.</p>'
    if operation["parameters"]:
        yield "<h3>Parameters</h3><table>"
        for parameter in operation["parameters"]:
            yield f'<tr><td><code>{escape(parameter["name"])}</code></td><td class="dim">{parameter["in"]}</td>'
            yield f"<td>{_type(parameter['schema'])}</td><td>{prose(parameter['description'])}</td></tr>"
        yield "</table>"
    if "requestBody" in operation:
        yield f"<h3>Body</h3>{_content(operation['requestBody'])}"
    yield "<h3>Answers</h3><table>"
    for status, answer in operation["responses"].items():
        yield f"<tr><td>{status}</td><td>{prose(answer['description'])}</td><td>{_content(answer)}</td></tr>"
    yield "</table></details>"


def _content(holder: Json) -> str:
    return "".join(
        f'<div>{_type(content["schema"])} <span class="dim">{escape(media_type)}</span></div>'
        for media_type, content in holder.get("content", {}).items()
    )


def _fields(schema: Json) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_type(field)}</td>"
        f'<td class="dim">{"" if name in required else "optional"}</td></tr>'
        for name, field in schema.get("properties", {}).items()
    )
    return f"<table>{rows}</table>" if rows else f"<p>{_type(schema)}</p>"


def _type(schema: Json) -> str:
    """A schema in a few words, with links to the named ones."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{_anchor(name)}"><code>{escape(name)}</code></a>'
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(msgspec.json.encode(value).decode())}</code>" for value in schema["enum"])
    if "prefixItems" in schema:
        return f"[{', '.join(map(_type, schema['prefixItems']))}]"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    limits = ", ".join(
        f"{word} {schema[key]}" for key, word in _LIMITS.items() if key in schema and not isinstance(schema[key], dict)
    )
    words = schema.get("type", "anything") + (f" ({schema['format']})" if "format" in schema else "")
    return f"<code>{escape(words)}</code>" + (f' <span class="dim">{escape(limits)}</span>' if limits else "")


_LIMITS = {
    "minLength": "at least", "maxLength": "at most", "minimum": "from", "maximum": "to", "pattern": "matching",
}  # fmt: skip


def _anchor(name: str) -> str:
    return escape(name.lower().replace(" ", "-"))
