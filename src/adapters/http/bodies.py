"""Bodies: JSON read strictly into msgspec structs, and answers written as JSON.

Strict means: only what the struct says, nothing unknown, nothing twice, no `NaN`, and no text that a database cannot
hold. Every field at fault is named, all in one answer.
"""

import json
import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final, TypeVar

import falcon
import msgspec

from gemini_core.errors import FieldError, Invalid

S = TypeVar("S", bound=msgspec.Struct)

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
_CHUNK: Final = 64 * 1024

_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")

_encoder = msgspec.json.Encoder()


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """There is nothing to say: the path says it all."""


def read(req: falcon.Request, kind: type[S], *, limit: int = MAX_BYTES) -> S:
    """The body as a `kind`. Where all its fields are optional, no body at all will do, whatever it is called.

    Raises Falcon's 400 (not JSON), 413 (more than `limit` bytes) and 415 (not `application/json`), and `Invalid`.
    """
    data = raw(req, limit=limit)
    if not data and may_be_left_out(kind):
        return kind()
    if not _is_json(req.content_type or ""):
        raise falcon.HTTPUnsupportedMediaType(description="Send application/json.")
    return _convert(_parse(data), kind)


def _is_json(content_type: str) -> bool:
    """JSON has no parameters; a charset that it cannot have is refused, and others are nobody's business."""
    media_type, parameters = falcon.parse_header(content_type)
    return media_type.lower() == "application/json" and parameters.get("charset", "utf-8").lower() in {"utf-8", "utf8"}


def may_be_left_out(kind: Any) -> bool:
    """All that such a body says is optional, so that none at all says as much."""
    is_struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    return is_struct and not any(field.required for field in msgspec.structs.fields(kind))


def raw(req: falcon.Request, *, limit: int = MAX_BYTES) -> bytes:
    """The body's bytes, at most `limit` of them whether or not the request says how many will come.

    Raises 400, 413, and `RateLimited` where too many bodies from the same network have not come yet.
    """
    expected = req.content_length
    if expected is not None and expected > limit:
        raise _too_large(limit)
    with req.context.bodies.one(req.context.client.network):
        data = _arriving(req, expected, limit)
    if expected is not None and len(data) < expected:
        raise falcon.HTTPBadRequest(description="The body ended before its Content-Length.")
    return data


def _arriving(req: falcon.Request, expected: int | None, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := req.stream.read(_CHUNK if expected is None else min(_CHUNK, expected - size)):
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def write(value: Any) -> bytes:
    """JSON of structs, dataclasses and plain values. Times (aware, UTC) become RFC 3339 with `Z`, ids strings."""
    return _encoder.encode(value)


def _too_large(limit: int) -> falcon.HTTPError:
    return falcon.HTTPContentTooLarge(description=f"The body may have at most {limit} bytes.")


def _parse(data: bytes) -> Any:
    if _depth_exceeds(data, MAX_DEPTH):
        raise Invalid("The body is nested too deeply.", FieldError("", "is nested too deeply", "too_deep"))
    try:
        value = _decoder.decode(data.decode())
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise falcon.MediaMalformedError("JSON") from None
    except ValueError:  # an integer of thousands of digits
        raise Invalid("A number is too large.", FieldError("", "has a number that is too large", "too_large")) from None
    if errors := tuple(_unfit(value, "")):
        raise _invalid(errors)
    return value


def _depth_exceeds(data: bytes, most: int) -> bool:
    """Whether arrays and objects are nested deeper than `most`: asked before any parser recurses into them."""
    if data.count(b"[") + data.count(b"{") <= most:
        return False
    depth = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub(b"", data)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > most:
            return True
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Invalid.field(_printable(twice), "is given twice", "duplicate")
    return found


_decoder = json.JSONDecoder(object_pairs_hook=_object)


def _unfit(value: Any, path: str) -> Iterator[FieldError]:
    """What JSON lets through and nothing behind us could hold: NUL, halves of surrogate pairs, NaN, infinity."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not _is_text(key):
                yield FieldError(path, "has a name with characters that are not text", "invalid_text")
            yield from _unfit(inner, f"{path}.{_printable(key)}" if path else _printable(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unfit(inner, f"{path}.{index}" if path else str(index))
    elif isinstance(value, str) and not _is_text(value):
        yield FieldError(path, "has characters that are not text", "invalid_text")
    elif isinstance(value, float) and not isfinite(value):
        yield FieldError(path, "is not a number", "invalid_number")


def _is_text(value: str) -> bool:
    return "\0" not in value and (value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value))


def _printable(key: str) -> str:
    return key[:100].encode(errors="replace").decode().replace("\0", "?")


def _convert(value: Any, kind: type[S]) -> S:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _invalid(tuple(_faults(value, kind)) or (_fault("", str(error)),)) from None


def _faults(value: Any, kind: type[msgspec.Struct]) -> Iterator[FieldError]:
    """Every field at fault. msgspec stops at the first, so each field is asked by itself."""
    if not isinstance(value, dict):
        yield FieldError("", "must be a JSON object", "wrong_type")
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in value.keys() - fields.keys():
        yield FieldError(_printable(name), "is unknown", "unknown_field")
    for name, field in fields.items():
        if name not in value:
            if field.required:
                yield FieldError(name, "is missing", "missing")
            continue
        try:
            msgspec.convert(value[name], field.type)
        except msgspec.ValidationError as error:
            yield _fault(name, str(error))


_CODES: Final[Mapping[str, str]] = {
    r"missing required field": "missing",
    r"unknown field": "unknown_field",
    r"of length (?:>=|>)": "too_short",
    r"of length (?:<=|<)": "too_long",
    r"Expected `\w+` (?:>=|>)": "too_small",
    r"Expected `\w+` (?:<=|<)|out of range": "too_large",
    r"Invalid enum value|Invalid value": "not_a_choice",
    r"matching regex|Invalid ": "invalid_format",
}


def _fault(name: str, said: str) -> FieldError:
    """What msgspec said, taken apart: a sentence, and perhaps ` - at `$.a[0]``, a place inside the field."""
    sentence, _, place = said.partition(" - at `$")
    path = name + re.sub(r"\[(\d+|\.\.\.)\]", r".\1", place.rstrip("`"))
    code = next((code for pattern, code in _CODES.items() if re.search(pattern, sentence)), "wrong_type")
    return FieldError(_printable(path), _printable(_in_words(sentence)), code)


_TYPES: Final[Mapping[str, str]] = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "bytes": "base64",
    "uuid": "a UUID",
    "datetime": "a time",
}


def _in_words(sentence: str) -> str:
    """The same for people who write JSON. How long a text may be its verb says, who counts it after trimming."""
    if sentence.startswith("Expected `str` of length <="):
        return "is too long"
    if wrong_type := re.match(r"Expected `([\w |]+)`, got", sentence):
        return f"must be {' or '.join(_TYPES.get(word, word) for word in wrong_type[1].split(' | '))}"
    return sentence.replace("`", "").replace("Expected ", "expected ").replace("Object ", "")


def _invalid(errors: tuple[FieldError, ...]) -> Invalid:
    first = errors[0]
    return Invalid(f"{first.field or 'The body'}: {first.message}.", *errors)
