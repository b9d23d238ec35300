"""Every exception of google-genai and its HTTP client in the core's words. The one place that knows them."""

import math
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from google.genai import errors

from adapters.gemini.failures import failure
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
        case errors.APIError():
            return _refusal(error, usage, secret)
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


def _refusal(error: errors.APIError, usage: Usage | None, secret: str) -> ModelFailure:
    detail = _clean(f"HTTP {error.code} {error.status or ''}: {error.message or ''}", secret)
    return failure(_code(error), detail, usage=usage, retry_after=_retry_after(error))


def _code(error: errors.APIError) -> str:
    if error.code in {408, 429} or error.code >= 500:
        return "overloaded"
    if error.code in _OURS_TO_MEND or error.code < 400 or error.status in _MISSING_SETUP or _is_about_the_key(error):
        return "provider_misconfigured"
    return "rejected"


def _is_about_the_key(error: errors.APIError) -> bool:
    return any(str(detail.get("reason", "")).startswith("API_KEY_") for detail in _details(error))


def _retry_after(error: errors.APIError) -> float | None:
    """The longest wait, in seconds, that the header or a `google.rpc.RetryInfo` asks for."""
    headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
    asked = [_header_seconds(value) for name, value in headers.items() if name.lower() == "retry-after"]
    asked += [_duration_seconds(detail.get("retryDelay")) for detail in _details(error)]
    return max((seconds for seconds in asked if seconds is not None), default=None)


def _details(error: errors.APIError) -> Iterator[Mapping[str, Any]]:
    """The `google.rpc` details of a refusal, however the body was shaped."""
    body = error.details.get("error", error.details) if isinstance(error.details, dict) else {}
    details = body.get("details") if isinstance(body, dict) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            yield detail


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
