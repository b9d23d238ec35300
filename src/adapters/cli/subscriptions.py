"""`gemini-backend subscriptions`: who is on pro and why, and what an operator may do about it."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import click

from adapters.cli.context import Backend
from adapters.cli.shown import Record, as_json, operated, paged, show, show_one
from gemini_core.model.billing.events import EventRecord, EventState
from gemini_core.model.billing.ledger import BillingFilter, BillingRecord
from gemini_core.model.billing.subscriptions import Cancellation, SubscriptionStatus
from gemini_core.model.ids import UserId

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def subscriptions() -> None:
    """Look at subscriptions, and act on them. WHO is an account's id or its number."""


def dry(command: F) -> F:
    """`--dry-run`."""
    return click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")(command)


@subscriptions.command("list")
@click.option("--status", default=None, help="Only with a subscription of this status.")
@click.option("--stale", type=click.IntRange(1), default=None, metavar="HOURS", help="Only not looked at for so long.")
@click.option("--duplicates", is_flag=True, help="Only who pays more than once.")
@click.option("--flagged", is_flag=True, help="Only where something wants an operator's eye.")
@paged(click.UUID)
@as_json
@click.pass_obj
def list_subscriptions(
    backend: Backend,
    status: str | None,
    stale: int | None,
    duplicates: bool,
    flagged: bool,
    limit: int,
    after: UUID | None,
    as_json: bool,
) -> None:
    """Who is or was a customer, or has a grant; oldest first."""
    stale_before = datetime.now(UTC) - timedelta(hours=stale) if stale else None
    which = BillingFilter(status=status, stale_before=stale_before, duplicates=duplicates, flagged=flagged)
    page = backend.core.billing_ledger.list_records(which, limit=limit, after=(str(after),) if after else None)
    show([_line(record) for record in page.items], as_json=as_json, following=page.next)


@subscriptions.command("show")
@click.argument("who")
@as_json
@click.pass_obj
def show_subscription(backend: Backend, who: str, as_json: bool) -> None:
    """Everything about one user's plan."""
    show_one(_whole(backend.core.billing_ledger.record(_find(backend, who))), as_json=as_json)


@subscriptions.command("grant")
@click.argument("who")
@click.option("--days", type=click.IntRange(1, 36_500), default=None, help="For so long; else for ever.")
@click.option("--reason", required=True, help="Why, for the audit log.")
@dry
@operated
@as_json
@click.pass_obj
def grant(
    backend: Backend, who: str, days: int | None, reason: str, dry_run: bool, operator: str, as_json: bool
) -> None:
    """Give a user pro, whatever they pay."""
    user = _find(backend, who)
    until = datetime.now(UTC) + timedelta(days=days) if days else None
    if not dry_run:
        backend.core.grant_pro(user, until=until, reason=reason, by=operator)
    _told(backend, user, f"grant pro {f'until {until:%Y-%m-%d}' if until else 'for ever'}", dry_run, as_json)


@subscriptions.command("revoke")
@click.argument("who")
@dry
@operated
@as_json
@click.pass_obj
def revoke(backend: Backend, who: str, dry_run: bool, operator: str, as_json: bool) -> None:
    """Take back what operators gave; a paid subscription stays."""
    user = _find(backend, who)
    if not dry_run:
        backend.core.revoke_grants(user, by=operator)
    _told(backend, user, "revoke every grant", dry_run, as_json)


@subscriptions.command("cancel")
@click.argument("who")
@click.option("--now", "at_once", is_flag=True, help="At once; else at the end of the period that is paid.")
@dry
@operated
@as_json
@click.pass_obj
def cancel(backend: Backend, who: str, at_once: bool, dry_run: bool, operator: str, as_json: bool) -> None:
    """End a subscription at the payment provider."""
    when = Cancellation.NOW if at_once else Cancellation.AT_PERIOD_END
    _change(backend, _find(backend, who), when, dry_run, operator, as_json)


@subscriptions.command("resume")
@click.argument("who")
@dry
@operated
@as_json
@click.pass_obj
def resume(backend: Backend, who: str, dry_run: bool, operator: str, as_json: bool) -> None:
    """Take a planned cancellation back."""
    _change(backend, _find(backend, who), Cancellation.NOT_AT_ALL, dry_run, operator, as_json)


@subscriptions.command("sync")
@click.argument("who", required=False)
@click.option("--all", "everybody", is_flag=True, help="Every customer, not only those that need it.")
@click.option("--clear-flags", is_flag=True, help="You have looked into what was flagged of WHO.")
@dry
@as_json
@click.pass_obj
def sync(backend: Backend, who: str | None, everybody: bool, clear_flags: bool, dry_run: bool, as_json: bool) -> None:
    """Ask the payment provider how things stand: with WHO, or with all that may have been missed."""
    core = backend.core
    if who is None and (clear_flags or dry_run):
        raise click.UsageError("--clear-flags and --dry-run need WHO.")
    if who is not None and everybody:
        raise click.UsageError("either WHO or --all.")
    if who is not None:
        user = _find(backend, who)
        if not dry_run:
            core.sync_customer(user)
            if clear_flags:
                core.billing_ledger.clear_flags(user)
        _told(backend, user, "look at the customer", dry_run, as_json)
        return
    found = core.reconcile(everybody=everybody, progress=lambda so_far: click.echo(f"{so_far} looked at", err=True))
    show_one({"events": found.events, "looked_at": found.looked_at, "failed": found.failed}, as_json=as_json)
    sys.exit(1 if found.failed else 0)


@subscriptions.command("events")
@click.argument("who", required=False)
@click.option("--state", type=click.Choice([state.value for state in EventState]), default=None, help="Only these.")
@paged(click.STRING)
@as_json
@click.pass_obj
def events(backend: Backend, who: str | None, state: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """What the payment provider has told, latest first."""
    page = backend.core.billing_events.list_events(
        state=EventState(state) if state else None,
        user=_find(backend, who) if who else None,
        limit=limit,
        after=(after,) if after else None,
    )
    show([_event(event) for event in page.items], as_json=as_json, following=page.next)


@subscriptions.command("link")
@click.argument("who")
@click.argument("customer")
@dry
@operated
@as_json
@click.pass_obj
def link(backend: Backend, who: str, customer: str, dry_run: bool, operator: str, as_json: bool) -> None:
    """Say which of the provider's customers a user is."""
    user = _find(backend, who)
    if not dry_run:
        backend.core.link_customer(user, customer, by=operator)
    _told(backend, user, f"link {customer}", dry_run, as_json)


@subscriptions.command("approve")
@click.argument("session", required=False)
@operated
@as_json
@click.pass_obj
def approve(backend: Backend, session: str | None, operator: str, as_json: bool) -> None:
    """With PAYMENTS=manual: say that a checkout is paid; without SESSION, list what waits."""
    if session is None:
        waiting = backend.core.approve_checkout.waiting()
        rows = [{"session": each.session_id, "user": each.user_id, "asked_at": each.asked_at} for each in waiting]
        show(rows, as_json=as_json)
        return
    user = backend.core.approve_checkout(session, by=operator)
    _told(backend, user, "approve", dry_run=False, as_json=as_json)


def _find(backend: Backend, who: str) -> UserId:
    return backend.core.find_user(who).id


def _change(backend: Backend, user: UserId, when: Cancellation, dry_run: bool, operator: str, as_json: bool) -> None:
    deeds = {
        Cancellation.NOW: "cancel at once",
        Cancellation.AT_PERIOD_END: "cancel at the end of the period",
        Cancellation.NOT_AT_ALL: "take the cancellation back",
    }
    if not dry_run:
        backend.core.change_cancellation(user, when, by=operator)
    _told(backend, user, deeds[when], dry_run, as_json)


def _told(backend: Backend, user: UserId, deed: str, dry_run: bool, as_json: bool) -> None:
    """How things stand after a deed, or without it."""
    told = _status(backend.core.get_subscription(user))
    show_one({"user": user, "would" if dry_run else "done": deed, **told}, as_json=as_json)


def _status(status: SubscriptionStatus) -> dict[str, object]:
    return {
        "plan": status.plan,
        "status": status.status,
        "valid_until": status.valid_until,
        "cancel_at_period_end": status.cancel_at_period_end,
    }


def _line(record: BillingRecord) -> Record:
    return {
        "user": record.user_id,
        "plan": record.standing.plan,
        "until": record.standing.until,
        "customer": record.customer_id,
        "subscriptions": ",".join(f"{each.id}:{each.status}" for each in record.subscriptions) or None,
        "flags": ",".join(sorted({flag.concern.value for flag in record.flags})) or None,
        "synced_at": record.synced_at,
    }


def _whole(record: BillingRecord) -> Record:
    return {
        **_line(record),
        "periods": ", ".join(f"{each.id} to {each.period_end}" for each in record.subscriptions) or None,
        "grants": "; ".join(
            f"by {grant.by} until {grant.until or 'for ever'}{', revoked' if grant.revoked_at else ''}: {grant.reason}"
            for grant in record.grants
        )
        or None,
        "flagged": ", ".join(f"{flag.concern.value} {flag.about}" for flag in record.flags) or None,
    }


def _event(event: EventRecord) -> Record:
    return {
        "id": event.id,
        "kind": event.kind,
        "state": event.state.value,
        "customer": event.customer_id,
        "received_at": event.received_at,
        "done_at": event.done_at,
    }
