"""Signing up costs others nothing beyond the limits."""

from dataclasses import dataclass, field

from tests.contracts.account_worlds import HERE, NOW, NUMBER, RING, memory_world
from tests.fakes.clock import StandingClock

from adapters.argon2.hasher import Argon2Hasher
from adapters.contacts.checker import ContactChecker
from adapters.memory.accounts.limits import MemoryLimits
from gemini_core.errors import RateLimited
from gemini_core.model.accounts.limits import SendLimits
from gemini_core.model.accounts.passwords import PasswordPolicy
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.use_cases.accounts.rules import AcceptPassword, AccountRules, Gate
from gemini_core.use_cases.accounts.signing_in import SignUp


@dataclass
class Elsewhere:
    """Who knows of breaches, and notes who asks."""

    asked: list[str] = field(default_factory=list)

    def holds(self, password: str) -> bool:
        self.asked.append(password)
        return False


def test_over_the_limit_nobody_is_asked_about_passwords() -> None:
    passwords, elsewhere, world = PasswordPolicy(frozenset()), Elsewhere(), memory_world()
    sign_up = SignUp(
        rules=AccountRules(
            ring=RING, passwords=passwords, policy=AccountPolicy(calls_per_minute=1), sends=SendLimits(countries=None)
        ),
        clock=StandingClock(NOW),
        contacts=ContactChecker("US"),
        gate=Gate(MemoryLimits(), MemoryLimits(), world.jobs, StandingClock(NOW)),
        accept=AcceptPassword(passwords, elsewhere),
        hasher=Argon2Hasher(),
        users=world.users,
    )

    def tried(password: str) -> bool:
        try:
            sign_up(HERE, NUMBER, password=password)
        except RateLimited:
            return False
        return True

    admitted = [password for number in range(5) if tried(password := f"correct horse {number}")]
    assert 0 < len(admitted) < 5
    assert elsewhere.asked == admitted
