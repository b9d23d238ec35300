"""`gemini-backend usage`: what the model has cost."""

from datetime import date, datetime

import click

from adapters.cli.context import Backend
from adapters.cli.shown import as_json, show
from gemini_core.model.chat import TokensBy

GROUPS: tuple[TokensBy, ...] = ("day", "user", "model", "plan")
DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--by", type=click.Choice(GROUPS), multiple=True, default=("day",), help="May be given several times.")
@click.option("--since", type=DAY, metavar="YYYY-MM-DD", help="First UTC day.  [default: of this month]")
@click.option("--until", type=DAY, metavar="YYYY-MM-DD", help="Last UTC day.  [default: today]")
@as_json
@click.pass_obj
def usage(
    backend: Backend, by: tuple[TokensBy, ...], since: datetime | None, until: datetime | None, as_json: bool
) -> None:
    """Tokens as the provider reports them, added up by day, user, model and plan.

    Calls that failed or were stopped are in it too. Whoever deleted their account is not, with all that was theirs.
    """
    by = tuple(dict.fromkeys(by))
    sums = backend.core.add_up_tokens(by, since=_day(since), until=_day(until))
    show(
        [
            {
                **dict(zip(by, each.of, strict=True)),
                "calls": each.calls,
                "prompt_tokens": each.usage.prompt_tokens,
                "output_tokens": each.usage.output_tokens,
                "total_tokens": each.usage.total_tokens,
            }
            for each in sums
        ],
        as_json=as_json,
    )


def _day(at: datetime | None) -> date | None:
    return at.date() if at else None
