"""What operators do about somebody's plan. Each command tells how things stand then, or would with `--dry-run`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import click

from adapters.cli.context import Backend
from adapters.cli.shown import as_json, operated, show, show_one
from adapters.cli.subscriptions.who import dry, find, stands
from gemini_core.model.billing.subscriptions import Cancellation, SubscriptionStatus
from gemini_core.model.ids import UserId


@dataclass(frozen=True, slots=True)
class Act:
    """Something that an operator does to a user; `foresee` says what the status would be."""

    user: UserId
    what: str
    foresee: Callable[[], SubscriptionStatus]
    deed: Callable[[], object]

    def carry_out(self, backend: Backend, *, dry_run: bool, as_json: bool) -> None:
        """Do it and tell, or only tell."""
        status = backend.core.get_subscription
        if dry_run:
            would = {"user": self.user, "would": self.what, **stands(status(self.user))}
            show_one({**would, "becomes": stands(self.foresee())}, as_json=as_json)
            return
        self.deed()
        show_one({"user": self.user, "done": self.what, **stands(status(self.user))}, as_json=as_json)


@click.command("grant")
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
    user, verb = find(backend, who), backend.core.grant_pro
    until = backend.core.clock.now() + timedelta(days=days) if days else None
    Act(
        user,
        f"grant pro {f'until {until:%Y-%m-%d}' if until else 'for ever'}",
        lambda: verb.foresee(user, until=until, reason=reason, operator=operator),
        lambda: verb(user, until=until, reason=reason, operator=operator),
    ).carry_out(backend, dry_run=dry_run, as_json=as_json)


@click.command("revoke")
@click.argument("who")
@dry
@operated
@as_json
@click.pass_obj
def revoke(backend: Backend, who: str, dry_run: bool, operator: str, as_json: bool) -> None:
    """Take back what operators gave; a paid subscription stays."""
    user, verb = find(backend, who), backend.core.revoke_grants
    Act(user, "revoke every grant", lambda: verb.foresee(user), lambda: verb(user, operator=operator)).carry_out(
        backend, dry_run=dry_run, as_json=as_json
    )


@click.command("cancel")
@click.argument("who")
@click.option("--now", "at_once", is_flag=True, help="At once; else at the end of the period that is paid.")
@dry
@operated
@as_json
@click.pass_obj
def cancel(backend: Backend, who: str, at_once: bool, dry_run: bool, operator: str, as_json: bool) -> None:
    """End a subscription at the payment provider."""
    act = (
        _change(backend, who, Cancellation.NOW, "cancel at once", operator)
        if at_once
        else _change(backend, who, Cancellation.AT_PERIOD_END, "cancel at the end of the period", operator)
    )
    act.carry_out(backend, dry_run=dry_run, as_json=as_json)


@click.command("resume")
@click.argument("who")
@dry
@operated
@as_json
@click.pass_obj
def resume(backend: Backend, who: str, dry_run: bool, operator: str, as_json: bool) -> None:
    """Take a planned cancellation back."""
    act = _change(backend, who, Cancellation.NOT_AT_ALL, "take the cancellation back", operator)
    act.carry_out(backend, dry_run=dry_run, as_json=as_json)


def _change(backend: Backend, who: str, when: Cancellation, what: str, operator: str) -> Act:
    user, verb = find(backend, who), backend.core.change_cancellation
    return Act(user, what, lambda: verb.foresee(user, when), lambda: verb(user, when, operator=operator))


@click.command("link")
@click.argument("who")
@click.argument("customer")
@dry
@operated
@as_json
@click.pass_obj
def link(backend: Backend, who: str, customer: str, dry_run: bool, operator: str, as_json: bool) -> None:
    """Say which of the provider's customers a user is."""
    user, verb = find(backend, who), backend.core.link_customer
    Act(
        user, f"link {customer}", lambda: verb.foresee(user, customer), lambda: verb(user, customer, operator=operator)
    ).carry_out(backend, dry_run=dry_run, as_json=as_json)


@click.command("approve")
@click.argument("session", required=False)
@dry
@operated
@as_json
@click.pass_obj
def approve(backend: Backend, session: str | None, dry_run: bool, operator: str, as_json: bool) -> None:
    """With PAYMENTS=manual: say that a checkout is paid; without SESSION, list what waits."""
    verb = backend.core.approve_checkout
    if session is None:
        rows = [
            {"session": each.session_id, "user": each.user_id, "asked_at": each.asked_at} for each in verb.waiting()
        ]
        show(rows, as_json=as_json)
        return
    user, becomes = verb.foresee(session)
    Act(user, "approve", lambda: becomes, lambda: verb(session, operator=operator)).carry_out(
        backend, dry_run=dry_run, as_json=as_json
    )


COMMANDS = (grant, revoke, cancel, resume, link, approve)
