"""What several calls of accounts take and answer."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from adapters.http.describing import Moment
from gemini_core.model.accounts.people import User
from gemini_core.model.accounts.sessions import Tokens
from gemini_core.use_cases.accounts.codes import CodeSent

Number = Annotated[str, Meta(max_length=32)]
Token = Annotated[str, Meta(max_length=4096)]
Text = Annotated[str, Meta(max_length=1000)]


class CodeAnswer(Struct, omit_defaults=True):
    """The same for every number. Seconds. `otp` is there in development only."""

    challenge_id: str
    message: str
    expires_in: int
    resend_after: int
    otp: str | None = None


class Pair(Struct):
    """An access token for `expires_in` seconds, and the refresh token that is good for the next pair, once."""

    access: str
    refresh: str
    token_type: str
    expires_in: int


class Me(Struct):
    """An account."""

    id: UUID
    mobile_number: str
    name: str | None
    email: str | None
    username: str | None
    plan: str
    created_at: Moment


def code_answer(sent: CodeSent) -> CodeAnswer:
    """For every number."""
    message = "If this number can be used here, a code is on its way."
    return CodeAnswer(sent.challenge_id, message, sent.expires_in, sent.resend_after, sent.code)


def pair_answer(tokens: Tokens) -> Pair:
    """What the client holds of its session."""
    return Pair(tokens.access, tokens.refresh, "Bearer", tokens.expires_in)


def me_answer(user: User, plan: str) -> Me:
    """The account, on its plan."""
    profile = user.profile
    return Me(user.id, user.mobile_number, profile.name, profile.email, profile.username, plan, user.created_at)
