"""`gemini-backend keys`: what access tokens are signed with."""

import click

from adapters.cli.context import Backend
from adapters.cli.shown import Record, as_json, confirmed, operated, show, show_deed
from gemini_core.model.accounts.keys import SigningKey


@click.group()
def keys() -> None:
    """The signing keys. Running processes take changes up by themselves, within seconds."""


@keys.command("list")
@as_json
@click.pass_obj
def list_keys(backend: Backend, as_json: bool) -> None:
    """The active key signs; the next one is published already; retired ones still verify."""
    show([_key(key) for key in backend.core.list_keys()], as_json=as_json)


@keys.command("rotate")
@operated
@as_json
@click.pass_obj
def rotate(backend: Backend, operator: str, as_json: bool) -> None:
    """Sign with the next key from now on."""
    show([_key(key) for key in backend.core.rotate_keys(operator=operator)], as_json=as_json)


@keys.command("retire")
@click.argument("kid")
@confirmed("Refuse every token that this key signed?")
@operated
@as_json
@click.pass_obj
def retire(backend: Backend, kid: str, operator: str, as_json: bool) -> None:
    """Take a retired key out."""
    backend.core.retire_key(kid, operator=operator)
    show_deed("taken out", kid=kid, as_json=as_json)


def _key(key: SigningKey) -> Record:
    return {"kid": key.kid, "state": key.state, "since": key.changed_at}
