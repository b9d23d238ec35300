"""The few words in which a verb can fail.

Every failure carries a stable `code` (kebab-case; in HTTP it becomes the problem's slug) and a `detail` that may be
shown to the person who asked: no secret, no word of a driver. Adapters translate these words in one table each, and
translate their drivers' exceptions into these words in one place each.
"""

from dataclasses import dataclass
from datetime import datetime


class Failure(Exception):
    """A verb could not do its deed. Only the subclasses are raised."""

    code = "failure"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one input field. `field` is a dotted path; `code` is snake_case (`too_long`, `missing`)."""

    field: str
    message: str
    code: str


class Invalid(Failure):
    """The input cannot be accepted as it is. `errors` names the fields, where single fields are at fault."""

    code = "invalid-request"

    def __init__(self, detail: str, *errors: FieldError, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.errors = errors

    @classmethod
    def field(cls, field: str, message: str, code: str) -> "Invalid":
        """One field is at fault."""
        return cls(f"{field}: {message}", FieldError(field, message, code))


class Refused(Failure):
    """The proof that came with the request does not hold (a code, a signature), and nothing more is told."""

    code = "refused"


class Unauthenticated(Failure):
    """Nobody is signed in, or the credentials do not hold."""

    code = "unauthenticated"


class Forbidden(Failure):
    """Known and signed in, but the plan does not have it, or the sign-in is too long ago for it."""

    code = "forbidden"


class NotFound(Failure):
    """There is no such thing, or it is somebody else's: the two are never told apart."""

    code = "not-found"


class Conflict(Failure):
    """The thing is in a state that does not allow this."""

    code = "conflict"


class LimitReached(Failure):
    """The plan's daily limit is used up: `used` of `limit` units; it starts anew at `resets_at` (aware UTC)."""

    code = "daily-limit-reached"

    def __init__(self, detail: str, *, limit: int, used: int, resets_at: datetime) -> None:
        super().__init__(detail)
        self.limit = limit
        self.used = used
        self.resets_at = resets_at


class RateLimited(Failure):
    """Too many requests of a kind: `limit` in a window of `window` seconds; ask again in `retry_after` seconds."""

    code = "rate-limited"

    def __init__(self, detail: str, *, retry_after: int, limit: int, window: int, policy: str = "default") -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.limit = limit
        self.window = window
        self.policy = policy


class Unavailable(Failure):
    """Something that is needed is away for now. `retry_after` in seconds.

    Nothing was done, or, where a store went away at the very end, nobody knows: asking again with the same idempotency
    key is safe.
    """

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after: int = 5, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after
