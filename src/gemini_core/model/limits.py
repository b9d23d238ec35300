"""How often something may happen, as data. Counting is a port's work; what is counted is decided here."""

from dataclasses import dataclass
from datetime import timedelta

from gemini_core.model.ids import SessionId, UserId


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` in any `window`, per `key`.

    `exact` rules keep a log of instants and hold in every window whatever its start; the others are paced (GCRA):
    cheaper, `limit` at once after a rest, and never faster than `limit` per `window` from then on.
    """

    name: str
    key: str
    limit: int
    window: timedelta
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Budget:
    """Codes sent for `key` that nobody proved: at most max(`floor`, `share` of those proven) in `window`."""

    name: str
    key: str
    floor: int
    share: float
    window: timedelta


@dataclass(frozen=True, slots=True)
class Spread:
    """At most `limit` different `value`s with an unproven code per `key` in `window`."""

    name: str
    key: str
    value: str
    limit: int
    window: timedelta


@dataclass(frozen=True, slots=True)
class SessionClaim:
    """What an access token says of its session; asked together with the limits, so that it costs nothing."""

    user_id: UserId
    session_id: SessionId
    credential_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One request's demand. `token` names it, so that it can be given back.

    `own` rules are the requester's: one of them full refuses the request, and nothing at all is taken. `shared` rules,
    `budgets` and `spreads` are other people's business too: one of them full withholds what was asked for without a
    word, and none of them is taken, while `own` is. `record_only`: full budgets and spreads are noted, not obeyed.
    """

    token: str
    own: tuple[Rule, ...] = ()
    shared: tuple[Rule, ...] = ()
    budgets: tuple[Budget, ...] = ()
    spreads: tuple[Spread, ...] = ()
    record_only: bool = False
    session: SessionClaim | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The rule that is full, and after how long the same demand could be met."""

    rule: Rule
    retry_after: timedelta


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a demand. `withheld`: the name of the shared rule or budget that is full.

    `noted`: the budget that would have withheld, had it been obeyed. `revoked`: the session has ended.
    """

    refused: Refusal | None = None
    withheld: str | None = None
    noted: str | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """Access tokens that must no longer work: of these sessions; of the user below a credential version.

    `kept` is the one session of the user that goes on whatever its version.
    """

    user_id: UserId
    sessions: tuple[SessionId, ...] = ()
    below_version: int | None = None
    kept: SessionId | None = None


@dataclass(frozen=True, slots=True)
class BudgetFigures:
    """What an operator sees of one budget key, in the past day."""

    key: str
    unproven: int
    proven: int
    noted: int
