"""How often something may happen, as data. Counting is a port's work; what is counted is decided here."""

from dataclasses import dataclass
from datetime import timedelta

from gemini_core.model.accounts.people import MobileNumber
from gemini_core.model.accounts.seals import SealRing
from gemini_core.model.ids import SessionId, UserId

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


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
    """The rule that is full for the longest, and after how long the same demand could be met."""

    rule: Rule
    retry_after: timedelta


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a demand. `withheld`: the name of the shared rule or budget that is full.

    `noted`: the budget that would have withheld, had it been obeyed. `revoked`: the session has ended. `doubt`: it may
    have, as the store has begun to remember too lately to know; another word for every such beginning.
    """

    refused: Refusal | None = None
    withheld: str | None = None
    noted: str | None = None
    revoked: bool = False
    doubt: str | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLimits:
    """How many codes may leave. `countries` None: everywhere; empty: nowhere. `per_day`: all codes of a day.

    Who asks is told only of limits that they filled themselves, from their own network; where others took part, the
    answer is the usual one and no code leaves. So nobody learns from it that somebody else asks for a number.
    """

    per_phone_hour: int = 3
    per_phone_day: int = 10
    per_network_hour: int = 20
    per_prefix_hour: int = 30
    per_day: int = 10_000
    sending: bool = True
    countries: frozenset[str] | None = frozenset()
    budgets_record_only: bool = True
    most_countries: int = 3

    def serves(self, country: str) -> bool:
        """Codes go to this country."""
        return self.countries is None or country in self.countries

    def demand(self, ring: SealRing, number: MobileNumber, network: str, token: str) -> Take:
        """What one code takes."""
        phone, prefix, here = ring.blind(number.e164), ring.blind(number.prefix), ring.blind(network)
        return Take(
            token=token,
            own=(
                Rule("send-phone-hour", f"send:{phone}@{here}:h", self.per_phone_hour, HOUR),
                Rule("send-phone-day", f"send:{phone}@{here}:d", self.per_phone_day, DAY),
                Rule("send-network-hour", f"send:{here}:h", self.per_network_hour, HOUR),
            ),
            shared=(
                Rule("phone-hour", f"send:{phone}:h", self.per_phone_hour, HOUR),
                Rule("phone-day", f"send:{phone}:d", self.per_phone_day, DAY),
                Rule("prefix-hour", f"send:{prefix}:p", self.per_prefix_hour, HOUR),
                self.in_all,
            ),
            budgets=(
                Budget("country-hour", f"country:{number.country}", 3, 0.2, HOUR),
                Budget("country-day", f"country:{number.country}", 20, 0.3, DAY),
                Budget("network-hour", f"network:{here}", 5, 0.2, HOUR),
                Budget("network-day", f"network:{here}", 10, 0.3, DAY),
            ),
            spreads=(Spread("countries-day", f"countries:{here}", number.country, self.most_countries, DAY),),
            record_only=self.budgets_record_only,
        )

    @property
    def in_all(self) -> Rule:
        """The cap on a day's costs."""
        return Rule("all-day", "send:all", self.per_day, DAY)
