"""How commands show what they found: lines for people, JSON for programs."""

import getpass
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
Record = Mapping[str, object]


def as_json(command: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")(command)


def paged(kind: "click.ParamType[Any]") -> Callable[[F], F]:
    """`--limit` and `--after`, which is an id of this kind."""
    after = click.option("--after", type=kind, default=None, metavar="ID", help="Go on after this one.")
    limit = click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Lines at most.")
    return lambda command: limit(after(command))


def operated(command: F) -> F:
    """`--operator`: whose act it is; as the machine knows them, if they do not say."""
    help_text = "Your name, for the audit log."
    return click.option("--operator", default=_operator, show_default="your login name", help=help_text)(command)


def confirmed(question: str) -> Callable[[F], F]:
    """Asks before something is destroyed, unless `--yes`."""
    return click.confirmation_option("--yes", prompt=question, help="Do not ask.")


def _operator() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as somebody without a name
        name = f"uid {os.getuid()}"
    return os.fsencode(name).decode(errors="replace")


def show(records: Sequence[Record], *, as_json: bool, following: tuple[str, ...] | None = None) -> None:
    """A list: as a table, or as `{"items", "next"}`."""
    if as_json:
        click.echo(json.dumps({"items": records, "next": following[0] if following else None}, default=_plain))
        return
    if not records:
        click.echo("none", err=True)
        return
    rows = [list(records[0]), *([_word(value) for value in record.values()] for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
    if following:
        click.echo(f"more: --after {following[0]}", err=True)


def show_one(record: Record, *, as_json: bool) -> None:
    """One thing: a line per field, or a JSON object."""
    if as_json:
        click.echo(json.dumps(record, default=_plain))
        return
    for name, value in record.items():
        click.echo(f"{name + ':':<16}{_word(value)}")


def show_deed(deed: str, *, as_json: bool, **to: str) -> None:
    """What was done to whom."""
    if as_json:
        show_one({**to, "done": deed}, as_json=True)
    else:
        click.echo(f"{deed} {' '.join(to.values())}")


def _word(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return " ".join(f"{name}={_word(inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, list):
        return "; ".join(_word(each) for each in value) or "-"
    return _plain(value)


def _plain(value: object) -> str:
    return value.isoformat(timespec="seconds").replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
