"""Asking for codes, and sending them."""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil
from secrets import token_hex
from unicodedata import normalize

from gemini_core.errors import RateLimited, Unauthenticated, Unavailable
from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.codes import ChallengeId, Delivery, NewChallenge, Outcome, Purpose, TooSoon, new_code
from gemini_core.model.accounts.limits import Rule, Take
from gemini_core.model.accounts.people import Client, Credentials, MobileNumber, SignupId, masked
from gemini_core.model.accounts.policy import code_text
from gemini_core.model.accounts.seals import code_seal, new_challenge_id, number_seals
from gemini_core.model.ids import JobId, uuid7
from gemini_core.ports.accounts.codes import Challenges, OtpSender, SendFailed
from gemini_core.ports.accounts.limits import Limits
from gemini_core.ports.accounts.operating import AuditLog
from gemini_core.ports.accounts.passwords import PasswordHasher, Passwords
from gemini_core.ports.accounts.people import Contacts
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue
from gemini_core.use_cases.accounts.rules import AccountRules, rate_limited, served

log = logging.getLogger(__name__)

# The rule of how often a password may be tried.
TRIES = "password"


@dataclass(frozen=True, slots=True)
class CodeSent:
    """The answer to every ask for a code. Seconds. `code` is there in development only."""

    challenge_id: ChallengeId
    expires_in: int
    resend_after: int
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPassword:
    """A password is checked against the account's, or a pending sign-up's; it takes as long where there is none."""

    passwords: Passwords
    hasher: PasswordHasher
    audit: AuditLog

    def __call__(self, wanted: NewChallenge, password: str) -> Credentials | None:
        """The credentials it fits, or None. Raises `Unavailable`, never once it was found to be wrong."""
        kept = self.passwords.of_number(wanted.mobile_number, wanted.client, wanted.signup_id, now=wanted.now)
        text = normalize("NFC", password)
        if not self.hasher.matches(kept.password_hash if kept else None, text):
            return None
        assert kept is not None
        if kept.user_id and self.hasher.is_weak(kept.password_hash):
            self.passwords.rehash(kept, self.hasher.hash(text))
        return kept

    def refusal(self, wanted: NewChallenge) -> Unauthenticated:
        """The failure for one that fits nothing, noted. Raises `Unavailable`."""
        number, ip = masked(wanted.mobile_number), wanted.client.ip
        self.audit.note(AuditEvent(event="password.wrong", at=wanted.now, number=number, ip=ip))
        return Unauthenticated("The number and the password do not fit together.", code="invalid-credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverCode:
    """A code is made when it is sent, and nowhere kept as it is; it is handed to the sender once, whatever happens.

    A decoy gets none, and its units of the limits that others share go back.
    """

    rules: AccountRules
    clock: Clock
    contacts: Contacts
    challenges: Challenges
    limits: Limits
    sender: OtpSender

    def __call__(self, challenge: ChallengeId) -> str | None:
        """The code that was sent, if one was. Raises `Unavailable` while the challenge cannot be read."""
        codes: list[str] = []

        def seals_of(wanted: Delivery) -> tuple[bytes, ...]:
            codes.append(new_code(wanted.digits))
            newest, *_ = number_seals(self.rules.ring, wanted.mobile_number, wanted.network, codes[0])
            return code_seal(self.rules.ring, challenge, codes[0]), newest

        delivery = self.challenges.prepare(challenge, seals_of, now=self.clock.now())
        if delivery is None:
            return None
        number = self.contacts.number(delivery.mobile_number)
        taken = self.rules.sends.demand(self.rules.ring, number, delivery.network, delivery.reservation)
        if not codes:
            give_back(self.limits, replace(taken, own=()))
            return None
        outcome = self._send(number.e164, codes[0])
        # The code's time begins when it is on its way, however long the sender took.
        self.challenges.delivered(delivery, outcome, now=self.clock.now())
        if outcome is Outcome.FAILED:
            give_back(self.limits, taken)
            return None
        return codes[0]

    def _send(self, number: str, code: str) -> Outcome:
        try:
            self.sender.send(number, code_text(self.rules.policy, code))
        except SendFailed as failure:
            return Outcome.UNCERTAIN if failure.uncertain else Outcome.FAILED
        return Outcome.SENT


@dataclass(frozen=True, slots=True, kw_only=True)
class SendCode:
    """A code goes out to who may sign in (or reset a password) with it; everybody gets the same answer.

    For an account with a password the right one must be given. Without one, as for a number nobody knows, the answer
    is the usual one and no code leaves. `at_once` (development) sends before answering, and shows the code.
    """

    purpose: Purpose
    rules: AccountRules
    clock: Clock
    contacts: Contacts
    limits: Limits
    check: CheckPassword
    challenges: Challenges
    queue: JobQueue
    at_once: DeliverCode | None = None

    def __call__(
        self,
        client: Client,
        mobile_number: str,
        *,
        signup_id: str | None = None,
        password: str | None = None,
        request_id: str = "",
    ) -> CodeSent:
        """Raises `Invalid`, `RateLimited`, `Unauthenticated` (`invalid-credentials`), `Unavailable`."""
        policy = self.rules.policy
        number = served(self.contacts.number(mobile_number), self.rules)
        wanted = self._wanted(client, number, signup_id, request_id)
        demand = self._demand(wanted, number, with_password=password is not None)
        wanted = replace(wanted, withheld=self._admitted(demand, wanted.now))
        if password is not None:
            wanted = replace(wanted, proven=self._proven(wanted, password, demand))
        challenge = self._opened(wanted, demand)
        code = self.at_once(challenge) if self.at_once else None
        if wanted.job:
            self.queue.nudge(wanted.job)
        return CodeSent(
            challenge, int(policy.code_lives.total_seconds()), int(policy.resend_after.total_seconds()), code
        )

    def _wanted(self, client: Client, number: MobileNumber, signup_id: str | None, request_id: str) -> NewChallenge:
        """The challenge as it is asked for, before anything is known of who asks."""
        now = self.clock.now()
        return NewChallenge(
            id=ChallengeId(new_challenge_id(self.rules.ring, self.purpose.byte)),
            purpose=self.purpose,
            mobile_number=number.e164,
            client=client,
            signup_id=None if signup_id is None else SignupId(signup_id),
            proven=None,
            withheld=False,
            reservation=token_hex(16),
            job=None if self.at_once else JobId(uuid7(now)),
            request_id=request_id,
            now=now,
        )

    def _demand(self, wanted: NewChallenge, number: MobileNumber, *, with_password: bool) -> Take:
        """What it takes of the limits: a password's try, too, so that it is counted before it is compared."""
        policy, ring, network = self.rules.policy, self.rules.ring, wanted.client.network
        demand = self.rules.sends.demand(ring, number, network, wanted.reservation)
        if not with_password:
            return demand
        key = f"password:{ring.blind(number.e164)}@{ring.blind(network)}"
        tries = Rule(TRIES, key, policy.password_tries, policy.password_window)
        return replace(demand, own=(*demand.own, tries))

    def _admitted(self, demand: Take, now: datetime) -> bool:
        """Within the limits; True if it is withheld for those that others share."""
        sends = self.rules.sends
        taken = self.limits.take(demand, now=now)
        if taken.refused:
            raise rate_limited(taken.refused)
        capped = taken.withheld == sends.in_all.name
        if capped:
            log.error("no codes leave: the cap on a day's codes is reached", extra={"cap": sends.per_day})
        if capped or not sends.sending:
            give_back(self.limits, demand)
            raise Unavailable("No codes can be sent right now.", retry_after=600, code="temporary-reduced-capacity")
        return taken.withheld is not None

    def _proven(self, wanted: NewChallenge, password: str, taken: Take) -> Credentials:
        """The credentials that the password fits. If it fits none, its try stays counted, and nothing else does."""
        try:
            proven = self.check(wanted, password)
        except Unavailable:  # nobody has learned anything of it
            give_back(self.limits, taken)
            raise
        if proven is None:
            give_back(self.limits, replace(taken, own=tuple(rule for rule in taken.own if rule.name != TRIES)))
            raise self.check.refusal(wanted)
        return proven

    def _opened(self, wanted: NewChallenge, taken: Take) -> ChallengeId:
        """The challenge. What was taken stays so if nobody knows whether it was opened."""
        opened = self.challenges.open(wanted)
        if isinstance(opened, TooSoon):
            give_back(self.limits, taken)
            raise RateLimited(
                "A code was asked for a moment ago.",
                retry_after=ceil(opened.retry_after.total_seconds()),
                limit=1,
                window=int(opened.window.total_seconds()),
                policy="resend",
            )
        return opened.id


def give_back(limits: Limits, taken: Take) -> None:
    """Undo it; where the store is away it lapses with its window."""
    with suppress(Unavailable):
        limits.give_back(taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountProof:
    """A code that was typed in did not go astray: the budgets of its country and network have it back."""

    rules: AccountRules
    clock: Clock
    contacts: Contacts
    challenges: Challenges
    limits: Limits

    def __call__(self, challenge: ChallengeId) -> None:
        """Raises `Unavailable`."""
        sent = self.challenges.sent(challenge)
        if sent is not None:
            number = self.contacts.number(sent.mobile_number)
            taken = self.rules.sends.demand(self.rules.ring, number, sent.network, sent.reservation)
            self.limits.prove(taken, now=self.clock.now())
