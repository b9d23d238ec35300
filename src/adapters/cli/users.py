"""`gemini-backend users`: accounts, as their operator sees them."""

from datetime import datetime
from uuid import UUID

import click

from adapters.cli.context import Backend
from adapters.cli.shown import Record, as_json, confirmed, operated, paged, show, show_deed, show_one
from gemini_core.model.accounts.people import User
from gemini_core.model.accounts.sessions import Session

REDIS_AWAY = "Redis is away from here: where it is not, access tokens are good until a worker tells it."


@click.group()
def users() -> None:
    """Look at accounts, and act on them. WHO is an account's id or its number."""


@users.command("list")
@click.option("--status", type=click.Choice(["active", "suspended"]), default=None, help="Only these.")
@click.option("--plan", default=None, help="Only who is on this plan.")
@click.option("--number", default=None, metavar="+49…", help="Only numbers that begin so.")
@paged(click.UUID)
@as_json
@click.pass_obj
def list_users(
    backend: Backend,
    status: str | None,
    plan: str | None,
    number: str | None,
    limit: int,
    after: UUID | None,
    as_json: bool,
) -> None:
    """Accounts, newest first."""
    page = backend.core.list_users(
        status=status, plan=plan, number=number, limit=limit, after=(str(after),) if after else None
    )
    now = backend.core.clock.now()
    show([_user(user, now) for user in page.items], as_json=as_json, following=page.next)


@users.command("show")
@click.argument("who")
@as_json
@click.pass_obj
def show_user(backend: Backend, who: str, as_json: bool) -> None:
    """One account."""
    user = backend.core.find_user(who)
    profile = {"name": user.profile.name, "email": user.profile.email, "username": user.profile.username}
    about = {"plan_until": user.plan_until, "has_password": user.has_password}
    show_one({**_user(user, backend.core.clock.now()), **profile, **about}, as_json=as_json)


@users.command("create")
@click.argument("mobile_number")
@click.option("--name", default=None, help="The person's name.")
@click.option("--email", default=None, help="Their address.")
@click.option("--username", default=None, help="Their user name.")
@operated
@as_json
@click.pass_obj
def create_user(
    backend: Backend,
    mobile_number: str,
    name: str | None,
    email: str | None,
    username: str | None,
    operator: str,
    as_json: bool,
) -> None:
    """Make an account for a number that you vouch for."""
    user = backend.core.create_user(mobile_number, operator=operator, name=name, email=email, username=username)
    show_one(_user(user, backend.core.clock.now()), as_json=as_json)


@users.command("suspend")
@click.argument("who")
@confirmed("Sign this user out everywhere, and let them in no more?")
@operated
@as_json
@click.pass_obj
def suspend_user(backend: Backend, who: str, operator: str, as_json: bool) -> None:
    """Sign a user out everywhere, and let them in no more."""
    user = backend.core.find_user(who)
    told = backend.core.suspend_user(user.id, operator=operator)
    _show_end("suspended", user, told=told, as_json=as_json)


@users.command("restore")
@click.argument("who")
@operated
@as_json
@click.pass_obj
def restore_user(backend: Backend, who: str, operator: str, as_json: bool) -> None:
    """Let a user in again; also after too many wrong codes."""
    user = backend.core.find_user(who)
    backend.core.restore_user(user.id, operator=operator)
    show_deed("restored", id=str(user.id), as_json=as_json)


@users.command("delete")
@click.argument("who")
@confirmed("Erase this account and everything in it for ever?")
@operated
@as_json
@click.pass_obj
def delete_user(backend: Backend, who: str, operator: str, as_json: bool) -> None:
    """Erase an account and everything in it."""
    user = backend.core.find_user(who)
    told = backend.core.delete_user(user.id, operator=operator)
    _show_end("deleted", user, told=told, as_json=as_json)


@users.command("sessions")
@click.argument("who")
@as_json
@click.pass_obj
def sessions(backend: Backend, who: str, as_json: bool) -> None:
    """Where a user is signed in."""
    user = backend.core.find_user(who)
    show([_session(session) for session in backend.core.show_user_sessions(user.id)], as_json=as_json)


@users.command("logout")
@click.argument("who")
@confirmed("Sign this user out everywhere?")
@operated
@as_json
@click.pass_obj
def log_out(backend: Backend, who: str, operator: str, as_json: bool) -> None:
    """Sign a user out everywhere."""
    user = backend.core.find_user(who)
    told = backend.core.log_out_user(user.id, operator=operator)
    _show_end("logged out", user, told=told, as_json=as_json)


def _show_end(deed: str, user: User, *, told: bool, as_json: bool) -> None:
    show_deed(deed, id=str(user.id), as_json=as_json)
    if not told:
        click.echo(REDIS_AWAY, err=True)


def _user(user: User, now: datetime) -> Record:
    return {
        "id": user.id,
        "mobile_number": user.mobile_number,
        "status": user.status,
        "plan": user.plan_at(now),
        "created_at": user.created_at,
    }


def _session(session: Session) -> Record:
    return {
        "id": session.id,
        "created_at": session.created_at,
        "last_used_at": session.rotated_at,
        "expires_at": session.expires_at,
        "ip": session.ip,
        "user_agent": session.user_agent,
    }
