"""Query parameters, read strictly: given once, and fit to be stored or compared. Unknown ones are ignored."""

import re
from typing import Final
from uuid import UUID

import falcon

from gemini_core.errors import Invalid

_WHOLE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def text(req: falcon.Request, name: str) -> str | None:
    """The parameter as it was given, or None. Raises `Invalid`."""
    value = req.params.get(name)
    if isinstance(value, list):
        raise Invalid.field(name, "is given more than once", "duplicate")
    if value is not None and "\0" in value:
        raise Invalid.field(name, "has characters that are not text", "invalid_text")
    return value


def whole_number(req: falcon.Request, name: str, *, least: int, most: int, default: int) -> int:
    """The parameter as a number from `least` to `most`. Raises `Invalid`."""
    value = text(req, name)
    if value is None:
        return default
    if not _WHOLE.fullmatch(value) or not least <= int(value) <= most:
        raise Invalid.field(name, f"must be a whole number from {least} to {most}", "out_of_range")
    return int(value)


def identifier(req: falcon.Request, name: str) -> UUID | None:
    """The parameter as an id, or None. Raises `Invalid`."""
    value = text(req, name)
    if value is None:
        return None
    found = uuid(value)
    if found is None:
        raise Invalid.field(name, "must be a UUID", "invalid_format")
    return found


def uuid(value: str) -> UUID | None:
    """A UUID in its one canonical form (8-4-4-4-12 hexadecimal digits), or None: Python's own class takes far more."""
    return UUID(value) if _UUID.fullmatch(value) else None
