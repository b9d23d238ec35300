"""Signing up and in, sessions, passwords, and the user's own account."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

import falcon
from falcon import Request, Response
from msgspec import UNSET, Meta, Struct, UnsetType

from adapters.http import bodies
from adapters.http.auth import caller
from adapters.http.context import request_id
from adapters.http.describing import Raw, describe
from gemini_core.core import Core
from gemini_core.errors import Invalid
from gemini_core.model.accounts import Session, Tokens, User
from gemini_core.model.ids import SessionId
from gemini_core.ports.accounts import Inbox
from gemini_core.use_cases.accounts.codes import CodeSent
from gemini_core.use_cases.accounts.signing_in import ResetGrant

Number = Annotated[str, Meta(max_length=32)]
Token = Annotated[str, Meta(max_length=512)]
Code = Annotated[str, Meta(min_length=1, max_length=16)]
Text = Annotated[str, Meta(max_length=1000)]


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


class ForgotPasswordBody(Struct, forbid_unknown_fields=True):
    """Whose password is to be set anew."""

    mobile_number: Number


class CodeAnswer(Struct, omit_defaults=True):
    """The same for every number. Seconds. `otp` is there in development only."""

    challenge_id: str
    message: str
    expires_in: int
    resend_after: int
    otp: str | None = None


class VerifyOtpBody(Struct, forbid_unknown_fields=True):
    """The code, and what it belongs to: the challenge, or a number that this client address asked for."""

    otp: Code
    challenge_id: Token | None = None
    mobile_number: Number | None = None


class Me(Struct):
    """An account."""

    id: UUID
    mobile_number: str
    name: str | None
    email: str | None
    username: str | None
    plan: str
    created_at: datetime


class Pair(Struct):
    """An access token for `expires_in` seconds, and the refresh token that is good for the next pair, once."""

    access: str
    refresh: str
    token_type: str
    expires_in: int


class Welcome(Pair):
    """Signed in."""

    user: Me


class ResetAnswer(Struct):
    """The right to set a new password, once, for `expires_in` seconds."""

    reset_token: str
    expires_in: int
    next: str = "/auth/change-password/"


class RefreshBody(Struct, forbid_unknown_fields=True):
    """The refresh token of the last pair."""

    refresh: Token


class SessionItem(Struct):
    """Where the user is signed in. `last_used_at`: when its tokens were last renewed."""

    id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str
    ip: str
    current: bool


class SessionList(Struct):
    """All of them: they are few."""

    items: list[SessionItem]
    next_cursor: None = None


class ChangePasswordBody(Struct, forbid_unknown_fields=True):
    """Signed in, with the current password where one is set; or not signed in, with a reset token."""

    new_password: Text
    current_password: Text | None = None
    reset_token: Token | None = None


class ChangeMeBody(Struct, forbid_unknown_fields=True):
    """What is not named stays; null removes."""

    name: Text | UnsetType | None = UNSET
    email: Text | UnsetType | None = UNSET
    username: Text | UnsetType | None = UNSET


class Message(Struct):
    """Words for people."""

    message: str


class InboxMessage(Struct):
    """What would have gone to a phone."""

    at: datetime
    mobile_number: str
    text: str


class InboxAnswer(Struct):
    """Newest first."""

    items: list[InboxMessage]


class SignIn:
    """From a number to a session: `/auth/...` without a token."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe("Sign up", body=SignupBody, answers={201: SignupAnswer}, problems=("rate-limited",), signed_in=False)
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
        resp.data = bodies.write(_sent(sent))

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
        resp.data = bodies.write(_sent(sent))

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
        me = _me(user, user.plan_at(self._core.clock.now()))
        resp.data = bodies.write(Welcome(pair.access, pair.refresh, "Bearer", pair.expires_in, me))

    @describe("Renew the tokens", body=RefreshBody, answers={200: Pair}, problems=("unauthenticated",), signed_in=False)
    def on_post_refresh(self, req: Request, resp: Response) -> None:
        """A new pair; the old refresh token is spent. For a short grace it gives the same pair again; after that,
        its use ends the session.
        """
        body = bodies.read(req, RefreshBody)
        resp.data = bodies.write(_pair(self._core.refresh(req.context.client, body.refresh)))

    @describe(
        "Set a new password",
        body=ChangePasswordBody,
        answers={204: None},
        problems=("unauthenticated", "invalid-credentials", "invalid-reset-token", "sign-in-again", "rate-limited"),
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


class Sessions:
    """Where the user is signed in."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe("Sign out", answers={204: None})
    def on_post_logout(self, req: Request, resp: Response) -> None:
        """Ends this session, on every process at once."""
        who = caller(req)
        self._core.end_session(who, req.context.client, who.session_id)
        resp.status = falcon.HTTP_204

    @describe("Sign out everywhere", answers={204: None})
    def on_post_logout_all(self, req: Request, resp: Response) -> None:
        """Ends every session of the user."""
        self._core.end_all_sessions(caller(req), req.context.client)
        resp.status = falcon.HTTP_204

    @describe("The user's sessions", answers={200: SessionList})
    def on_get(self, req: Request, resp: Response) -> None:
        """Last used first."""
        who = caller(req)
        items = [_session(session, current=session.id == who.session_id) for session in self._core.list_sessions(who)]
        resp.data = bodies.write(SessionList(items))

    @describe("End a session", answers={204: None}, problems=("not-found",))
    def on_delete_one(self, req: Request, resp: Response, session_id: UUID) -> None:
        """One of the user's own."""
        self._core.end_session(caller(req), req.context.client, SessionId(session_id))
        resp.status = falcon.HTTP_204


class Account:
    """The user's own account."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe("The account", answers={200: Me})
    def on_get(self, req: Request, resp: Response) -> None:
        """Who is signed in."""
        self._show(resp, self._core.show_me(caller(req)))

    @describe("Change the profile", body=ChangeMeBody, answers={200: Me})
    def on_patch(self, req: Request, resp: Response) -> None:
        """Name, e-mail address, user name."""
        who = caller(req)
        body = bodies.read(req, ChangeMeBody)
        given = {field: getattr(body, field) for field in body.__struct_fields__}
        changes = {field: value for field, value in given.items() if value is not UNSET}
        self._show(resp, self._core.change_me(who, req.context.client, changes))

    @describe("Delete the account", answers={202: Message})
    def on_delete(self, req: Request, resp: Response) -> None:
        """Signed out at once; all data is erased, and a subscription is cancelled."""
        self._core.delete_me(caller(req), req.context.client, request_id=request_id(req))
        resp.status = falcon.HTTP_202
        resp.data = bodies.write(Message("Signed out everywhere. All data is being erased."))

    @describe("Everything about the user", answers={200: Raw("application/json", "An object of lists.")})
    def on_get_export(self, req: Request, resp: Response) -> None:
        """All that the system holds, streamed: an object with a list per kind."""
        who = caller(req)
        resp.content_type = falcon.MEDIA_JSON
        resp.set_header("Content-Disposition", 'attachment; filename="export.json"')
        resp.stream = _streamed(self._core.export_me(who))

    def _show(self, resp: Response, user: User) -> None:
        resp.data = bodies.write(_me(user, user.plan_at(self._core.clock.now())))


class Keys:
    """The public keys of access tokens."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe("The public keys", answers={200: Raw("application/jwk-set+json", "A JSON Web Key Set.")}, signed_in=False)
    def on_get(self, _req: Request, resp: Response) -> None:
        """So that other services can check access tokens themselves."""
        resp.content_type = "application/jwk-set+json"
        resp.set_header("Cache-Control", "public, max-age=60")
        resp.data = bodies.write(self._core.access_tokens.published())


class DevelopmentInbox:
    """The phone of development. There is no such path anywhere else."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    @describe('What was "sent"', answers={200: InboxAnswer}, signed_in=False)
    def on_get(self, _req: Request, resp: Response) -> None:
        """The codes and notices of development, newest first."""
        resp.data = bodies.write({"items": self._inbox.messages()})


def _sent(sent: CodeSent) -> CodeAnswer:
    message = "If this number can be used here, a code is on its way."
    return CodeAnswer(sent.challenge_id, message, sent.expires_in, sent.resend_after, sent.code)


def _pair(tokens: Tokens) -> Pair:
    return Pair(tokens.access, tokens.refresh, "Bearer", tokens.expires_in)


def _me(user: User, plan: str) -> Me:
    profile = user.profile
    return Me(user.id, user.mobile_number, profile.name, profile.email, profile.username, plan, user.created_at)


def _session(session: Session, *, current: bool) -> SessionItem:
    return SessionItem(
        session.id,
        session.created_at,
        session.rotated_at,
        session.expires_at,
        session.user_agent,
        session.ip,
        current,
    )


def _streamed(parts: Iterator[tuple[str, Iterator[Mapping[str, object]]]]) -> Iterator[bytes]:
    """An object with a list per part, never held as a whole."""
    opening = b"{"
    for name, records in parts:
        yield opening + bodies.write(name) + b":["
        for index, record in enumerate(records):
            yield (b"," if index else b"") + bodies.write(record)
        yield b"]"
        opening = b","
    yield b"}" if opening == b"," else b"{}"
