"""One deed at Stripe: how long it may take, what is tried again, and what Stripe's errors mean to us.

The modules of this folder import `stripe` (0.2 s): whoever builds the gateway imports them only then.
"""

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import stripe
import structlog

from adapters.deadlines import Deadline
from gemini_core.errors import Failure, NotFound, Unavailable

T = TypeVar("T")
log = structlog.get_logger()

RETRIES = 2
FIRST_PAUSE = 0.4
LONGEST_PAUSE = 2.0


class Attempts:
    """Does deeds that end by the deadline, however many calls and tries they take.

    stripe's own retries are off: they know no total, and never retry a 429.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def __call__(self, what: str, deed: Callable[[], T]) -> T:
        """What the deed returns; it must be safe to do again. Raises `NotFound`, `Unavailable`."""
        self._deadline.begin()
        failed = waited = 0
        while True:
            try:
                return deed()
            except stripe.StripeError as error:
                pause = _pause(failed + waited, error)
                if _is_under_way(error):
                    waited += 1
                else:
                    failed += 1
                    # Its `args` and `http_body` hold the whole answer: only these words of it go to the log.
                    log.warning("stripe call failed", deed=what, tries=failed, **told(error))
                if failed > RETRIES or not _worth_retrying(error) or self._deadline.left() < pause + 0.5:
                    raise translated(error) from None
                time.sleep(pause)
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
                # An answer that is no JSON, or of a shape that Stripe does not send.
                log.warning("stripe answered nonsense", deed=what, error=type(error).__name__)
                raise _away() from None


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


def _is_under_way(error: stripe.StripeError) -> bool:
    """Somebody else asks the very same at this moment; their answer will be ours too."""
    return error.http_status == 409 and error.error is not None and error.error.code == "idempotency_key_in_use"


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
