"""What text must be like."""

from gemini_core.errors import Invalid
from gemini_core.model.replies import storable


def checked(field: str, value: str, longest: int) -> str:
    """The text, trimmed. Raises `Invalid` where it is too long, or no store could hold it."""
    value = value.strip()
    if storable(value) != value:
        raise Invalid.field(field, "has characters that are not text", "invalid_text")
    if len(value) > longest:
        raise Invalid.field(field, f"must be at most {longest:,} characters", "too_long")
    return value
