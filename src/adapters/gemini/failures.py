"""What a failed call is called: one sentence for the person who asked per code of `ModelFailure`."""

from gemini_core.model.chat import ReplyError, Usage
from gemini_core.model.replies import ModelFailure

SENTENCES = {
    "overloaded": "The model is very busy at the moment. Please try again in a little while.",
    "timeout": "The model took too long to answer. Please try again.",
    "unreachable": "The connection to the model was lost before it had answered. Please try again.",
    "malformed": "The model did not give a usable answer. Please try again.",
    "blocked": "The model declined to answer this because of its content rules. Try to put it another way.",
    "provider_misconfigured": "The model is not available: something is wrong on our side and has to be fixed first.",
    "rejected": "The model could not process this message. It may be too long, or contain a file it cannot read.",
}
RETRYABLE = frozenset({"overloaded", "timeout", "unreachable", "malformed"})


def failure(
    code: str,
    detail: str,
    *,
    usage: Usage | None = None,
    reason: str | None = None,
    retry_after: float | None = None,
) -> ModelFailure:
    """The failure called `code`; `detail` is for the operator alone, `retry_after` in seconds."""
    error = ReplyError(code, SENTENCES[code], retryable=code in RETRYABLE)
    return ModelFailure(error, retry_after=retry_after, usage=usage, reason=reason, operator_detail=detail)
