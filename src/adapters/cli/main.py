"""The command `gemini-backend`: all its commands, and one place where failures become sentences."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

import click

from adapters.cli import servers
from adapters.cli.audit import audit
from adapters.cli.jobs import jobs
from adapters.cli.keys import keys
from adapters.cli.subscriptions import subscriptions
from adapters.cli.usage import usage
from adapters.cli.users import users
from gemini_core.errors import Failure, Invalid

WRONG_USE = 2


class Sentences(click.Group):
    """Tells a failure in one sentence; no stack trace reaches a user."""

    def main(self, *args: Any, **extra: Any) -> Any:
        _have_streams()
        try:
            return super().main(*args, **extra)
        except OSError as error:  # most of all a full disk, or whatever else cannot be written to
            _give_up_output()
            click.echo(f"gemini-backend: {error.strerror or error}.", err=True)
            sys.exit(1)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_text(word) for word in args])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            click.echo(f"gemini-backend: {failure.detail}", err=True)
            sys.exit(WRONG_USE if isinstance(failure, Invalid) else 1)


@click.group(cls=Sentences, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gemini-backend")
def cli() -> None:
    """A chat backend for Gemini. Every setting comes from the environment or from .env; see .env.example."""


def _text(word: str) -> str:
    """An argument as it was typed, whatever the locale makes of its bytes."""
    try:
        return os.fsencode(word).decode()
    except UnicodeError:
        raise click.UsageError("An argument is not text in UTF-8.") from None


def _have_streams() -> None:
    """A stream that is closed leads nowhere; a character that the output's encoding lacks is written as its number."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: that of the closed stream
            os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(nowhere, "r+"))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _give_up_output() -> None:
    """What waits to be written is not tried again when the process ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


for command in (*servers.COMMANDS, users, keys, audit, subscriptions, usage, jobs):
    cli.add_command(command)
