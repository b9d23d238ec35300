"""`gemini-backend jobs`: what is owed, what rests after a failure, and what waits for an operator."""

import sys
from collections.abc import Iterator
from uuid import UUID

import click

from adapters.cli.context import Backend
from adapters.cli.shown import Record, as_json, paged, show, show_one
from gemini_core.model.ids import JobId
from gemini_core.model.jobs import JobRecord, JobState
from gemini_core.ports.jobs import JobAdmin

PAGE = 500


@click.group()
def jobs() -> None:
    """Look at promises that are still to be kept, and try dead ones again.

    An open job is tried again by itself. A dead one has used up its tries and waits for you.

    A reply that failed has no job any more: its status is final, and its author was told and has their unit back.
    Another reply to the same message is a new promise, and the author's to ask for (`regenerate`).
    """


@jobs.command("list")
@click.option("--state", type=click.Choice([state.value for state in JobState]), default=None, help="Only these.")
@click.option("--kind", default=None, help="Only jobs of this kind, say reply.")
@paged(click.UUID)
@as_json
@click.pass_obj
def list_jobs(
    backend: Backend, state: str | None, kind: str | None, limit: int, after: UUID | None, as_json: bool
) -> None:
    """Jobs, mostly oldest first (those that recur stand anywhere)."""
    page = backend.core.job_admin.list_jobs(
        state=JobState(state) if state else None, kind=kind, limit=limit, after=(str(after),) if after else None
    )
    show([_line(job) for job in page.items], as_json=as_json, following=page.next)


@jobs.command("show")
@click.argument("job", type=click.UUID)
@as_json
@click.pass_obj
def show_job(backend: Backend, job: UUID, as_json: bool) -> None:
    """One job. The log has more: every line about it carries its id and its request's."""
    found = backend.core.job_admin.show(JobId(job))
    about = {"lane": found.lane, "args": dict(found.args), "request_id": found.request_id}
    show_one({**_line(found), **about}, as_json=as_json)


@jobs.command("retry")
@click.argument("job", type=click.UUID, nargs=-1)
@click.option("--all", "every", is_flag=True, help="All dead jobs.")
@click.option("--kind", default=None, help="With --all: only jobs of this kind.")
@as_json
@click.pass_obj
def retry(backend: Backend, job: tuple[UUID, ...], every: bool, kind: str | None, as_json: bool) -> None:
    """Make dead jobs due now, with fresh tries. Exit code 1 if one of those named is not dead."""
    if bool(job) == every or (kind and not every):
        raise click.UsageError("Name the jobs, or say --all.")
    admin = backend.core.job_admin
    wanted = list(_dead(admin, kind)) if every else [JobId(id) for id in job]
    due: list[str] = []
    alive: list[str] = []
    for id in wanted:
        revived = admin.revive(id)
        (due if revived else alive).append(str(id))
        if revived and not as_json:
            click.echo(f"due now: {id}")
        elif not revived and not every:  # else a colleague was faster
            click.echo(f"not dead: {id} is tried by itself", err=True)
    if as_json:
        show_one({"due": due, "not_dead": alive}, as_json=True)
    if alive and not every:
        sys.exit(1)


def _dead(admin: JobAdmin, kind: str | None) -> Iterator[JobId]:
    after: tuple[str, ...] | None = None
    while True:
        page = admin.list_jobs(state=JobState.DEAD, kind=kind, limit=PAGE, after=after)
        yield from (job.id for job in page.items)
        if (after := page.next) is None:
            return


def _line(job: JobRecord) -> Record:
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "due_at": job.due_at,
        "leased_until": job.leased_until,
        "attempt": job.attempt,
        "failures": job.failures,
        "error": job.error,
        "created_at": job.created_at,
    }
