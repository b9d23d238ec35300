"""Codes under way, in PostgreSQL."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, text

from adapters.persistence.accounts.rows import LIVE, OFFERED, SESSION_COLUMNS, USER_COLUMNS, masked, session_of, user_of
from adapters.persistence.engine import statement, transaction
from gemini_core.model.accounts import (
    CODE_PROVEN,
    SEND_CODE,
    AccountPolicy,
    Attempt,
    ChallengeId,
    Delivery,
    MobileNumber,
    NewChallenge,
    Opened,
    Outcome,
    Proven,
    Purpose,
    SignedIn,
    TooSoon,
)
from gemini_core.model.ids import SessionId

# Whether a code may leave is decided here, in the same statement for every number: who has an account or a sign-up of
# their own gets one, everybody else a decoy. A challenge begun under other credentials is finished, whatever it says.
OPEN_CHALLENGE = text(
    f"""
    WITH account AS (
        SELECT id, status, password_hash IS NOT NULL AS locked, credential_version
        FROM users WHERE mobile_number = :number
    ), offered AS (
        {OFFERED}
    ), phone AS (
        SELECT failures >= :most_failures AS paused,
            recent_failures >= :suspicious_failures AND failed_at > :day_ago AS attacked
        FROM phones WHERE mobile_number = :number
    ), wanted AS (
        SELECT
            coalesce((SELECT 's:' || id FROM offered WHERE id = CAST(:signup_id AS text)), 'n:' || :network)
                AS requester,
            (SELECT id FROM offered) AS signup_id,
            coalesce((SELECT credential_version FROM account), 0) AS credential_version,
            coalesce((SELECT attacked FROM phone), false) AS attacked,
            NOT :withheld
            AND (NOT coalesce((SELECT paused FROM phone), false) OR EXISTS (
                SELECT FROM sessions s JOIN account a ON a.id = s.user_id WHERE s.network = :network))
            AND coalesce(
                (SELECT status = 'active' AND (:purpose = 'reset' OR NOT locked OR credential_version = :proven_version)
                 FROM account),
                (SELECT :purpose = 'login' AND coalesce(id = CAST(:proven_signup AS text), true) FROM offered),
                false) AS deliver
    ), opened AS (
        INSERT INTO challenges AS c (mobile_number, purpose, requester, id, network, signup_id, credential_version,
            deliver, digits, max_attempts, attempts, sends, made, reservation, asked_at)
        SELECT :number, :purpose, requester, :id, :network, signup_id, credential_version, deliver,
            CASE WHEN attacked THEN 8 ELSE 6 END, CASE WHEN attacked THEN least(3, :attempts) ELSE :attempts END,
            0, 1, 0, :reservation, :now
        FROM wanted
        ON CONFLICT (mobile_number, purpose, requester) DO UPDATE SET
            (id, attempts, sends, made, max_attempts) = (
                SELECT CASE WHEN goes_on THEN c.id ELSE excluded.id END, CASE WHEN goes_on THEN c.attempts ELSE 0 END,
                    CASE WHEN goes_on THEN c.sends + 1 ELSE 1 END, CASE WHEN goes_on THEN c.made ELSE 0 END,
                    CASE WHEN goes_on THEN least(c.max_attempts, excluded.max_attempts) ELSE excluded.max_attempts END
                FROM (SELECT c.redeemed_at IS NULL AND c.asked_at > :ceiling_from
                        AND c.credential_version = excluded.credential_version AS goes_on) state),
            network = excluded.network, signup_id = excluded.signup_id, deliver = excluded.deliver,
            credential_version = excluded.credential_version, digits = excluded.digits, seals = NULL, expires_at = NULL,
            redeemed_at = NULL, spent_at = NULL, reservation = excluded.reservation, asked_at = excluded.asked_at
        WHERE c.redeemed_at IS NOT NULL OR c.asked_at <= :ceiling_from
            OR c.credential_version <> excluded.credential_version
            OR (c.sends < :sends AND c.attempts < c.max_attempts AND c.asked_at <= :resend_from)
        RETURNING id
    ), promised AS (
        INSERT INTO jobs (id, kind, args, request_id, due_at)
        SELECT CAST(:job AS uuid), '{SEND_CODE}', jsonb_build_object('challenge', id), :request_id, now() FROM opened
        WHERE CAST(:job AS uuid) IS NOT NULL
    ), noted AS (
        INSERT INTO audit (at, event, user_id, number, ip, detail)
        SELECT :now, 'code.asked', (SELECT id FROM account), {masked("CAST(:number AS text)")}, :ip,
            jsonb_build_object('purpose', CAST(:purpose AS text), 'withheld', CAST(:withheld AS bool))
        FROM opened
    )
    SELECT (SELECT id FROM opened) AS id, earlier.asked_at,
        earlier.sends >= :sends OR earlier.attempts >= earlier.max_attempts AS exhausted
    FROM wanted LEFT JOIN challenges earlier
        ON earlier.mobile_number = :number AND earlier.purpose = :purpose AND earlier.requester = wanted.requester
    """  # noqa: S608 - constants
)
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
# What a number stands for, from the network that asked for a code.
LATEST = """SELECT id FROM challenges
    WHERE mobile_number = :number AND network = :network AND redeemed_at IS NULL AND asked_at > :ceiling_from
    ORDER BY asked_at DESC LIMIT 1"""
# Count, compare, consume: the row lock of the first UPDATE makes every other attempt see this one. What follows hangs
# on it. The number's own count is next; past its limit nothing is right any more, except from where its owner has been
# before. Then the account: its row, locked and read anew, must still be under the credentials that the code was asked
# under; a password that changed meanwhile leaves nothing to sign in to.
REDEEM = text(
    f"""
    WITH tried AS (
        UPDATE challenges SET attempts = attempts + 1,
            redeemed_at = CASE WHEN seals && CAST(:seals AS bytea[]) AND expires_at > :now
                THEN CAST(:now AS timestamptz) END
        WHERE id = coalesce(CAST(:challenge AS text), ({LATEST}))
            AND redeemed_at IS NULL AND attempts < max_attempts AND asked_at > :ceiling_from
        RETURNING id, mobile_number, purpose, signup_id, credential_version, attempts,
            redeemed_at IS NOT NULL AS matched
    ), account AS (
        SELECT u.id, u.credential_version, u.status FROM users u JOIN tried t ON t.mobile_number = u.mobile_number
    ), counted AS (
        INSERT INTO phones AS p (mobile_number, failures, recent_failures, failed_at)
        SELECT mobile_number, 1 - matched::int, 1 - matched::int, :now FROM tried
        ON CONFLICT (mobile_number) DO UPDATE SET
            failures = CASE WHEN excluded.failures = 0 THEN 0 ELSE p.failures + 1 END,
            recent_failures = CASE WHEN p.failed_at > :day_ago THEN p.recent_failures ELSE 0 END + excluded.failures,
            failed_at = CASE WHEN excluded.failures = 0 THEN p.failed_at ELSE excluded.failed_at END
        WHERE p.failures < :most_failures
            OR EXISTS (SELECT FROM sessions s JOIN account a ON a.id = s.user_id WHERE s.network = :network)
        RETURNING mobile_number
    ), proven AS (
        SELECT t.* FROM tried t JOIN counted USING (mobile_number) WHERE t.matched AND (
            t.purpose = 'login' OR EXISTS (
                SELECT FROM account a WHERE a.status = 'active' AND a.credential_version = t.credential_version))
    ), member AS (
        INSERT INTO users AS u (id, mobile_number, name, email, username, password_hash, created_at)
        SELECT CAST(:user_id AS uuid), t.mobile_number, g.name, g.email, g.username, g.password_hash, :now
        FROM proven t LEFT JOIN signups g ON g.id = t.signup_id AND g.mobile_number = t.mobile_number
        WHERE t.purpose = 'login'
        ON CONFLICT (mobile_number) DO UPDATE SET status = u.status
            WHERE u.status = 'active' AND u.credential_version = (SELECT credential_version FROM proven)
        RETURNING {USER_COLUMNS}
    ), s AS (
        INSERT INTO sessions AS s (id, user_id, counter, credential_version, ip, network, user_agent, created_at,
            rotated_at, expires_at)
        SELECT CAST(:session_id AS uuid), user_id, 0, version, :ip, :network, :user_agent, :now, :now, :session_ends
        FROM member
        RETURNING {SESSION_COLUMNS}
    ), displaced AS (
        UPDATE sessions SET ended_at = :now WHERE id IN (
            SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id JOIN member m ON m.user_id = u.id
            WHERE {LIVE} ORDER BY s.rotated_at DESC OFFSET :other_sessions)
        RETURNING id
    ), taken_over AS (
        DELETE FROM signups g USING member m WHERE g.mobile_number = m.mobile_number
    ), promised AS (
        INSERT INTO jobs (id, kind, args, request_id, due_at)
        SELECT CAST(:job AS uuid), '{CODE_PROVEN}', jsonb_build_object('challenge', id), :request_id, now() FROM proven
    ), noted AS (
        INSERT INTO audit (at, event, user_id, session_id, number, ip, detail)
        SELECT :now, 'code.compared', (SELECT id FROM account), NULL::uuid, {masked("t.mobile_number")}, :ip,
            jsonb_build_object(
                'attempt', t.attempts, 'right', t.matched, 'purpose', t.purpose, 'challenge', left(t.id, 8))
        FROM tried t
        UNION ALL
        SELECT :now, 'account.created', user_id, NULL, {masked("mobile_number")}, :ip, '{{}}' FROM member
        WHERE user_id = CAST(:user_id AS uuid)
        UNION ALL
        SELECT :now, 'session.opened', owner, session_id, NULL, ip, '{{}}' FROM s
        UNION ALL
        SELECT :now, 'session.displaced', m.user_id, d.id, NULL, NULL, '{{}}' FROM displaced d, member m
    )
    SELECT p.id AS challenge_id, p.purpose, p.mobile_number AS number, m.*, s.*,
        ARRAY(SELECT id FROM displaced) AS displaced
    FROM proven p LEFT JOIN member m ON true LEFT JOIN s ON true
    """  # noqa: S608 - constants
)


@dataclass(frozen=True, slots=True)
class SqlChallenges:
    """`Challenges`."""

    engine: Engine
    policy: AccountPolicy

    def open(self, wanted: NewChallenge) -> Opened | TooSoon:
        policy, now, proven = self.policy, wanted.now, wanted.proven
        values = {
            "id": wanted.id,
            "purpose": wanted.purpose,
            "number": wanted.mobile_number,
            "network": wanted.client.network,
            "ip": wanted.client.ip,
            "signup_id": wanted.signup_id,
            "proven_version": proven.version if proven else 0,
            "proven_signup": proven.signup_id if proven else None,
            "withheld": wanted.withheld,
            "reservation": wanted.reservation,
            "job": wanted.job,
            "request_id": wanted.request_id,
            "attempts": policy.attempts,
            "sends": policy.sends,
            "most_failures": policy.most_failures,
            "suspicious_failures": policy.suspicious_failures,
            "now": now,
            "day_ago": now - timedelta(days=1),
            "signups_from": now - policy.signup_lives,
            "ceiling_from": now - policy.code_ceiling,
            "resend_from": now - policy.resend_after,
        }
        with statement(self.engine) as connection:
            row = connection.execute(OPEN_CHALLENGE, values).one()
        return Opened(ChallengeId(row.id)) if row.id else TooSoon(self._due(row, now))

    def _due(self, row: Row[Any], now: datetime) -> timedelta:
        if row.asked_at is None:  # somebody opened it this very moment
            return self.policy.resend_after
        rest = self.policy.code_ceiling if row.exhausted else self.policy.resend_after
        due: datetime = row.asked_at + rest
        return max(due - now, timedelta(seconds=1))

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
        policy, now, named = self.policy, attempt.now, attempt.challenge
        values = {
            "challenge": None if isinstance(named, MobileNumber) else named,
            "number": named.e164 if isinstance(named, MobileNumber) else None,
            "seals": list(attempt.seals),
            "ip": attempt.client.ip,
            "network": attempt.client.network,
            "user_agent": attempt.client.user_agent,
            "user_id": attempt.user_id,
            "session_id": attempt.session_id,
            "job": attempt.job,
            "request_id": attempt.request_id,
            "most_failures": policy.most_failures,
            "other_sessions": policy.sessions - 1,
            "now": now,
            "day_ago": now - timedelta(days=1),
            "ceiling_from": now - policy.code_ceiling,
            "idle_from": now - policy.session_idle,
            "session_ends": now + policy.session_lives,
        }
        with statement(self.engine) as connection:
            row = connection.execute(REDEEM, values).one_or_none()
        if row is None:
            return None
        if row.purpose == Purpose.RESET:
            return Proven(ChallengeId(row.challenge_id), row.number)
        if row.session_id is None:
            return None
        return SignedIn(session_of(row), user_of(row), tuple(SessionId(ended) for ended in row.displaced))


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(ChallengeId(row.id), row.mobile_number, row.network, row.digits, row.deliver, row.reservation)
