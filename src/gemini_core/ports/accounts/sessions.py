"""Sign-ins, and the tokens that stand for them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from gemini_core.model.accounts.limits import Ended
from gemini_core.model.accounts.people import Caller
from gemini_core.model.accounts.sessions import AccessClaims, Reused, Session
from gemini_core.model.ids import SessionId, UserId


class Sessions(Protocol):
    """Sign-ins that live."""

    def rotate(self, session: SessionId, counter: int, *, ip: str, now: datetime) -> Session | Reused | None:
        """Renew: of any number of callers with the newest counter one advances it, and all get the same successor.

        The one before it gets that successor too, for `policy.refresh_grace`; anything older ends the session.
        None for a session that is no more.
        """
        ...

    def live(self, user: UserId, *, now: datetime) -> Sequence[Session]:
        """The user's sessions, last used first."""
        ...

    def alive(self, caller: Caller, *, now: datetime) -> bool:
        """The session goes on."""
        ...

    def end(self, user: UserId, session: SessionId, *, ip: str, now: datetime) -> Ended:
        """End one. Raises `NotFound` for one that is not live, or somebody else's."""
        ...

    def end_all(self, user: UserId, *, ip: str | None, now: datetime, operator: str | None = None) -> Ended:
        """End every session, and void what is under way. Raises `NotFound`."""
        ...


class AccessTokens(Protocol):
    """Signs and reads access tokens."""

    def issue(self, claims: AccessClaims) -> str:
        """A signed token. Raises `Unavailable` if there is no key to sign with."""
        ...

    def read(self, token: str, *, now: datetime) -> AccessClaims:
        """What it says, if it is ours and in time. Raises `Unauthenticated`, always with the same words."""
        ...

    def published(self) -> Mapping[str, object]:
        """The public keys, as a JSON Web Key Set."""
        ...
