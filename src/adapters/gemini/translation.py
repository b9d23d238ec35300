"""Refusals, and every exception of google-genai and its HTTP client, in the core's words."""

import math
import time
from email.utils import parsedate_to_datetime

import httpx2

from adapters.gemini.failures import failure
from adapters.gemini.refusals import Refusal, text
from gemini_core.model.chat import Usage
from gemini_core.model.replies import ModelFailure

_LONGEST_DETAIL = 300
_OURS_TO_MEND = frozenset({401, 402, 403, 404})
_MISSING_SETUP = frozenset({"FAILED_PRECONDITION", "UNAUTHENTICATED", "PERMISSION_DENIED"})


def translated(error: Exception, *, usage: Usage | None, secret: str) -> ModelFailure:
    """The failure that `error` stands for; `usage` is what was billed before it, `secret` must not show in it.

    Only what the provider says about a refusal is quoted: other messages may hold the conversation, or the headers.
    """
    name = type(error).__name__
    match error:
        case Refusal():
            detail = _clean(f"HTTP {error.number or 200} {error.word}: {error.message}", secret)
            return failure(_code(error), detail, usage=usage, retry_after=_retry_after(error))
        case TimeoutError() | httpx2.TimeoutException():
            return failure("timeout", name, usage=usage)
        case httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
            return failure("provider_misconfigured", f"{name}: check the base URL", usage=usage)
        case httpx2.DecodingError():
            return failure("malformed", name, usage=usage)
        case httpx2.RequestError() | httpx2.StreamError() | OSError():
            return failure("unreachable", _clean(f"{name}: {error}", secret), usage=usage)
        case _:
            return failure("malformed", f"google-genai could not read the answer ({name})", usage=usage)


def _code(refusal: Refusal) -> str:
    number = refusal.number
    if number is None:
        return "malformed"
    if number in {408, 429} or number >= 500:
        return "overloaded"
    if number in _OURS_TO_MEND or number < 400 or refusal.word in _MISSING_SETUP or _is_about_the_key(refusal):
        return "provider_misconfigured"
    return "rejected"


def _is_about_the_key(refusal: Refusal) -> bool:
    return any(text(detail.get("reason")).startswith("API_KEY_") for detail in refusal.details)


def _retry_after(refusal: Refusal) -> float | None:
    """The longest wait, in seconds, that the header or a `google.rpc.RetryInfo` asks for."""
    asked = [_header_seconds(value) for name, value in refusal.headers.items() if name.lower() == "retry-after"]
    asked += [_duration_seconds(detail.get("retryDelay")) for detail in refusal.details]
    return max((seconds for seconds in asked if seconds is not None), default=None)


def _header_seconds(value: str) -> float | None:
    """Seconds, or an HTTP date."""
    seconds = _seconds(value)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _duration_seconds(value: object) -> float | None:
    """A protobuf duration as JSON: `12s`, `0.5s`."""
    return _seconds(value.removesuffix("s")) if isinstance(value, str) and value.endswith("s") else None


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _clean(detail: str, secret: str) -> str:
    return (detail.replace(secret, "***") if secret else detail)[:_LONGEST_DETAIL]
