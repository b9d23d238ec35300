"""Codes under way, in PostgreSQL."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, text

from adapters.persistence.accounts.opening import open_challenge
from adapters.persistence.accounts.redeeming import redeem
from adapters.persistence.accounts.rows import masked
from adapters.persistence.engine import statement, transaction
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
from gemini_core.model.accounts.policy import AccountPolicy

TAKE_ASK = text(
    """
    SELECT id, mobile_number, network, digits, deliver, reservation FROM challenges
    WHERE id = :id AND made < sends AND redeemed_at IS NULL AND asked_at > :ceiling_from FOR UPDATE
    """
)
LAST_ASK = text("SELECT id, mobile_number, network, digits, deliver, reservation FROM challenges WHERE id = :id")
STORE_CODE = text(
    """
    UPDATE challenges SET made = sends, seals = CAST(:seals AS bytea[]),
        expires_at = asked_at + CAST(:ceiling AS interval)
    WHERE id = :id
    """
)
SENT = text(
    f"""
    WITH sent AS (
        UPDATE challenges SET expires_at = least(:now + CAST(:lives AS interval), asked_at + CAST(:ceiling AS interval))
        WHERE id = :id AND reservation = :reservation AND seals IS NOT NULL RETURNING mobile_number
    )
    INSERT INTO audit (at, event, number, detail)
    SELECT :now, 'code.sent', {masked("mobile_number")}, jsonb_build_object('certain', CAST(:certain AS bool)) FROM sent
    """  # noqa: S608 - constants
)
# The ask is undone: it counts as none of the sends, and nobody has to wait for the next one.
NOT_SENT = text(
    f"""
    WITH failed AS (
        UPDATE challenges SET seals = NULL, expires_at = NULL, sends = sends - 1, made = made - 1,
            asked_at = asked_at - CAST(:resend_after AS interval)
        WHERE id = :id AND reservation = :reservation AND seals IS NOT NULL RETURNING mobile_number
    )
    INSERT INTO audit (at, event, number) SELECT :now, 'code.not_sent', {masked("mobile_number")} FROM failed
    """  # noqa: S608 - constants
)


@dataclass(frozen=True, slots=True)
class SqlChallenges:
    """`Challenges`."""

    engine: Engine
    policy: AccountPolicy

    def open(self, wanted: NewChallenge) -> Opened | TooSoon:
        return open_challenge(self.engine, self.policy, wanted)

    def prepare(
        self, challenge: ChallengeId, seals_of: Callable[[Delivery], tuple[bytes, ...]], *, now: datetime
    ) -> Delivery | None:
        with transaction(self.engine) as connection:
            asked = {"id": challenge, "ceiling_from": now - self.policy.code_ceiling}
            row = connection.execute(TAKE_ASK, asked).one_or_none()
            if row is None:
                return None
            delivery = _delivery(row)
            seals = list(seals_of(delivery)) if delivery.deliver else None
            connection.execute(STORE_CODE, {"id": challenge, "seals": seals, "ceiling": self.policy.code_ceiling})
        return delivery

    def delivered(self, delivery: Delivery, outcome: Outcome, *, now: datetime) -> None:
        values = {
            "id": delivery.challenge_id,
            "reservation": delivery.reservation,
            "now": now,
            "lives": self.policy.code_lives,
            "ceiling": self.policy.code_ceiling,
            "resend_after": self.policy.resend_after,
            "certain": outcome is Outcome.SENT,
        }
        with statement(self.engine) as connection:
            connection.execute(NOT_SENT if outcome is Outcome.FAILED else SENT, values)

    def sent(self, challenge: ChallengeId) -> Delivery | None:
        with statement(self.engine) as connection:
            row = connection.execute(LAST_ASK, {"id": challenge}).one_or_none()
        return _delivery(row) if row else None

    def redeem(self, attempt: Attempt) -> SignedIn | Proven | None:
        return redeem(self.engine, self.policy, attempt)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(ChallengeId(row.id), row.mobile_number, row.network, row.digits, row.deliver, row.reservation)
