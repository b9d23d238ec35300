"""Units and tokens in PostgreSQL."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, select, text

from adapters.persistence.engine import statement, transaction
from adapters.persistence.jobs import insert_job
from adapters.persistence.tables import PLAN, model_calls
from gemini_core.model.chat import DayUsage, TokensBy, TokenSum, TokenTotals, Usage
from gemini_core.model.ids import UserId
from gemini_core.model.jobs import NewJob
from gemini_core.model.replies import ModelCall
from gemini_core.model.requests import no_user

DAY_USAGE = text(
    f"""
    SELECT {PLAN} AS plan, coalesce(d.used, 0) AS used
    FROM users u LEFT JOIN daily_usage d ON d.user_id = u.id AND d.day = :day
    WHERE u.id = :user_id AND u.status <> 'erasing'
    """  # noqa: S608
)
# Also where the plan allows nothing, and so nothing was ever counted.
REFUSED = text(
    """
    INSERT INTO daily_usage AS d (user_id, day, used, refused)
    SELECT id, :day, 0, true FROM users WHERE id = :user_id FOR KEY SHARE
    ON CONFLICT (user_id, day) DO UPDATE SET refused = true WHERE NOT d.refused RETURNING user_id
    """
)
# The user is locked, so that whoever erases one leaves nothing behind, and nothing fails for it.
RECORD = text(
    f"""
    INSERT INTO model_calls AS c (user_id, day, id, job_id, model, plan, told, prompt_tokens, output_tokens)
    SELECT u.id, :day, :id, :job, :model, {PLAN}, :told, :prompt_tokens, :output_tokens
    FROM users u WHERE u.id = :user_id FOR KEY SHARE
    ON CONFLICT (user_id, day, id) DO UPDATE SET model = excluded.model, told = excluded.told,
        prompt_tokens = excluded.prompt_tokens, output_tokens = excluded.output_tokens
    WHERE excluded.told > c.told
    """  # noqa: S608
)
TOKENS = text(
    """
    SELECT coalesce(sum(prompt_tokens) FILTER (WHERE day = :today), 0)::bigint AS prompt_today,
        coalesce(sum(output_tokens) FILTER (WHERE day = :today), 0)::bigint AS output_today,
        coalesce(sum(prompt_tokens), 0)::bigint AS prompt, coalesce(sum(output_tokens), 0)::bigint AS output
    FROM model_calls WHERE user_id = :user_id AND day >= :since
    """
)
GROUPS: Mapping[TokensBy, ColumnElement[Any]] = {
    "day": model_calls.c.day,
    "user": model_calls.c.user_id,
    "model": model_calls.c.model,
    "plan": model_calls.c.plan,
}


@dataclass(frozen=True, slots=True)
class SqlUsage:
    """`UsageRepo` on PostgreSQL."""

    engine: Engine

    def of_day(self, user: UserId, day: date, *, now: datetime) -> DayUsage:
        with statement(self.engine) as connection:
            row = connection.execute(DAY_USAGE, {"user_id": user, "day": day, "now": now}).one_or_none()
        if row is None:
            raise no_user()
        return DayUsage(row.plan, row.used)

    def refused(self, user: UserId, day: date, *, then: Iterable[NewJob]) -> None:
        with transaction(self.engine) as connection:
            if connection.execute(REFUSED, {"user_id": user, "day": day}).one_or_none() is not None:
                for job in then:
                    insert_job(connection, job)

    def tokens(self, user: UserId, *, today: date, since: date) -> TokenTotals:
        with statement(self.engine) as connection:
            row = connection.execute(TOKENS, {"user_id": user, "today": today, "since": since}).one()
        return TokenTotals(Usage(row.prompt_today, row.output_today), Usage(row.prompt, row.output))

    def sums(self, by: Sequence[TokensBy], *, since: date, until: date) -> Sequence[TokenSum]:
        groups = [GROUPS[name] for name in by]
        calls = model_calls.c
        query = (
            select(func.count(), func.sum(calls.prompt_tokens), func.sum(calls.output_tokens), *groups)
            .where(calls.day.between(since, until))
            .group_by(*groups)
            .having(func.count() > 0)
            .order_by(*groups)
        )
        with statement(self.engine) as connection:
            rows = connection.execute(query).all()
        return [
            TokenSum(of=tuple(map(str, of)), calls=count, usage=Usage(prompt, output))
            for count, prompt, output, *of in rows
        ]

    def record(self, calls: Iterable[ModelCall]) -> None:
        with statement(self.engine) as connection:
            connection.execute(RECORD, [_row(call) for call in calls])


def _row(call: ModelCall) -> dict[str, Any]:
    return {
        "user_id": call.user,
        "day": call.began.date(),
        "now": call.began,
        "id": call.id,
        "job": call.job,
        "model": call.model,
        "told": call.told,
        "prompt_tokens": call.usage.prompt_tokens,
        "output_tokens": call.usage.output_tokens,
    }
