"""Who is signed in, for how long, and how it ends."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gemini_core.errors import Unauthenticated
from gemini_core.model.accounts.limits import MINUTE, Ended, Rule, SessionClaim, Take
from gemini_core.model.accounts.people import Caller, Client
from gemini_core.model.accounts.seals import read_refresh_token
from gemini_core.model.accounts.sessions import Reused, Session, Tokens
from gemini_core.model.ids import SessionId
from gemini_core.model.requests import Page, page_of
from gemini_core.ports.accounts.sessions import AccessTokens, Sessions
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.accounts.rules import AccountRules, Gate, tokens_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticate:
    """An access token of ours, in time and of a session that goes on, tells who calls; and no faster than allowed."""

    rules: AccountRules
    clock: Clock
    tokens: AccessTokens
    gate: Gate
    sessions: Sessions

    def __call__(self, token: str) -> Caller:
        """Raises `Unauthenticated`, `RateLimited`, and `Unavailable` if neither limits nor database can be asked."""
        now = self.clock.now()
        claims = self.tokens.read(token, now=now)
        caller = Caller(claims.user_id, claims.session_id)
        pace = Rule("calls", f"pace:{claims.user_id}", self.rules.policy.calls_per_minute, MINUTE, exact=False)
        claim = SessionClaim(claims.user_id, claims.session_id, claims.version)
        take = Take(token="", own=(pace,), session=claim)
        if self.gate.admit(take, now=now, unknown=lambda: not self.sessions.alive(caller, now=now)).revoked:
            raise Unauthenticated("This session has ended.")
        return caller


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTokens:
    """A refresh token is good for one new pair; used again after a short grace, it ends the session it belongs to."""

    rules: AccountRules
    clock: Clock
    tokens: AccessTokens
    gate: Gate
    sessions: Sessions

    def __call__(self, client: Client, token: str) -> Tokens:
        """Raises `Unauthenticated` (before anything is asked, for a token that is not ours), `RateLimited`."""
        claims = read_refresh_token(self.rules.ring, token)
        if claims is None:
            raise self._refused()
        now = self.clock.now()
        self.gate.admit(self.rules.pace("refresh", client), now=now)
        rotated = self.sessions.rotate(claims.session_id, claims.counter, ip=client.ip, now=now)
        if isinstance(rotated, Session):
            return tokens_of(rotated, self.rules, self.tokens)
        if isinstance(rotated, Reused):
            self.gate.end(Ended(rotated.user_id, (rotated.session_id,)))
        raise self._refused()

    @staticmethod
    def _refused() -> Unauthenticated:
        return Unauthenticated("The refresh token is not valid.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSessions:
    """Users see where they are signed in."""

    clock: Clock
    sessions: Sessions

    def __call__(self, caller: Caller, *, limit: int = 20, after: tuple[str, ...] | None = None) -> Page[Session]:
        """Last used first. Raises `Invalid`, `Unavailable`. (They are few, so that the store gives all of them.)"""
        live, limit = self.sessions.live(caller.user_id, now=self.clock.now()), page_of(limit)
        if after is not None:
            last = datetime.fromisoformat(after[0]), UUID(after[1])
            live = [session for session in live if (session.rotated_at, session.id) < last]
        items = tuple(live[:limit])
        return Page(items, (items[-1].rotated_at.isoformat(), str(items[-1].id)) if len(live) > limit else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession:
    """Users end any session of their own, on every process at once; somebody else's is not there."""

    clock: Clock
    gate: Gate
    sessions: Sessions

    def __call__(self, caller: Caller, client: Client, session: SessionId) -> None:
        """Raises `NotFound`."""
        ended = self.sessions.end(caller.user_id, session, ip=client.ip, now=self.clock.now())
        self.gate.end(ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAllSessions:
    """Users sign out everywhere; what was being signed in meanwhile is out too."""

    clock: Clock
    gate: Gate
    sessions: Sessions

    def __call__(self, caller: Caller, client: Client) -> None:
        """Raises `NotFound`."""
        ended = self.sessions.end_all(caller.user_id, ip=client.ip, now=self.clock.now())
        self.gate.end(ended)
