"""Limits and ended sessions in Redis: one script, and so one round trip at the most, per request."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from adapters.redis.client import AWAY
from adapters.redis.scripts import Script, Scripts
from gemini_core.errors import Unavailable
from gemini_core.model.accounts.limits import DAY, BudgetFigures, Ended, Refusal, Rule, Take, Taken
from gemini_core.model.ids import unix_ms

TAKE = Script(Path(__file__).with_suffix(".lua").read_text(encoding="utf-8"))
# The highest version wins, in whatever order two endings arrive.
RAISE_VERSION = """
    local held = redis.call('GET', KEYS[1])
    if not held or tonumber(string.match(held, '^%d+')) < tonumber(ARGV[1]) then
        redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
    end
"""
PREFIX = "limit:"
BUDGETS = f"{PREFIX}budgets"
KINDS = ("unproven", "proven", "noted")
LIFE = f"{PREFIX}life"
# Clocks of our hosts may differ by so much: what ended is remembered a little longer than any token lives.
MARGIN = timedelta(minutes=1)


class RedisLimits:
    """`Limits`. `access_lives`: how long an access token is good, and so how long its end must be remembered."""

    def __init__(self, scripts: Scripts, *, access_lives: timedelta) -> None:
        self._client = scripts.client
        self._scripts = scripts
        self._remembered = access_lives + MARGIN
        self._raise_version = self._client.register_script(RAISE_VERSION)

    def take(self, wanted: Take, *, now: datetime) -> Taken:
        with _translating():
            demand = _demand(wanted, now, self._remembered)
            revoked, doubt, index, wait, withheld, noted = self._scripts.run(TAKE, _keys(wanted), [demand])
        refusal = Refusal(wanted.own[index - 1], timedelta(milliseconds=wait)) if index else None
        return Taken(refusal, withheld.decode() or None, noted.decode() or None, bool(revoked), doubt.decode() or None)

    def give_back(self, taken: Take) -> None:
        with _translating(), self._client.pipeline(transaction=False) as pipeline:
            for rule in (*taken.own, *taken.shared):
                if rule.exact:
                    pipeline.zrem(PREFIX + rule.key, taken.token)
            self._undo_budgets(pipeline, taken)
            pipeline.execute()

    def prove(self, taken: Take, *, now: datetime) -> None:
        with _translating(), self._client.pipeline(transaction=True) as pipeline:
            self._undo_budgets(pipeline, taken)
            for key in _budget_keys(taken):
                pipeline.zremrangebyscore(f"{key}:proven", "-inf", unix_ms(now - DAY))
                pipeline.zadd(f"{key}:proven", {taken.token: unix_ms(now)})
                pipeline.pexpire(f"{key}:proven", DAY)
            pipeline.execute()

    @staticmethod
    def _undo_budgets(pipeline: Any, taken: Take) -> None:
        for key in _budget_keys(taken):
            pipeline.zrem(f"{key}:unproven", taken.token)
        for spread in taken.spreads:
            pipeline.zrem(PREFIX + spread.key, f"{spread.value} {taken.token}")

    def end(self, ended: Ended) -> None:
        with _translating(), self._client.pipeline(transaction=False) as pipeline:
            for session in ended.sessions:
                pipeline.set(f"{PREFIX}ended:{session}", 1, px=self._remembered)
            if ended.below_version is not None:
                self._raise_version(
                    keys=[f"{PREFIX}version:{ended.user_id}"],
                    args=[ended.below_version, str(ended.kept or ""), _ms(self._remembered)],
                    client=pipeline,
                )
            pipeline.execute()

    def begin_anew(self) -> None:
        with _translating(retry_after=1):
            self._client.delete(LIFE)

    def figures(self, *, now: datetime) -> Sequence[BudgetFigures]:
        since = f"({unix_ms(now - DAY)}"
        found: dict[str, list[int]] = {}
        with _translating():
            for column, kind in enumerate(KINDS):
                for name in self._client.scan_iter(f"{BUDGETS}:*:{kind}", count=500):
                    key = name.decode().removeprefix(f"{BUDGETS}:").removesuffix(f":{kind}")
                    found.setdefault(key, [0, 0, 0])[column] = int(self._client.zcount(name, since, "+inf"))
        return [BudgetFigures(key, *counts) for key, counts in sorted(found.items())]


def _keys(wanted: Take) -> list[str]:
    keys = [PREFIX + rule.key for rule in (*wanted.own, *wanted.shared)]
    for budget in wanted.budgets:
        keys += [f"{BUDGETS}:{budget.key}:{kind}" for kind in KINDS]
    keys += [PREFIX + spread.key for spread in wanted.spreads]
    if wanted.session is not None:
        keys += [f"{PREFIX}ended:{wanted.session.session_id}", f"{PREFIX}version:{wanted.session.user_id}", LIFE]
    return keys


def _demand(wanted: Take, now: datetime, remembered: timedelta) -> str:
    return json.dumps(
        {
            "now": unix_ms(now),
            "day": _ms(DAY),
            "token": wanted.token,
            "own": [_rule(rule) for rule in wanted.own],
            "shared": [_rule(rule) for rule in wanted.shared],
            "budgets": [
                {"name": b.name, "floor": b.floor, "share": b.share, "window": _ms(b.window)} for b in wanted.budgets
            ],
            "spreads": [
                {"name": s.name, "value": s.value, "limit": s.limit, "window": _ms(s.window)} for s in wanted.spreads
            ],
            "record_only": wanted.record_only,
            "session": wanted.session
            and {
                "id": str(wanted.session.session_id),
                "version": wanted.session.credential_version,
                "remembered": _ms(remembered),
            },
        }
    )


def _rule(rule: Rule) -> dict[str, object]:
    return {"name": rule.name, "limit": rule.limit, "window": _ms(rule.window), "exact": rule.exact}


def _budget_keys(taken: Take) -> list[str]:
    return [f"{BUDGETS}:{key}" for key in dict.fromkeys(budget.key for budget in taken.budgets)]


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


@contextmanager
def _translating(*, retry_after: int = 5) -> Iterator[None]:
    try:
        yield
    except AWAY as error:
        raise Unavailable("The limits cannot be checked right now.", retry_after=retry_after) from error
