"""Where users are signed in."""

from contextlib import suppress
from uuid import UUID

import falcon
from falcon import Request, Response
from msgspec import Struct

from adapters.http import bodies
from adapters.http.accounts.answers import Pair, Token, pair_answer
from adapters.http.auth import caller
from adapters.http.describing import PAGED, Moment, describe
from adapters.http.paging import Cursors, Listing
from gemini_core.core import Core
from gemini_core.errors import NotFound
from gemini_core.model.accounts.sessions import Session
from gemini_core.model.ids import SessionId


class RefreshBody(Struct, forbid_unknown_fields=True):
    """The refresh token of the last pair."""

    refresh: Token


class SessionItem(Struct):
    """Where the user is signed in. `last_used_at`: when its tokens were last renewed."""

    id: UUID
    created_at: Moment
    last_used_at: Moment
    expires_at: Moment
    user_agent: str
    ip: str
    current: bool


class Sessions:
    """Where the user is signed in."""

    def __init__(self, core: Core, cursors: Cursors) -> None:
        self._core = core
        self._cursors = cursors

    @describe(
        "Renew the tokens",
        body=RefreshBody,
        answers={200: Pair},
        problems=("unauthenticated", "rate-limited", "unavailable"),
        signed_in=False,
    )
    def on_post_refresh(self, req: Request, resp: Response) -> None:
        """A new pair; the old refresh token is spent. For a short grace it gives the same pair again; after that,
        its use ends the session.
        """
        body = bodies.read(req, RefreshBody)
        resp.data = bodies.write(pair_answer(self._core.refresh_tokens(req.context.client, body.refresh)))

    @describe("Sign out", body=bodies.Nothing, answers={204: None})
    def on_post_logout(self, req: Request, resp: Response) -> None:
        """Ends this session, on every process at once."""
        who = caller(req)
        bodies.read(req, bodies.Nothing)
        with suppress(NotFound):  # it has ended this moment
            self._core.end_session(who, req.context.client, who.session_id)
        resp.status = falcon.HTTP_204

    @describe("Sign out everywhere", body=bodies.Nothing, answers={204: None})
    def on_post_logout_all(self, req: Request, resp: Response) -> None:
        """Ends every session of the user."""
        who = caller(req)
        bodies.read(req, bodies.Nothing)
        self._core.end_all_sessions(who, req.context.client)
        resp.status = falcon.HTTP_204

    @describe("The user's sessions", answers={200: Listing[SessionItem]}, query=PAGED)
    def on_get(self, req: Request, resp: Response) -> None:
        """Last used first."""
        who = caller(req)
        scope = ("sessions", who.user_id)
        limit, after = self._cursors.asked(req, *scope)
        page = self._core.list_sessions(who, limit=limit, after=after)

        def show(session: Session) -> SessionItem:
            return _session(session, current=session.id == who.session_id)

        resp.data = bodies.write(self._cursors.listing(page, show, *scope))

    @describe("End a session", answers={204: None}, problems=("not-found",))
    def on_delete_one(self, req: Request, resp: Response, session_id: UUID) -> None:
        """One of the user's own."""
        self._core.end_session(caller(req), req.context.client, SessionId(session_id))
        resp.status = falcon.HTTP_204


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
