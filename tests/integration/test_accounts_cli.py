"""The operator's commands, on PostgreSQL and Redis."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from adapters.cli.main import cli
from adapters.cli.users import REDIS_AWAY
from adapters.settings import Settings
from adapters.wiring.container import Container
from gemini_core.core import Core

NUMBER = "+14155552671"
Run = Callable[..., Result]


@dataclass
class Backend:
    settings: Settings
    core: Core


@contextmanager
def console(postgres_url: str, redis_url: str, folder: Path) -> Iterator[Run]:
    settings = Settings.load(
        {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "DATA_DIR": str(folder), "SECRET_KEY": "s" * 40}
    )
    container = Container(settings=settings)
    backend = Backend(settings, container.core())
    yield lambda *words: CliRunner().invoke(cli, words, obj=backend)
    container.database().dispose()
    container.redis().close()


@pytest.fixture
def run(postgres_url: str, valkey_url: str, tmp_path: Path) -> Iterator[Run]:
    with console(postgres_url, valkey_url, tmp_path) as found:
        yield found


def found(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_account_is_made_listed_and_shown(run: Run) -> None:
    made = found(run("users", "create", NUMBER, "--name", "Ann", "--json"))
    assert found(run("users", "list", "--json"))["items"] == [made]
    assert found(run("users", "list", "--status", "suspended", "--json"))["items"] == []
    assert found(run("users", "show", NUMBER, "--json")) == found(run("users", "show", made["id"], "--json"))
    table = run("users", "list").stdout
    assert table.splitlines()[0].split() == ["id", "mobile_number", "status", "plan", "created_at"]
    assert NUMBER in table


def test_every_act_is_in_the_audit_log_with_the_operators_name(run: Run) -> None:
    run("users", "create", NUMBER, "--operator", "olga")
    for act in (("suspend", "--yes"), ("restore",), ("logout", "--yes"), ("delete", "--yes")):
        result = run("users", act[0], NUMBER, *act[1:], "--operator", "olga")
        assert result.exit_code == 0, result.output
    events = found(run("audit", "list", "--json"))["items"]
    assert [(event["event"], event["operator"]) for event in events] == [
        ("account.closed", "olga"),
        ("session.ended_all", "olga"),
        ("account.restored", "olga"),
        ("account.suspended", "olga"),
        ("account.created", "olga"),
    ]
    assert NUMBER not in run("audit", "list").stdout


def test_every_act_is_told_as_json_too(run: Run) -> None:
    user = found(run("users", "create", NUMBER, "--json"))["id"]
    acts = {"suspend": "suspended", "restore": "restored", "logout": "logged out", "delete": "deleted"}
    for act, deed in acts.items():
        told = run("users", act, user, "--json", *(() if act == "restore" else ("--yes",)))
        assert (found(told), told.stderr) == ({"id": user, "done": deed}, "")


def test_an_end_that_redis_cannot_be_told_of_yet_is_told_as_such(postgres_url: str, tmp_path: Path) -> None:
    with console(postgres_url, "redis://127.0.0.1:1", tmp_path) as run:
        user = found(run("users", "create", NUMBER, "--json"))["id"]
        for act in ("suspend", "logout", "delete"):
            told = run("users", act, user, "--yes", "--json")
            assert found(told)["id"] == user
            assert told.stderr == f"{REDIS_AWAY}\n"


def test_an_operator_without_a_name_is_known_by_their_number(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    run("users", "create", NUMBER)
    assert found(run("audit", "list", "--json"))["items"][0]["operator"] == "uid 54321"


def test_what_destroys_asks_first(run: Run) -> None:
    run("users", "create", NUMBER)
    for act in ("suspend", "logout", "delete"):
        assert run("users", act, NUMBER).exit_code == 1
    assert found(run("users", "show", NUMBER, "--json"))["status"] == "active"


def test_lists_come_page_by_page(run: Run) -> None:
    for digit in range(3):
        run("users", "create", f"+1415555267{digit}")
    page = found(run("users", "list", "--limit", "2", "--json"))
    assert len(page["items"]) == 2
    assert len(found(run("users", "list", "--limit", "2", "--after", page["next"], "--json"))["items"]) == 1
    events = found(run("audit", "list", "--limit", "2", "--json"))
    assert len(found(run("audit", "list", "--after", events["next"], "--json"))["items"]) == 1


def test_keys_are_rotated_and_retired_in_good_time(run: Run, engine: Engine) -> None:
    before = found(run("keys", "list", "--json"))["items"]
    assert sorted(key["state"] for key in before) == ["active", "next"]
    early = run("keys", "rotate")
    assert (early.exit_code, "yet" in early.stderr) == (1, True)
    with engine.connect() as connection:
        connection.exec_driver_sql("UPDATE signing_keys SET changed_at = changed_at - interval '1 hour'")
    after = found(run("keys", "rotate", "--json"))["items"]
    assert sorted(key["state"] for key in after) == ["active", "next", "retired"]
    retired = next(key["kid"] for key in after if key["state"] == "retired")
    early = run("keys", "retire", retired, "--yes")
    assert (early.exit_code, "until" in early.stderr) == (1, True)
    assert run("keys", "retire", "nonsense", "--yes").exit_code == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("users", "show", "+14155552679"), 1),
        (("users", "show", "nonsense"), 2),
        (("users", "list", "--after", "x"), 2),
        (("users", "list", "--limit", "0"), 2),
        (("users", "create", "+1900555"), 2),
        (("audit", "list", "--user", "nobody"), 2),
        (("audit", "list", "--user", ""), 2),
        (("subscriptions", "events", ""), 2),
        (("subscriptions", "list", "--stale", "20000000"), 2),
        (("audit", "list", "--after", "9" * 20), 2),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(run: Run, words: tuple[str, ...], code: int) -> None:
    result = run(*words)
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert result.stderr.strip()


def test_budgets_are_shown(run: Run) -> None:
    assert found(run("audit", "budgets", "--json"))["items"] == []
