"""The numbers behind what sign-in promises, and the texts that go to phones."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPolicy:
    """The numbers behind what sign-in promises; `settings` may change them within checked ranges."""

    app_name: str = "Gemini Backend"
    domain: str = "localhost"
    code_lives: timedelta = timedelta(minutes=5)
    code_ceiling: timedelta = timedelta(minutes=10)
    attempts: int = 5
    resend_after: timedelta = timedelta(seconds=60)
    sends: int = 3
    suspicious_failures: int = 20
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
    minutes = policy.code_lives // timedelta(minutes=1)
    return (
        f"{code} is your {policy.app_name} code, valid for {minutes} minutes. Don't share it with anyone.\n\n"
        f"@{policy.domain} #{code}"
    )


def password_changed_text(policy: AccountPolicy) -> str:
    """The message that tells of a new password."""
    return f"Your {policy.app_name} password was changed. If it was not you, reset it and sign out everywhere."
