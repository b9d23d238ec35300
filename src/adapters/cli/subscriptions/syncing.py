"""Asking the payment provider how things stand."""

import sys

import click

from adapters.cli.context import Backend
from adapters.cli.shown import Record, as_json, operated, show_one
from adapters.cli.subscriptions.who import dry, find, stands
from gemini_core.model.billing.records import BillingRecord
from gemini_core.model.ids import UserId


@click.command("sync")
@click.argument("who", required=False)
@click.option("--all", "everybody", is_flag=True, help="Every customer, not only those that need it.")
@click.option("--clear-flags", is_flag=True, help="You have looked into what was flagged of WHO.")
@dry
@operated
@as_json
@click.pass_obj
def sync(
    backend: Backend,
    who: str | None,
    everybody: bool,
    clear_flags: bool,
    dry_run: bool,
    operator: str,
    as_json: bool,
) -> None:
    """Ask the payment provider how things stand: with WHO, or with all that may have been missed.

    With --dry-run and without WHO every customer is compared with what is stored.
    """
    if who is None and clear_flags:
        raise click.UsageError("--clear-flags needs WHO.")
    if who is not None and everybody:
        raise click.UsageError("either WHO or --all.")
    if who is None:
        sys.exit(_compare(backend, as_json=as_json) if dry_run else _reconcile(backend, everybody, as_json=as_json))
    user = find(backend, who)
    if dry_run:
        _foretell(backend, user, clear_flags=clear_flags, as_json=as_json)
        return
    # What this very look finds has been seen by nobody yet.
    cleared = {"cleared": backend.core.clear_flags(user, operator=operator)} if clear_flags else {}
    backend.core.sync_customer(user)
    told = stands(backend.core.get_subscription(user))
    show_one({"user": user, "done": "look at the customer", **told, **cleared}, as_json=as_json)


COMMANDS = (sync,)


def _reconcile(backend: Backend, everybody: bool, *, as_json: bool) -> int:
    found = backend.core.reconcile(everybody=everybody, progress=_progress)
    show_one({"events": found.events, "looked_at": found.looked_at, "failed": found.failed}, as_json=as_json)
    return 1 if found.failed else 0


def _compare(backend: Backend, *, as_json: bool) -> int:
    found = backend.core.compare_customers(progress=_progress)
    changes = [
        {"user": before.user_id, "from": _subscriptions(before), "to": _subscriptions(after)}
        for before, after in found.differing
    ]
    told = {"would": "look at every customer", "looked_at": found.looked_at, "failed": found.failed}
    show_one({**told, "changes": changes}, as_json=as_json)
    return 1 if found.failed else 0


def _foretell(backend: Backend, user: UserId, *, clear_flags: bool, as_json: bool) -> None:
    core = backend.core
    record = core.billing_records.record(user)
    becomes = core.sync_customer.foresee_status(record)
    cleared = {"flags": len(record.flags)} if clear_flags else {}
    would = {"user": user, "would": "look at the customer", **stands(core.get_subscription(user))}
    show_one({**would, "becomes": stands(becomes), **cleared}, as_json=as_json)


def _subscriptions(record: BillingRecord) -> list[Record]:
    return [
        {"id": each.id, "status": each.status, "period_end": each.period_end, "ends_at": each.ends_at}
        for each in record.subscriptions
    ]


def _progress(so_far: int) -> None:
    click.echo(f"{so_far} looked at", err=True)
