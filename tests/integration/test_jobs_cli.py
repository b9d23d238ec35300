"""The operator's commands for jobs, on PostgreSQL."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from adapters.cli.main import cli
from adapters.persistence.jobs import SqlJobs
from gemini_core.model.ids import JobId, uuid7
from gemini_core.model.jobs import NewJob

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass
class Desk:
    """An operator's terminal, and the jobs behind it."""

    jobs: SqlJobs

    def run(self, *words: object) -> Result:
        backend = SimpleNamespace(core=SimpleNamespace(job_admin=self.jobs))
        return CliRunner().invoke(cli, ["jobs", *map(str, words)], obj=backend)

    def found(self, *words: object) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def open(self, kind: str = "send_code") -> JobId:
        id = JobId(uuid7(NOW))
        self.jobs.add(NewJob(id=id, kind=kind, args={"challenge": "17"}, request_id="r-1"))
        return id

    def dead(self, kind: str = "send_code") -> JobId:
        id = self.open(kind)
        lease = self.jobs.claim(id, lease_for=timedelta(seconds=30), now=NOW)
        assert lease is not None
        self.jobs.put_back(lease, after=timedelta(0), failed=True, error="KeyError", for_good=True)
        return id


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(SqlJobs(engine))


def test_jobs_are_listed_by_state_and_kind_page_by_page(desk: Desk) -> None:
    ids = sorted([str(desk.open()), str(desk.dead()), str(desk.open("reply"))])
    first = desk.found("list", "--limit", 2)
    rest = desk.found("list", "--limit", 2, "--after", first["next"])
    assert [job["id"] for page in (first, rest) for job in page["items"]] == ids
    assert rest["next"] is None
    dead = desk.found("list", "--state", "dead")["items"]
    assert [(job["state"], job["failures"], job["error"]) for job in dead] == [("dead", 1, "KeyError")]
    assert [job["kind"] for job in desk.found("list", "--kind", "reply")["items"]] == ["reply"]
    assert desk.run("list").stdout.splitlines()[0].split()[:4] == ["id", "kind", "state", "due_at"]


def test_a_job_is_shown_with_what_it_is_about_and_where_it_came_from(desk: Desk) -> None:
    shown = desk.found("show", desk.open())
    assert (shown["kind"], shown["args"], shown["request_id"], shown["attempt"]) == (
        "send_code",
        {"challenge": "17"},
        "r-1",
        0,
    )


def test_a_dead_job_is_tried_again_and_an_open_one_needs_no_help(desk: Desk) -> None:
    dead, alive = desk.dead(), desk.open()
    result = desk.run("retry", dead, alive)
    assert (result.exit_code, result.stdout) == (1, f"due now: {dead}\n")
    assert result.stderr == f"not dead: {alive} is tried by itself\n"
    assert set(desk.jobs.due(limit=9)) == {dead, alive}
    assert desk.jobs.show(dead).failures == 0


def test_a_program_is_told_what_was_tried_again_and_what_not(desk: Desk) -> None:
    dead, alive = desk.dead(), desk.open()
    result = desk.run("retry", dead, alive, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"due": [str(dead)], "not_dead": [str(alive)]})
    assert desk.found("retry", "--all") == {"due": [], "not_dead": []}


def test_all_dead_jobs_of_a_kind_are_tried_again(desk: Desk) -> None:
    codes, notice = {desk.dead(), desk.dead()}, desk.dead("send_notice")
    assert desk.run("retry", "--all", "--kind", "send_code").exit_code == 0
    assert set(desk.jobs.due(limit=9)) == codes
    assert desk.run("retry", "--all").stdout == f"due now: {notice}\n"
    assert desk.run("retry", "--all").stdout == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", uuid7(NOW)), 1),
        (("retry", uuid7(NOW)), 1),
        (("show", "nonsense"), 2),
        (("retry",), 2),
        (("retry", "--all", uuid7(NOW)), 2),
        (("retry", "--kind", "reply", uuid7(NOW)), 2),
        (("list", "--state", "sleepy"), 2),
        (("list", "--limit", 0), 2),
    ],
)
def test_wrong_use_and_what_is_not_there_have_their_own_exit_codes(desk: Desk, words: Any, code: int) -> None:
    result = desk.run(*words)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
