"""What the provider says instead of an answer, or in the middle of one: an error of `google.rpc` or a gateway's page.

google-genai reads these too, but trips over a body that is not UTF-8, an error without a number and other than the
usual types. What it then says of the answer tells nobody whether to ask again, and how soon.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_NUMBER = re.compile("[45][0-9][0-9]")
_NUMBERS = {
    **dict.fromkeys(["INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"], 400),
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    **dict.fromkeys(["ABORTED", "ALREADY_EXISTS"], 409),
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    **dict.fromkeys(["INTERNAL", "UNKNOWN", "DATA_LOSS"], 500),
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class Refusal(Exception):
    """`number`: HTTP's for it, None if nothing tells. `word`: `google.rpc.Code`. What has an odd type was not said."""

    def __init__(self, body: object, headers: Mapping[str, str], *, status: int | None = None) -> None:
        super().__init__()
        error = _error(body)
        details = error.get("details")
        self.word = text(error.get("status"))
        self.message = text(error.get("message"))
        self.details = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
        self.number = status or _number(error.get("code")) or _NUMBERS.get(self.word)
        self.headers = headers


def read(body: bytes) -> object:
    """JSON, or else the text."""
    with suppress(ValueError, RecursionError):
        return json.loads(body)
    return body.decode(errors="replace")


def is_error(body: object) -> bool:
    """Whether this event of a stream is an error. Says no as well where it cannot be told."""
    body = _unwrapped(body)
    return isinstance(body, dict) and bool(body.get("error"))


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _error(body: object) -> Mapping[str, Any]:
    body = _unwrapped(body)
    error = body.get("error", body) if isinstance(body, dict) else body
    return error if isinstance(error, dict) else {"message": error}


def _unwrapped(body: object) -> object:
    return body[0] if isinstance(body, list) and len(body) == 1 else body


def _number(code: object) -> int | None:
    """As HTTP counts: gRPC has other numbers for the same errors."""
    return int(code) if isinstance(code, int | str) and _NUMBER.fullmatch(str(code)) else None
