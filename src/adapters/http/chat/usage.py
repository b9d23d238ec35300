"""What a user has used."""

import falcon
from msgspec import Struct

from adapters.http import bodies
from adapters.http.auth import caller
from adapters.http.chat.answers import UsageAnswer, usage_answer
from adapters.http.describing import Moment, describe
from gemini_core.core.chat import ChatVerbs


class TokensAnswer(Struct):
    """Tokens of today and of this month (UTC)."""

    today: UsageAnswer
    month: UsageAnswer


class UserUsage(Struct):
    """Where the user stands."""

    plan: str
    daily_limit: int
    used_today: int
    resets_at: Moment
    tokens: TokensAnswer


class Usages:
    """What a user has used."""

    def __init__(self, core: ChatVerbs) -> None:
        self._core = core

    @describe("Messages and tokens used", answers={200: UserUsage})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The plan, how much of its daily limit is used, when it starts anew, and the tokens."""
        report = self._core.show_usage(caller(req).user_id)
        resp.data = bodies.write(
            UserUsage(
                plan=report.plan.name,
                daily_limit=report.plan.daily_messages,
                used_today=report.day.used,
                resets_at=report.resets_at,
                tokens=TokensAnswer(usage_answer(report.tokens.today), usage_answer(report.tokens.since)),
            )
        )
