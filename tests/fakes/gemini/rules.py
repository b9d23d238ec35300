"""What the real API refuses: key, model, and every field of the body."""

import base64
import binascii
import re
from collections.abc import Collection
from typing import Any

from tests.fakes.gemini.scenes import Refusal

_BODY = {
    "contents",
    "systemInstruction",
    "generationConfig",
    "safetySettings",
    "tools",
    "toolConfig",
    "cachedContent",
}
_ROLES = {"user", "model"}
_ROUTE = re.compile(r"/(v1|v1beta)/models/([^/:?]+)(?::(streamGenerateContent(?=\?alt=sse$)|countTokens))?(\?.*)?")


class Wrong(Exception):
    """A request that the API would refuse."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def route(path: str) -> tuple[str, str, str]:
    """API version, model and action (empty: the model itself is asked for)."""
    found = _ROUTE.fullmatch(path)
    if found is None:
        raise Wrong(Refusal("no-route", 404, "NOT_FOUND", "Not Found"))
    return found[1], found[2], found[3] or ""


def check_key(given: str | None, right: str) -> None:
    if given is None:
        raise Wrong(Refusal("no-key", 403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers."))
    if given != right:
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
        }
        message = f"API key not valid. Please pass a valid API key. Got {given}."  # worse than the real one: it echoes
        raise Wrong(Refusal("wrong-key", 400, "INVALID_ARGUMENT", message, details=(info,)))


def check_model(name: str, version: str, known: Collection[str]) -> None:
    if name not in known:
        message = f"models/{name} is not found for API version {version}."
        raise Wrong(Refusal("unknown-model", 404, "NOT_FOUND", message))


def check_body(body: object) -> None:
    """Raises Wrong unless `body` is a request that the API would take, with the user's turn last."""
    request = _object(body, "the body", _BODY)
    contents = request.get("contents")
    if not isinstance(contents, list) or not contents:
        raise _invalid("contents is not specified")
    for content in contents:
        _check_content(content)
        if content.get("role") not in _ROLES:
            raise _invalid("Please use a valid role: user, model.")
    if contents[-1]["role"] != "user":
        raise _invalid("Please ensure that the conversation ends with a user role.")
    if "systemInstruction" in request:
        _check_content(request["systemInstruction"])


def _check_content(content: object) -> None:
    parts = _object(content, "content", {"role", "parts"}).get("parts")
    if not isinstance(parts, list) or not parts:
        raise _invalid("contents.parts must not be empty.")
    for part in parts:
        _check_part(_object(part, "part", {"text", "inlineData"}))


def _check_part(part: dict[str, Any]) -> None:
    if len(part) != 1:
        raise _invalid("a part must have exactly one initialized field: data")
    if "text" in part and not isinstance(part["text"], str):
        raise _invalid("Invalid value at 'contents.parts.text' (TYPE_STRING)")
    if "inlineData" in part:
        blob = _object(part["inlineData"], "inlineData", {"mimeType", "mime_type", "data"})
        try:
            base64.b64decode(blob["data"].replace("-", "+").replace("_", "/"), validate=True)
            (blob.get("mimeType") or blob["mime_type"]).index("/")  # protobuf's JSON takes either spelling
        except (KeyError, AttributeError, ValueError, binascii.Error):
            raise _invalid("Invalid value at 'contents.parts.inlineData'") from None


def _object(value: object, name: str, fields: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(f"Invalid value: {name} is no object")
    for field in value:
        if field not in fields:
            raise _invalid(f'Invalid JSON payload received. Unknown name "{field}" at {name}: Cannot find field.')
    return value


def _invalid(message: str) -> Wrong:
    return Wrong(Refusal("invalid", 400, "INVALID_ARGUMENT", message))
