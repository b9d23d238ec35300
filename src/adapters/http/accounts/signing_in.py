"""From a number to a session."""

from typing import Annotated

import falcon
from falcon import Request, Response
from msgspec import Meta, Struct

from adapters.http import bodies
from adapters.http.accounts.answers import CodeAnswer, Me, Number, Pair, Text, Token, code_answer, me_answer
from adapters.http.context import request_id
from adapters.http.describing import describe
from gemini_core.core import Core
from gemini_core.use_cases.accounts.signing_in import ResetGrant

Code = Annotated[str, Meta(min_length=1, max_length=16)]


class SignupBody(Struct, forbid_unknown_fields=True):
    """Who wants an account. The number in E.164, or national digits where a default region is set."""

    mobile_number: Number
    name: Text | None = None
    email: Text | None = None
    username: Text | None = None
    password: Text | None = None


class PendingUser(Struct):
    """A profile that waits for its number to be proven."""

    mobile_number: str
    name: str | None
    email: str | None
    username: str | None


class SignupAnswer(Struct):
    """The same for every number. `signup_id` ties the codes asked for next to this profile."""

    signup_id: str
    user: PendingUser
    next: str = "/auth/send-otp/"


class SendOtpBody(Struct, forbid_unknown_fields=True):
    """Whose phone a code goes to. The password is needed where the account has one."""

    mobile_number: Number
    signup_id: Token | None = None
    password: Text | None = None


class VerifyOtpBody(Struct, forbid_unknown_fields=True):
    """The code, and what it belongs to: the challenge, or a number that this client address asked for."""

    otp: Code
    challenge_id: Token | None = None
    mobile_number: Number | None = None


class Welcome(Pair):
    """Signed in."""

    user: Me


class ResetAnswer(Struct):
    """The right to set a new password, once, for `expires_in` seconds."""

    reset_token: str
    expires_in: int
    next: str = "/auth/change-password/"


class SignIn:
    """Signing up, asking for a code, typing it in."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe(
        "Sign up",
        body=SignupBody,
        answers={201: SignupAnswer},
        problems=("rate-limited", "unavailable"),
        signed_in=False,
    )
    def on_post_signup(self, req: Request, resp: Response) -> None:
        """Nothing is an account yet: the profile waits for its number to be proven by a code."""
        body = bodies.read(req, SignupBody)
        signed_up = self._core.sign_up(
            req.context.client,
            body.mobile_number,
            name=body.name,
            email=body.email,
            username=body.username,
            password=body.password,
        )
        profile = signed_up.profile
        user = PendingUser(signed_up.mobile_number, profile.name, profile.email, profile.username)
        resp.status = falcon.HTTP_201
        resp.data = bodies.write(SignupAnswer(signed_up.signup_id, user))

    @describe(
        "Ask for a code",
        body=SendOtpBody,
        answers={200: CodeAnswer},
        problems=("invalid-credentials", "rate-limited", "unavailable", "temporary-reduced-capacity"),
        signed_in=False,
    )
    def on_post_send_otp(self, req: Request, resp: Response) -> None:
        """The answer is the same for every number. A code goes out where the number has an account without a
        password (or the right one is given), or a sign-up of the same requester.
        """
        body = bodies.read(req, SendOtpBody)
        sent = self._core.send_code(
            req.context.client,
            body.mobile_number,
            signup_id=body.signup_id,
            password=body.password,
            request_id=request_id(req),
        )
        resp.data = bodies.write(code_answer(sent))

    @describe(
        "Type a code",
        body=VerifyOtpBody,
        answers={200: Welcome | ResetAnswer},
        problems=("invalid-otp", "rate-limited", "unavailable"),
        signed_in=False,
    )
    def on_post_verify_otp(self, req: Request, resp: Response) -> None:
        """A right code signs in; the first proof of a number makes its account. A code that was asked for by
        forgot-password gives a reset token instead.
        """
        body = bodies.read(req, VerifyOtpBody)
        outcome = self._core.verify_code(
            req.context.client,
            body.otp,
            challenge_id=body.challenge_id,
            mobile_number=body.mobile_number,
            request_id=request_id(req),
        )
        if isinstance(outcome, ResetGrant):
            resp.data = bodies.write(ResetAnswer(outcome.reset_token, outcome.expires_in))
            return
        pair, user = outcome.tokens, outcome.user
        me = me_answer(user, user.plan_at(self._core.clock.now()))
        resp.data = bodies.write(Welcome(pair.access, pair.refresh, "Bearer", pair.expires_in, me))
