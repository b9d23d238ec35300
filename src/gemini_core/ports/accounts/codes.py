"""Codes under way, and who brings them to phones."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from gemini_core.model.accounts.codes import (
    Attempt,
    ChallengeId,
    Delivery,
    NewChallenge,
    Opened,
    Outcome,
    Proven,
    SignedIn,
    TooSoon,
)


class Challenges(Protocol):
    """Codes under way. Repositories know the account policy: their promises are made of its numbers."""

    def open(self, wanted: NewChallenge) -> Opened | TooSoon:
        """A challenge for this number, purpose and requester, with the promise to make its code.

        The requester is the sign-up, or else the network. While their challenge is open, asking again is a resend of
        it: attempts go on counting, the earlier code is void, and there are `policy.sends_per_challenge` codes at most,
        `policy.resend_after` apart. A number nobody knows gets the same, as a decoy; and what becomes of an account
        meanwhile makes no difference, but that a code opens nothing once the credentials are others than at its ask.
        """
        ...

    def prepare(
        self, challenge: ChallengeId, seals_of: Callable[[Delivery], tuple[bytes, ...]], *, now: datetime
    ) -> Delivery | None:
        """Takes the newest ask of the challenge: at most one caller gets it, and None if there is none left.

        `seals_of` makes the code and answers its seals; it is called for what is to be delivered only, and the code is
        good from here until the ceiling.
        """
        ...

    def delivered(self, delivery: Delivery, outcome: Outcome, *, now: datetime) -> None:
        """After the sender: the code lives for `policy.code_lives` from now, or, if it failed, the ask is undone."""
        ...

    def sent(self, challenge: ChallengeId) -> Delivery | None:
        """What was delivered last for this challenge; None if it made room for another."""
        ...

    def redeem(self, attempt: Attempt) -> SignedIn | Proven | None:
        """Count, compare and consume, in this order and at once.

        A code that is right, in time and the first one opens a session or proves the number for a reset; the first
        proof of a number makes its account, with the profile its requester gave. In every other case None, and the
        attempt stays counted: against the challenge and against the number.
        """
        ...


class OtpSender(Protocol):
    """Brings a text to a phone."""

    def send(self, number: str, text: str) -> None:
        """One call, no retry. Raises `SendFailed`."""
        ...


class SendFailed(Exception):
    """A text was not sent. `uncertain`: nobody knows; it may have been (a time-out)."""

    def __init__(self, detail: str, *, uncertain: bool = False) -> None:
        super().__init__(detail)
        self.uncertain = uncertain


class Inbox(Protocol):
    """What was "sent" in development."""

    def messages(self) -> Sequence[Mapping[str, str]]:
        """`{"at", "mobile_number", "text"}`, newest first."""
        ...
