"""What text must be like."""

from gemini_core.errors import Invalid


def checked(field: str, value: str, longest: int) -> str:
    """The text, trimmed. Raises `Invalid` where it is too long."""
    value = value.strip()
    if len(value) > longest:
        raise Invalid.field(field, f"must be at most {longest:,} characters", "too_long")
    return value
