"""What a responder says about itself, for the OpenAPI description: written as a decorator, right above its code.

The docstring is the text for people. What follows from the rest is added by itself: the body's own problems where
there is a body, 401 where one must be signed in, 500 everywhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from msgspec import Meta

from adapters.http.paging import DEFAULT_LIMIT, MAX_LIMIT
from gemini_core.model.requests import MAX_KEY_LENGTH

F = TypeVar("F", bound=Callable[..., None])

# A time as answers have it: msgspec tells of a time only that it is text, unless it must have a zone.
Moment = Annotated[datetime, Meta(tz=True)]

_ATTRIBUTE: Final = "__described__"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter in the path, the query or a header. `type` is anything msgspec has a schema for."""

    name: str
    text: str
    type: Any = str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Raw:
    """A body that is not JSON of ours: its media type, and what it is."""

    media_type: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """All that is known of one method of one path. `answers`: status → struct, `Raw`, or None for no body."""

    summary: str
    text: str
    body: Any
    answers: Mapping[int, Any]
    path: tuple[Parameter, ...]
    query: tuple[Parameter, ...]
    headers: tuple[Parameter, ...]
    answer_headers: Mapping[str, str]
    problems: tuple[str, ...]
    html: bool
    signed_in: bool


def whole_number(least: int, most: int, default: int) -> Any:
    """The type of a number in a query."""
    return Annotated[int, Meta(ge=least, le=most, extra_json_schema={"default": default})]


LIMIT: Final = Parameter(
    "limit", f"How many items at most; {DEFAULT_LIMIT} if not said.", whole_number(1, MAX_LIMIT, DEFAULT_LIMIT)
)
CURSOR: Final = Parameter("cursor", "Where to go on: the `next_cursor` of the page before.")
PAGED: Final = (LIMIT, CURSOR)
IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key",
    "1 to 255 visible ASCII characters. The same key with the same body has its effect once, within 24 hours.",
    Annotated[str, Meta(min_length=1, max_length=MAX_KEY_LENGTH, pattern="^[!-~]+$")],
)


def describe(
    summary: str,
    *,
    answers: Mapping[int, Any],
    body: Any = None,
    path: tuple[Parameter, ...] = (),
    query: tuple[Parameter, ...] = (),
    headers: tuple[Parameter, ...] = (),
    answer_headers: Mapping[str, str] | None = None,
    problems: tuple[str, ...] = (),
    html: bool = False,
    signed_in: bool = True,
) -> Callable[[F], F]:
    """Describe a responder. `problems` are codes of `adapters.http.kinds.KINDS`; `html`: browsers get a page."""
    implied: list[str] = []
    if body is not None and not isinstance(body, Raw):
        implied += ["malformed-json", "content-too-large", "unsupported-media-type", "invalid-request"]
    if body is not None:
        implied += ["rate-limited"]
    if LIMIT in query:
        implied += ["bad-cursor", "invalid-request"]
    if signed_in:
        implied += ["unauthenticated", "rate-limited", "unavailable"]

    def attach(responder: F) -> F:
        description = Description(
            summary=summary,
            text=" ".join((responder.__doc__ or "").split()),
            body=body,
            answers=answers,
            path=path,
            query=query,
            headers=headers,
            answer_headers=answer_headers or {},
            problems=tuple(dict.fromkeys((*problems, *implied, "internal-error"))),
            html=html,
            signed_in=signed_in,
        )
        setattr(responder, _ATTRIBUTE, description)
        return responder

    return attach


def description_of(responder: Callable[..., None]) -> Description | None:
    """What a responder says about itself, if it does."""
    found: Description | None = getattr(responder, _ATTRIBUTE, None)
    return found
