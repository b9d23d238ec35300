"""Commands that run the product: dev, serve, worker, migrate, doctor."""

import json
import sys
from dataclasses import asdict

import click

from adapters.cli.context import Backend


@click.command()
@click.pass_obj
def dev(backend: Backend) -> None:
    """Run everything on this machine: servers, migrations, worker, API. Ctrl-C stops it all."""
    backend.dev()


@click.command()
@click.pass_obj
def serve(backend: Backend) -> None:
    """Run the API."""
    backend.serve()


@click.command()
@click.pass_obj
def worker(backend: Backend) -> None:
    """Run a worker, with its sweeper and schedule inside. The exit code is not 0 if it could not go on."""
    sys.exit(backend.worker())


@click.command()
@click.pass_obj
def migrate(backend: Backend) -> None:
    """Bring the database up to date."""
    backend.migrate()
    click.echo("The database is up to date.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_obj
def doctor(backend: Backend, as_json: bool) -> None:
    """Check the settings and every connection. Exit code 1 if something is wrong."""
    findings = backend.doctor()
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:<12} {finding.detail}")
    if not all(finding.ok for finding in findings):
        sys.exit(1)


COMMANDS = (dev, serve, worker, migrate, doctor)
