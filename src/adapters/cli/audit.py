"""`gemini-backend audit`: what happened to accounts."""

import click

from adapters.cli.context import Backend
from adapters.cli.shown import Record, as_json, paged, show
from gemini_core.model.accounts.audit import AuditEvent


@click.group()
def audit() -> None:
    """What happened to accounts. Numbers are masked; nothing is ever changed or removed."""


@audit.command("list")
@click.option("--user", "who", default=None, metavar="WHO", help="Only of this account: its id or number.")
@click.option("--event", default=None, help="Only events of this kind, such as session.opened.")
@paged(click.IntRange(0, 2**63 - 1))
@as_json
@click.pass_obj
def list_events(
    backend: Backend, who: str | None, event: str | None, limit: int, after: int | None, as_json: bool
) -> None:
    """Events, newest first."""
    user = None if who is None else backend.core.find_user(who).id
    page = backend.core.list_audit(user=user, event=event, limit=limit, after=(str(after),) if after else None)
    show([_event(each) for each in page.items], as_json=as_json, following=page.next)


@audit.command("budgets")
@as_json
@click.pass_obj
def budgets(backend: Backend, as_json: bool) -> None:
    """Codes of the past day that nobody proved, by country and network; `noted`: over the budget."""
    figures = backend.core.show_budgets()
    records = [{"key": f.key, "unproven": f.unproven, "proven": f.proven, "noted": f.noted} for f in figures]
    show(records, as_json=as_json)


def _event(event: AuditEvent) -> Record:
    return {
        "id": event.id,
        "at": event.at,
        "event": event.event,
        "user_id": event.user_id,
        "session_id": event.session_id,
        "number": event.number,
        "ip": event.ip,
        "operator": event.operator,
        "detail": dict(event.detail),
    }
