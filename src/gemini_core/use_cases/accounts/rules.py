"""What the verbs of accounts share: the installation's promises, and the gate that requests pass."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import ceil
from secrets import token_hex
from uuid import uuid5

from gemini_core.errors import Invalid, RateLimited, Unavailable
from gemini_core.model.accounts.limits import MINUTE, Ended, Refusal, Rule, SendLimits, Take, Taken
from gemini_core.model.accounts.passwords import PasswordPolicy
from gemini_core.model.accounts.people import Client, MobileNumber, Profile
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.accounts.seals import RefreshClaims, SealRing, refresh_token
from gemini_core.model.accounts.sessions import DOUBT_SESSIONS, AccessClaims, Session, Tokens
from gemini_core.model.ids import JobId, SessionId, uuid7
from gemini_core.model.jobs import NewJob
from gemini_core.ports.accounts.limits import Limits
from gemini_core.ports.accounts.passwords import BreachedPasswords
from gemini_core.ports.accounts.sessions import AccessTokens
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobRepo

# So many sessions are known to go on before they are asked about anew.
REMEMBERED = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRules:
    """What this installation promises, and the secrets it promises with."""

    ring: SealRing
    passwords: PasswordPolicy
    policy: AccountPolicy = field(default_factory=AccountPolicy)
    sends: SendLimits = field(default_factory=SendLimits)

    def pace(self, name: str, client: Client) -> Take:
        """How fast one network may call what needs no sign-in."""
        key = f"pace:{name}:{self.ring.blind(client.network)}"
        return Take(token=token_hex(8), own=(Rule(name, key, self.policy.calls_per_minute, MINUTE, exact=False),))


@dataclass(frozen=True, slots=True)
class AcceptPassword:
    """A new password is long enough, none of the common ones, not guessable, and known from no breach elsewhere."""

    policy: PasswordPolicy
    breached: BreachedPasswords | None = None

    def __call__(self, field_name: str, password: str, number: str, profile: Profile) -> str:
        """The password as it is to be hashed. Raises `Invalid`."""
        about = (number, profile.name, profile.email, profile.username)
        accepted = self.policy.accept(field_name, password, about=about)
        if self.breached is not None and self.breached.holds(accepted):
            raise Invalid.field(field_name, "is known from a breach of another service", "breached")
        return accepted


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits that go on without their store: each process then counts for itself, and nothing stays open.

    Whether a session has ended is asked of the database instead: while the store is away, and once of each session in
    each process where the store is in doubt. What it could not be told becomes a promise to make it doubt, which
    outlives this process.
    """

    limits: Limits
    fallback: Limits
    jobs: JobRepo
    clock: Clock
    _alive: dict[SessionId, str] = field(default_factory=dict)

    def admit(self, take: Take, *, now: datetime, unknown: Callable[[], bool] = lambda: False) -> Taken:
        """Raises `RateLimited`. `unknown` answers whether the session has ended where the store cannot."""
        try:
            taken = self.limits.take(take, now=now)
            unsure = taken.doubt is not None
        except Unavailable:
            taken = self.fallback.take(take, now=now)
            unsure = True
        if taken.refused is not None:
            raise rate_limited(taken.refused)
        if unsure and take.session is not None and not taken.revoked:
            taken = replace(taken, revoked=self._has_ended(take.session.session_id, taken.doubt, unknown))
        return taken

    def _has_ended(self, session: SessionId, doubt: str | None, ask: Callable[[], bool]) -> bool:
        """Asked once in a doubt: what ends after that, the store hears of, or else it has another doubt."""
        if doubt is not None and self._alive.get(session) == doubt:
            return False
        ended = ask()
        if doubt is not None and not ended:
            if len(self._alive) >= REMEMBERED:
                self._alive.clear()
            self._alive[session] = doubt
        return ended

    def give_back(self, take: Take) -> None:
        """Undo what was admitted, wherever it was counted."""
        for limits in (self.fallback, self.limits):
            with suppress(Unavailable):
                limits.give_back(take)

    def end(self, ended: Ended) -> bool:
        """Tell every process; whether the store was told. Without it they ask the database, which knows.

        Raises `Unavailable` if that is away as well.
        """
        self.fallback.end(ended)
        try:
            self.limits.end(ended)
        except Unavailable:
            self.jobs.add(NewJob(id=JobId(uuid7(self.clock.now())), kind=DOUBT_SESSIONS))
            return False
        return True


def rate_limited(refusal: Refusal) -> RateLimited:
    """The failure for a full rule."""
    rule = refusal.rule
    return RateLimited(
        "There were too many requests of this kind.",
        retry_after=max(1, ceil(refusal.retry_after.total_seconds())),
        limit=rule.limit,
        window=int(rule.window.total_seconds()),
        policy=rule.name,
    )


def tokens_of(session: Session, rules: AccountRules, signer: AccessTokens) -> Tokens:
    """The pair that belongs to the session as it is: the same one, however often it is made."""
    lives = rules.policy.access_lives
    claims = AccessClaims(
        user_id=session.user_id,
        session_id=session.id,
        version=session.credential_version,
        token_id=uuid5(session.id, f"{session.counter}.{session.credential_version}"),
        issued_at=session.rotated_at,
        expires_at=session.rotated_at + lives,
        signed_in_at=session.created_at,
    )
    refresh = refresh_token(rules.ring, RefreshClaims(session.id, session.counter))
    return Tokens(signer.issue(claims), refresh, int(lives.total_seconds()))


def served(number: MobileNumber, rules: AccountRules) -> MobileNumber:
    """The number, if codes go to its country. Raises `Invalid`."""
    if not rules.sends.serves(number.country):
        raise Invalid.field("mobile_number", "is of a country that is not served", "country_not_served")
    return number
