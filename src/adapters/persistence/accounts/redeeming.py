"""A code is typed in: one statement decides everything about it."""

from datetime import timedelta

from sqlalchemy import Engine, text

from adapters.persistence.accounts.rows import LIVE, SESSION_COLUMNS, USER_COLUMNS, masked, session_of, user_of
from adapters.persistence.engine import statement
from gemini_core.model.accounts.codes import CODE_PROVEN, Attempt, ChallengeId, Proven, Purpose, SignedIn
from gemini_core.model.accounts.people import MobileNumber
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.ids import SessionId

# What a number stands for, from the network that asked for a code.
LATEST = """SELECT id FROM challenges
    WHERE mobile_number = :number AND network = :network AND redeemed_at IS NULL AND asked_at > :ceiling_from
    ORDER BY asked_at DESC LIMIT 1"""
# The member's sessions but for those used last, :kept of them.
END_OLDEST = f"""UPDATE sessions SET ended_at = :now WHERE ended_at IS NULL AND id IN (
            SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id JOIN member m ON m.user_id = u.id
            WHERE {LIVE} ORDER BY s.rotated_at DESC, s.id DESC OFFSET :kept)
        RETURNING id, user_id"""  # noqa: S608 - constants
# Count, compare, consume: the row lock of the first UPDATE makes every other attempt see this one. What follows hangs
# on it. The number's own count is next; past its limit nothing is right any more, except from where its owner has been
# before. Then the account: its row, locked and read anew, must still be under the credentials that the code was asked
# under; a password that changed meanwhile leaves nothing to sign in to. The row is held before anything is
# put in. If it is another one than before the wait, somebody has signed in whose session is not seen here: `overtaken`.
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
        SELECT u.id, u.credential_version, u.status, u.ctid AS place FROM users u JOIN tried USING (mobile_number)
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
    ), held AS (
        SELECT u.id, u.ctid AS place FROM users u JOIN proven t USING (mobile_number)
        WHERE t.purpose = 'login' FOR NO KEY UPDATE OF u
    ), member AS (
        INSERT INTO users AS u (id, mobile_number, name, email, username, password_hash, created_at)
        SELECT CAST(:user_id AS uuid), t.mobile_number, g.name, g.email, g.username, g.password_hash, :now
        FROM proven t LEFT JOIN held ON true
            LEFT JOIN signups g ON g.id = t.signup_id AND g.mobile_number = t.mobile_number
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
        {END_OLDEST}
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
        SELECT :now, 'session.displaced', user_id, id, NULL, NULL, '{{}}' FROM displaced
    )
    SELECT p.id AS challenge_id, p.purpose, p.mobile_number AS number, m.*, s.*,
        ARRAY(SELECT id FROM displaced) AS displaced,
        EXISTS (SELECT FROM held JOIN account USING (id) WHERE held.place <> account.place) AS overtaken
    FROM proven p LEFT JOIN member m ON true LEFT JOIN s ON true
    """  # noqa: S608 - constants
)
# Of those who sign in at once, the last one to be done sees the sessions of all of them.
DISPLACE = text(
    f"""
    WITH member AS (
        SELECT id AS user_id FROM users WHERE id = :user FOR NO KEY UPDATE
    ), displaced AS (
        {END_OLDEST}
    ), noted AS (
        INSERT INTO audit (at, event, user_id, session_id)
        SELECT :now, 'session.displaced', user_id, id FROM displaced
    )
    SELECT id FROM displaced
    """  # noqa: S608 - constants
)


def redeem(engine: Engine, policy: AccountPolicy, attempt: Attempt) -> SignedIn | Proven | None:
    """As `Challenges.redeem` promises."""
    now, named = attempt.now, attempt.challenge
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
        "kept": policy.sessions - 1,
        "now": now,
        "day_ago": now - timedelta(days=1),
        "ceiling_from": now - policy.code_ceiling,
        "idle_from": now - policy.session_idle,
        "session_ends": now + policy.session_lives,
    }
    with statement(engine) as connection:
        row = connection.execute(REDEEM, values).one_or_none()
        if row is None:
            return None
        if row.purpose == Purpose.RESET:
            return Proven(ChallengeId(row.challenge_id), row.number)
        if row.session_id is None:
            return None
        displaced = [SessionId(ended) for ended in row.displaced]
        if row.overtaken:
            displaced += connection.execute(DISPLACE, values | {"user": row.user_id, "kept": policy.sessions}).scalars()
    return SignedIn(session_of(row), user_of(row), tuple(displaced))
