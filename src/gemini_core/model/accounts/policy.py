"""The numbers behind what sign-in promises, and the texts that go to phones."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPolicy:
    """The numbers behind what sign-in promises; `settings` may change most of them within checked ranges.

    Codes: of `digits` digits, good for `code_lives` from when they were handed to the sender, and never for longer than
    `code_ceiling` after they were asked for. `attempts` guesses are compared for a challenge, and it brings at most
    `sends_per_challenge` codes, `resend_after` apart. A number with `suspicious_failures` wrong codes in a day gets
    codes of `suspect_digits` digits and `suspect_attempts` attempts; after `most_failures` wrong ones in a row codes
    for it are good only where its owner has signed in before.

    Sessions: `sessions` of a user at the most; one ends `session_idle` after its last renewal, and `session_lives`
    after its beginning. An access token is good for `access_lives`; a refresh token that was used, once more for the
    same answer within `refresh_grace`.

    Passwords: `password_tries` in `password_window`. A first one may be set within `step_up` of signing in, a new one
    within `reset_lives` of proving the number. A sign-up waits for its proof for `signup_lives`.

    `calls_per_minute`: of one user, and of one network where nobody is signed in. `app_name` and `domain` are named in
    texts.
    """

    app_name: str = "Gemini Backend"
    domain: str = "localhost"
    code_lives: timedelta = timedelta(minutes=5)
    code_ceiling: timedelta = timedelta(minutes=10)
    digits: int = 6
    attempts: int = 5
    resend_after: timedelta = timedelta(seconds=60)
    sends_per_challenge: int = 3
    suspicious_failures: int = 20
    suspect_digits: int = 8
    suspect_attempts: int = 3
    most_failures: int = 100
    signup_lives: timedelta = timedelta(hours=24)
    access_lives: timedelta = timedelta(minutes=10)
    refresh_grace: timedelta = timedelta(seconds=30)
    session_idle: timedelta = timedelta(days=14)
    session_lives: timedelta = timedelta(days=90)
    sessions: int = 20
    reset_lives: timedelta = timedelta(minutes=10)
    step_up: timedelta = timedelta(minutes=5)
    password_tries: int = 5
    password_window: timedelta = timedelta(minutes=15)
    calls_per_minute: int = 3_000


def code_text(policy: AccountPolicy, code: str) -> str:
    """The message that brings a code. Its last line binds the code to the domain (WICG origin-bound codes)."""
    seconds = int(policy.code_lives.total_seconds())
    lives = f"{seconds} seconds" if seconds < 120 else f"{seconds // 60} minutes"
    return (
        f"{code} is your {policy.app_name} code, valid for {lives}. Don't share it with anyone.\n\n"
        f"@{policy.domain} #{code}"
    )


def password_changed_text(policy: AccountPolicy) -> str:
    """The message that tells of a new password."""
    return f"Your {policy.app_name} password was changed. If it was not you, reset it and sign out everywhere."
