"""Units and tokens in PostgreSQL."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from adapters.persistence.chat.rows import PLAN
from adapters.persistence.engine import statement
from gemini_core.errors import NotFound
from gemini_core.model.chat import DayUsage, TokenTotals, Usage
from gemini_core.model.ids import UserId

DAY_USAGE = text(
    f"""
    SELECT {PLAN} AS plan, coalesce(d.used, 0) AS used
    FROM users u LEFT JOIN daily_usage d ON d.user_id = u.id AND d.day = :day WHERE u.id = :user_id
    """  # noqa: S608
)
BILL = text(
    f"""
    INSERT INTO token_usage AS t (user_id, day, model, plan, prompt_tokens, output_tokens, calls)
    SELECT r.user_id, :day, :model, {PLAN}, :prompt_tokens, :output_tokens, 1
    FROM chatrooms r JOIN users u ON u.id = r.user_id WHERE r.id = :room
    ON CONFLICT (user_id, day, model, plan) DO UPDATE SET prompt_tokens = t.prompt_tokens + excluded.prompt_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens, calls = t.calls + 1
    """  # noqa: S608
)
TOKENS = text(
    """
    SELECT coalesce(sum(prompt_tokens) FILTER (WHERE day = :today), 0)::bigint AS prompt_today,
        coalesce(sum(output_tokens) FILTER (WHERE day = :today), 0)::bigint AS output_today,
        coalesce(sum(prompt_tokens), 0)::bigint AS prompt, coalesce(sum(output_tokens), 0)::bigint AS output
    FROM token_usage WHERE user_id = :user_id AND day >= :since
    """
)


@dataclass(frozen=True, slots=True)
class SqlUsage:
    """`UsageRepo` on PostgreSQL."""

    engine: Engine

    def of_day(self, user: UserId, day: date, *, now: datetime) -> DayUsage:
        with statement(self.engine) as connection:
            row = connection.execute(DAY_USAGE, {"user_id": user, "day": day, "now": now}).one_or_none()
        if row is None:
            raise NotFound("There is no such user.")
        return DayUsage(row.plan, row.used)

    def tokens(self, user: UserId, *, today: date, since: date) -> TokenTotals:
        with statement(self.engine) as connection:
            row = connection.execute(TOKENS, {"user_id": user, "today": today, "since": since}).one()
        return TokenTotals(Usage(row.prompt_today, row.output_today), Usage(row.prompt, row.output))


def bill(connection: Connection, room: UUID | None, model: str, billed: Usage | None, now: datetime) -> None:
    """Count what the provider billed for a room, in the caller's transaction."""
    if billed is not None:
        values = {"prompt_tokens": billed.prompt_tokens, "output_tokens": billed.output_tokens}
        connection.execute(BILL, {"room": room, "day": now.date(), "now": now, "model": model, **values})
