"""Looking at subscriptions and at the provider's events."""

from datetime import timedelta
from uuid import UUID

import click

from adapters.cli.context import Backend
from adapters.cli.shown import Record, as_json, paged, show, show_one
from adapters.cli.subscriptions.who import find
from gemini_core.model.billing.events import EventRecord, EventState
from gemini_core.model.billing.records import BillingFilter, BillingRecord

# A year: whoever is looked at so seldom is looked at never.
MOST_HOURS = 366 * 24


@click.command("list")
@click.option("--status", default=None, help="Only with a subscription of this status.")
@click.option(
    "--stale", type=click.IntRange(1, MOST_HOURS), default=None, metavar="HOURS", help="Only not looked at for so long."
)
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
    stale_before = backend.core.clock.now() - timedelta(hours=stale) if stale else None
    which = BillingFilter(status=status, stale_before=stale_before, duplicates=duplicates, flagged=flagged)
    page = backend.core.billing_records.list_records(which, limit=limit, after=(str(after),) if after else None)
    show([_line(record) for record in page.items], as_json=as_json, following=page.next)


@click.command("show")
@click.argument("who")
@as_json
@click.pass_obj
def show_subscription(backend: Backend, who: str, as_json: bool) -> None:
    """Everything about one user's plan."""
    show_one(_whole(backend.core.billing_records.record(find(backend, who))), as_json=as_json)


@click.command("events")
@click.argument("who", required=False)
@click.option("--state", type=click.Choice([state.value for state in EventState]), default=None, help="Only these.")
@paged(click.STRING)
@as_json
@click.pass_obj
def events(backend: Backend, who: str | None, state: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """What the payment provider has told, latest first."""
    page = backend.core.billing_events.list_events(
        state=EventState(state) if state else None,
        user=None if who is None else find(backend, who),
        limit=limit,
        after=(after,) if after else None,
    )
    show([_event(event) for event in page.items], as_json=as_json, following=page.next)


COMMANDS = (list_subscriptions, show_subscription, events)


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
