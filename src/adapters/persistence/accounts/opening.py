"""A code is asked for: one statement decides everything about it."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, text

from adapters.persistence.accounts.rows import OFFERED, masked
from adapters.persistence.engine import statement
from gemini_core.model.accounts.codes import SEND_CODE, ChallengeId, NewChallenge, Opened, TooSoon
from gemini_core.model.accounts.policy import AccountPolicy

# Whether a code may leave is decided here, in the same statement for every number: who has an account or a sign-up of
# their own gets one, everybody else a decoy. No challenge tells what became of the account meanwhile: it goes on as
# ever, and its next code is one under the credentials of then.
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
            CASE WHEN attacked THEN :suspect_digits ELSE :digits END,
            CASE WHEN attacked THEN least(:suspect_attempts, :attempts) ELSE :attempts END,
            0, 1, 0, :reservation, :now
        FROM wanted
        ON CONFLICT (mobile_number, purpose, requester) DO UPDATE SET
            (id, attempts, sends, made, max_attempts) = (
                SELECT CASE WHEN goes_on THEN c.id ELSE excluded.id END, CASE WHEN goes_on THEN c.attempts ELSE 0 END,
                    CASE WHEN goes_on THEN c.sends + 1 ELSE 1 END, CASE WHEN goes_on THEN c.made ELSE 0 END,
                    CASE WHEN goes_on THEN least(c.max_attempts, excluded.max_attempts) ELSE excluded.max_attempts END
                FROM (SELECT c.redeemed_at IS NULL AND c.asked_at > :ceiling_from AS goes_on) state),
            network = excluded.network, signup_id = excluded.signup_id, deliver = excluded.deliver,
            credential_version = excluded.credential_version, digits = excluded.digits, seals = NULL, expires_at = NULL,
            redeemed_at = NULL, spent_at = NULL, reservation = excluded.reservation, asked_at = excluded.asked_at
        WHERE c.redeemed_at IS NOT NULL OR c.asked_at <= :ceiling_from
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


def open_challenge(engine: Engine, policy: AccountPolicy, wanted: NewChallenge) -> Opened | TooSoon:
    """As `Challenges.open` promises."""
    now, proven = wanted.now, wanted.proven
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
        "digits": policy.digits,
        "suspect_digits": policy.suspect_digits,
        "attempts": policy.attempts,
        "suspect_attempts": policy.suspect_attempts,
        "sends": policy.sends_per_challenge,
        "most_failures": policy.most_failures,
        "suspicious_failures": policy.suspicious_failures,
        "now": now,
        "day_ago": now - timedelta(days=1),
        "signups_from": now - policy.signup_lives,
        "ceiling_from": now - policy.code_ceiling,
        "resend_from": now - policy.resend_after,
    }
    with statement(engine) as connection:
        row = connection.execute(OPEN_CHALLENGE, values).one()
    return Opened(ChallengeId(row.id)) if row.id else _too_soon(row, policy, now)


def _too_soon(row: Row[Any], policy: AccountPolicy, now: datetime) -> TooSoon:
    window = policy.code_ceiling if row.exhausted else policy.resend_after
    asked_at: datetime = row.asked_at or now  # None: somebody opened it this very moment
    return TooSoon(max(asked_at + window - now, timedelta(seconds=1)), window)
