"""Passwords: forgotten, and set anew."""

import falcon
from falcon import Request, Response
from msgspec import Struct

from adapters.http import bodies
from adapters.http.accounts.answers import CodeAnswer, Number, Text, Token, code_answer
from adapters.http.auth import caller
from adapters.http.context import request_id
from adapters.http.describing import describe
from gemini_core.core import Core
from gemini_core.errors import Invalid


class ForgotPasswordBody(Struct, forbid_unknown_fields=True):
    """Whose password is to be set anew."""

    mobile_number: Number


class ChangePasswordBody(Struct, forbid_unknown_fields=True):
    """Signed in, with the current password where one is set; or not signed in, with a reset token."""

    new_password: Text
    current_password: Text | None = None
    reset_token: Token | None = None


class Passwords:
    """Passwords: forgotten, and set anew."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe(
        "Forgot the password",
        body=ForgotPasswordBody,
        answers={200: CodeAnswer},
        problems=("rate-limited", "unavailable", "temporary-reduced-capacity"),
        signed_in=False,
    )
    def on_post_forgot_password(self, req: Request, resp: Response) -> None:
        """Ask for a code that allows a new password. The answer is the same for every number."""
        body = bodies.read(req, ForgotPasswordBody)
        sent = self._core.forgot_password(req.context.client, body.mobile_number, request_id=request_id(req))
        resp.data = bodies.write(code_answer(sent))

    @describe(
        "Set a new password",
        body=ChangePasswordBody,
        answers={204: None},
        problems=(
            "unauthenticated",
            "invalid-credentials",
            "invalid-reset-token",
            "sign-in-again",
            "rate-limited",
            "unavailable",
        ),
        signed_in=False,
    )
    def on_post_change_password(self, req: Request, resp: Response) -> None:
        """Signed in, with the current password where one is set; or with a reset token. Every other session ends,
        every open code dies, and the user is told.
        """
        body = bodies.read(req, ChangePasswordBody)
        client, request = req.context.client, request_id(req)
        if body.reset_token is None:
            self._core.change_password(
                caller(req), client, body.new_password, body.current_password, request_id=request
            )
        elif body.current_password is not None:
            raise Invalid.field("current_password", "does not go with a reset token", "not_both")
        else:
            self._core.reset_password(client, body.reset_token, body.new_password, request_id=request)
        resp.status = falcon.HTTP_204
