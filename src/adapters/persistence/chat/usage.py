"""Units and tokens in PostgreSQL."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Engine, text

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
