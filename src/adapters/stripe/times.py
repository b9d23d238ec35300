"""Stripe's times."""

from datetime import UTC, datetime


def moment_of(seconds: int | None) -> datetime | None:
    """Seconds since 1970; none or 0: not set."""
    return datetime.fromtimestamp(seconds, UTC) if seconds and seconds > 0 else None
