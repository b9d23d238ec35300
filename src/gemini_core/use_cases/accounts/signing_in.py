"""Signing up, and in."""

from dataclasses import dataclass
from secrets import token_urlsafe

from gemini_core.errors import Invalid, Refused
from gemini_core.model.accounts.codes import Attempt, ChallengeId, Proven
from gemini_core.model.accounts.limits import Ended
from gemini_core.model.accounts.people import Client, MobileNumber, Profile, Signup, SignupId, User, clean_line
from gemini_core.model.accounts.seals import code_seal, number_seals, reset_token
from gemini_core.model.accounts.sessions import Tokens
from gemini_core.model.ids import JobId, SessionId, UserId, uuid7
from gemini_core.ports.accounts.codes import Challenges
from gemini_core.ports.accounts.passwords import PasswordHasher
from gemini_core.ports.accounts.people import Contacts, Users
from gemini_core.ports.accounts.sessions import AccessTokens
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue
from gemini_core.use_cases.accounts.rules import AcceptPassword, AccountRules, Gate, served, tokens_of


@dataclass(frozen=True, slots=True)
class SignedUp:
    """What a sign-up left waiting. It says nothing of whether the number has an account."""

    signup_id: SignupId
    mobile_number: str
    profile: Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """A profile waits for its number to be proven by whoever gave it; until then nothing is an account.

    For a number that has an account already everything looks the same, and nothing of the account changes.
    """

    rules: AccountRules
    clock: Clock
    contacts: Contacts
    gate: Gate
    accept: AcceptPassword
    hasher: PasswordHasher
    users: Users

    def __call__(
        self,
        client: Client,
        mobile_number: str,
        *,
        name: str | None = None,
        email: str | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> SignedUp:
        """Raises `Invalid`, `RateLimited`, `Unavailable`."""
        now = self.clock.now()
        number = served(self.contacts.number(mobile_number), self.rules)
        profile = clean_profile(self.contacts, name=name, email=email, username=username)
        self.gate.admit(self.rules.pace("signup", client), now=now)
        if password is not None:
            password = self.accept("password", password, number.e164, profile)
        signup = Signup(
            id=SignupId(token_urlsafe(16)),
            mobile_number=number.e164,
            network=client.network,
            profile=profile,
            password_hash=None if password is None else self.hasher.hash(password),
            created_at=now,
        )
        self.users.sign_up(signup, ip=client.ip)
        return SignedUp(signup.id, number.e164, profile)


@dataclass(frozen=True, slots=True)
class Welcome:
    """Signed in."""

    tokens: Tokens
    user: User


@dataclass(frozen=True, slots=True)
class ResetGrant:
    """The right to set a new password, once. `expires_in`: seconds."""

    reset_token: str
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyCode:
    """A code that is right, in time and the first one signs in, or allows a new password, as it was asked for.

    The first proof of a number makes its account. Everything else is one and the same refusal.
    """

    rules: AccountRules
    clock: Clock
    contacts: Contacts
    gate: Gate
    challenges: Challenges
    tokens: AccessTokens
    queue: JobQueue

    def __call__(
        self,
        client: Client,
        code: str,
        *,
        challenge_id: str | None = None,
        mobile_number: str | None = None,
        request_id: str = "",
    ) -> Welcome | ResetGrant:
        """Raises `Refused` (`invalid-otp`), `Invalid`, `RateLimited`, `Unavailable`."""
        now = self.clock.now()
        if (challenge_id is None) == (mobile_number is None):
            raise Invalid.field("challenge_id", "either this or mobile_number must be given", "missing")
        challenge, seals = self._named(client, code, challenge_id, mobile_number)
        self.gate.admit(self.rules.pace("verify", client), now=now)
        attempt = Attempt(
            challenge=challenge,
            seals=seals,
            client=client,
            user_id=UserId(uuid7(now)),
            session_id=SessionId(uuid7(now)),
            job=JobId(uuid7(now)),
            request_id=request_id,
            now=now,
        )
        outcome = self.challenges.redeem(attempt)
        if outcome is None:
            raise refused()
        self.queue.nudge(attempt.job)
        if isinstance(outcome, Proven):
            token = reset_token(self.rules.ring, outcome.challenge_id)
            return ResetGrant(token, int(self.rules.policy.reset_lives.total_seconds()))
        if outcome.displaced:
            self.gate.end(Ended(outcome.user.id, outcome.displaced))
        return Welcome(tokens_of(outcome.session, self.rules, self.tokens), outcome.user)

    def _named(
        self, client: Client, code: str, challenge_id: str | None, mobile_number: str | None
    ) -> tuple[ChallengeId | MobileNumber, tuple[bytes, ...]]:
        """What the code is for, and how it would be kept there. Raises `Invalid`."""
        if mobile_number is None:
            challenge = ChallengeId(challenge_id or "")
            return challenge, (code_seal(self.rules.ring, challenge, code),)
        number = self.contacts.number(mobile_number)
        return number, number_seals(self.rules.ring, number.e164, client.network, code)


def refused() -> Refused:
    """The one answer to every code that is not right."""
    return Refused("The code is not valid. Ask for a new one.", code="invalid-otp")


def clean_profile(contacts: Contacts, *, name: str | None, email: str | None, username: str | None) -> Profile:
    """The profile as it is kept. Raises `Invalid`."""
    return Profile(
        name=clean_line("name", name),
        email=contacts.email(email) if email else None,
        username=clean_line("username", username),
    )
