"""`gemini-backend subscriptions`: who is on pro and why, and what an operator may do about it."""

import click

from adapters.cli.subscriptions import acting, looking, syncing


@click.group()
def subscriptions() -> None:
    """Look at subscriptions, and act on them. WHO is an account's id or its number."""


for command in (*looking.COMMANDS, *acting.COMMANDS, *syncing.COMMANDS):
    subscriptions.add_command(command)
