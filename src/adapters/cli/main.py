"""The command `gemini-backend`: all its commands, and one place where failures become sentences."""

import sys
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


for command in (*servers.COMMANDS, users, keys, audit, subscriptions, usage, jobs):
    cli.add_command(command)
