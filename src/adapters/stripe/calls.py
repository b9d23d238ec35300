"""One deed at Stripe: how long it may take, what is tried again, and what Stripe's errors mean to us.

The modules of this folder import `stripe` (0.2 s): whoever builds the gateway imports them only then.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import stripe
import structlog

from gemini_core.errors import Failure, NotFound, Unavailable

T = TypeVar("T")
log = structlog.get_logger()

BUDGET = 11.0
PATIENCE = 8.0
RETRIES = 2
FIRST_PAUSE = 0.4
LONGEST_PAUSE = 2.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Deadline(threading.local):
    """When what this thread is doing must be over, by the monotonic clock: within `budget` seconds of its beginning."""

    def __init__(self, budget: float = BUDGET) -> None:
        self._budget = budget
        self.at = 0.0

    def begin(self) -> None:
        """From now on."""
        self.at = time.monotonic() + self._budget

    def left(self) -> float:
        """Seconds that are left; below 0 if it is over."""
        return self.at - time.monotonic()


class Transport(stripe.HTTPClient):
    """stripe's HTTP with an end: no try goes on after the deadline, nor waits longer than `PATIENCE` for a byte."""

    name = "httpx"

    def __init__(self, deadline: Deadline, base_url: str) -> None:
        super().__init__()
        self._deadline = deadline
        # A proxy of the environment has no business between us and a sandbox on this machine.
        # Where many are kept, httpcore 1.0 closes idle ones that another thread has just been given.
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=None)
        self._client = httpx.Client(limits=limits, trust_env=urlsplit(base_url).hostname not in LOOPBACK)

    def request(
        self, method: str, url: str, headers: Any, post_data: Any = None, *, _usage: list[str] | None = None
    ) -> tuple[str, int, Any]:
        """One try. Raises `stripe.APIConnectionError`."""
        patience = min(PATIENCE, max(self._deadline.left(), 0.01))
        timeout = httpx.Timeout(patience, connect=min(patience, 3.0))
        try:
            with self._client.stream(method, url, headers=headers, content=post_data, timeout=timeout) as response:
                body = b"".join(self._in_time(response.iter_bytes()))
                return body.decode(), response.status_code, response.headers
        except (httpx.HTTPError, UnicodeDecodeError) as error:
            raise _broken(type(error).__name__, should_retry=True) from None

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _in_time(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        for chunk in chunks:
            yield chunk
            if self._deadline.left() < 0:
                raise _broken("too slow", should_retry=False)


def _broken(what: str, *, should_retry: bool) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(what, should_retry=should_retry)  # type: ignore[no-untyped-call]


class Caller:
    """Does deeds that end by the deadline, however many calls and tries they take.

    stripe's own retries are off: they know no total, and never retry a 429.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def __call__(self, what: str, deed: Callable[[], T]) -> T:
        """What the deed returns; it must be safe to do again. Raises `NotFound`, `Unavailable`."""
        self._deadline.begin()
        for tries in range(RETRIES + 1):
            try:
                return deed()
            except stripe.StripeError as error:
                # Its `args` and `http_body` hold the whole answer: only these words of it go to the log.
                log.warning("stripe call failed", deed=what, tries=tries + 1, **told(error))
                pause = _pause(tries, error)
                if tries == RETRIES or not _worth_retrying(error) or self._deadline.left() < pause + 0.5:
                    raise translated(error) from None
                time.sleep(pause)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                # An answer that is no JSON, or of a shape that Stripe does not send.
                log.warning("stripe answered nonsense", deed=what, error=type(error).__name__)
                raise _away() from None
        raise AssertionError("unreachable")


def told(error: stripe.StripeError) -> dict[str, Any]:
    """What may be logged of an error: no key, no body, no header."""
    return {
        "error": type(error).__name__,
        "status": error.http_status,
        "code": error.code,
        "stripe_request_id": error.request_id,
    }


def translated(error: stripe.StripeError) -> Failure:
    """Stripe's word in ours."""
    if is_missing(error) and getattr(error, "param", None) == "customer":
        return no_customer()
    if isinstance(error, stripe.APIConnectionError | stripe.RateLimitError | stripe.APIError):
        return _away()
    return Unavailable("Payments are not set up properly.", retry_after=300, code="payments-misconfigured")


def no_customer() -> NotFound:
    """The customer is not at Stripe, or was deleted there."""
    return NotFound("Stripe has no such customer.", code="unknown-customer")


def is_missing(error: stripe.StripeError) -> bool:
    """Stripe has no such thing."""
    return isinstance(error, stripe.InvalidRequestError) and (
        error.http_status == 404 or error.code == "resource_missing"
    )


def _away() -> Unavailable:
    return Unavailable("Payments are not available right now.", retry_after=30, code="payments-unavailable")


def _worth_retrying(error: stripe.StripeError) -> bool:
    if isinstance(error, stripe.APIConnectionError):
        return bool(error.should_retry)
    advice = (error.headers or {}).get("stripe-should-retry")
    if advice in ("true", "false"):
        return advice == "true"
    status = error.http_status or 500
    return status in (409, 429) or status >= 500


def _pause(tries: int, error: stripe.StripeError) -> float:
    """Seconds: what Stripe asks for, and at least an exponential pause with jitter."""
    asked: str = (error.headers or {}).get("retry-after", "")
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**tries)
    jittered: float = longest * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret
    return max(float(asked) if asked.isascii() and asked.isdecimal() else 0.0, jittered)
