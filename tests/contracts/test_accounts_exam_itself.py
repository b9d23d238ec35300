"""The exam is good for something: five adapters, each with a mistake that was made elsewhere, must fail it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt
import pytest
from sqlalchemy import Engine, text
from tests.contracts import test_accounts_codes as codes
from tests.contracts import test_accounts_sessions as sessions
from tests.contracts import test_accounts_tokens as tokens
from tests.contracts.account_worlds import NOW, memory_world, postgres_world, with_challenges

from adapters.jwt.ring import FixedRing
from adapters.jwt.tokens import JwtTokens
from adapters.memory.accounts.challenges import MemoryChallenges
from adapters.memory.accounts.tables import Challenge
from adapters.persistence.accounts.challenges import SqlChallenges
from adapters.persistence.engine import statement
from adapters.redis.client import connect
from adapters.redis.limits import RedisLimits
from adapters.redis.scripts import Scripts
from gemini_core.errors import Unavailable
from gemini_core.model.accounts.codes import Attempt, NewChallenge, Opened, Proven, SignedIn, TooSoon
from gemini_core.model.accounts.limits import HOUR, Rule, Take, Taken
from gemini_core.model.accounts.people import User
from gemini_core.model.accounts.policy import AccountPolicy


@dataclass(frozen=True, slots=True)
class ReadsThenWrites(SqlChallenges):
    """Reads how often was tried, decides, and writes the sum."""

    def redeem(self, attempt: Attempt) -> SignedIn | Proven | None:
        about = {"id": attempt.challenge, "now": attempt.now}
        with statement(self.engine) as connection:
            found = connection.execute(text("SELECT attempts, seals FROM challenges WHERE id = :id"), about).one()
        if found.attempts >= self.policy.attempts:
            return None
        detail = f'{{"attempt": {found.attempts + 1}}}'
        with statement(self.engine) as connection:
            sums = {**about, "attempts": found.attempts + 1, "detail": detail}
            connection.execute(text("UPDATE challenges SET attempts = :attempts WHERE id = :id"), sums)
            noted = "INSERT INTO audit (at, event, detail) VALUES (:now, 'code.compared', CAST(:detail AS jsonb))"
            connection.execute(text(noted), sums)
        return SqlChallenges.redeem(self, attempt) if tuple(found.seals) == attempt.seals else None


@dataclass(frozen=True, slots=True)
class ResendResetsTries(MemoryChallenges):
    """Takes every ask for a fresh start."""

    def open(self, wanted: NewChallenge) -> Opened | TooSoon:
        opened = MemoryChallenges.open(self, wanted)
        if isinstance(opened, Opened):
            row = self.accounts.challenge(opened.id)
            assert row is not None
            row.attempts = 0
        return opened


@dataclass(frozen=True, slots=True)
class UnguardedSession(MemoryChallenges):
    """Opens the session without a second look at the account."""

    def _proven(self, row: Challenge, account: User | None, attempt: Attempt) -> SignedIn | Proven | None:
        if account is not None:
            row.version = account.credential_version
        return MemoryChallenges._proven(self, row, account, attempt)


@dataclass(frozen=True, slots=True)
class FailsOpen:
    """Lets pass what it cannot count."""

    limits: RedisLimits

    def take(self, wanted: Take, *, now: datetime) -> Taken:
        try:
            return self.limits.take(wanted, now=now)
        except Unavailable:
            return Taken()


class AnyType(JwtTokens):
    """Looks at the signature, not at what the token is for."""

    @staticmethod
    def _named_key(token: str) -> str:
        return str(jwt.get_unverified_header(token)["kid"])


def must_fail(exam: Callable[[], object]) -> None:
    with pytest.raises(AssertionError):
        exam()


def test_reading_before_writing_fails(engine: Engine) -> None:
    broken = with_challenges(postgres_world(engine), ReadsThenWrites(engine, AccountPolicy()))
    must_fail(lambda: codes.test_of_fifty_wrong_guesses_at_once_five_are_compared(broken))


def test_a_resend_that_resets_the_tries_fails() -> None:
    must_fail(lambda: codes.test_a_resend_never_resets_the_attempts(memory_world(ResendResetsTries)))


def test_an_unguarded_session_fails() -> None:
    exam = sessions.test_a_code_asked_for_under_the_former_password_opens_nothing
    must_fail(lambda: exam(memory_world(UnguardedSession)))


def refuses_while_it_cannot_count(limits: Any) -> None:
    try:
        limits.take(Take(token="t", own=(Rule("one", "one", 1, HOUR),)), now=NOW)
    except Unavailable:
        return
    raise AssertionError("it lets pass")


def test_limits_whose_store_is_away_let_nothing_pass() -> None:
    away = connect("redis://127.0.0.1:1/0", timeout=0.2)
    refuses_while_it_cannot_count(RedisLimits(Scripts(away), access_lives=HOUR))
    must_fail(lambda: refuses_while_it_cannot_count(FailsOpen(RedisLimits(Scripts(away), access_lives=HOUR))))
    away.close()


def test_an_unchecked_type_fails() -> None:
    broken = AnyType(FixedRing(tokens.SEED), issuer=tokens.US, audience=tokens.US)
    must_fail(lambda: _refused(broken))


def _refused(broken: JwtTokens) -> None:
    assert tokens.is_refused(broken, tokens.forged(typ="JWT"))
