"""The operator's command for what the model has cost."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.contracts.chat_worlds import NOW, ChatWorld, memory_world
from tests.contracts.test_chat import call

from adapters.cli.main import cli
from gemini_core.model.chat import Usage, day_ends
from gemini_core.use_cases.chat.usage import AddUpTokens


@pytest.fixture
def world() -> ChatWorld:
    return memory_world()


def run(world: ChatWorld, *words: str) -> Result:
    adding = AddUpTokens(world.usage, SimpleNamespace(now=lambda: NOW))
    backend = SimpleNamespace(core=SimpleNamespace(add_up_tokens=adding))
    return CliRunner().invoke(cli, ["usage", *words], obj=backend)


def found(world: ChatWorld, *words: str) -> Any:
    result = run(world, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["items"]


def test_tokens_are_told_by_day_unless_something_else_is_asked_for(world: ChatWorld) -> None:
    ann = world.user("pro")
    world.usage.record([call(ann, Usage(7, 3)), call(ann, Usage(5, 2)), call(ann, Usage(1, 1), day_ends(NOW))])
    of_may = {"calls": 2, "prompt_tokens": 12, "output_tokens": 5, "total_tokens": 17}
    assert found(world) == [{"day": "2026-05-17", **of_may}]
    assert found(world, "--by", "plan", "--by", "user") == [{"plan": "pro", "user": str(ann), **of_may}]
    later = found(world, "--since", "2026-05-18", "--until", "2026-05-31", "--by", "model")
    assert later == [{"model": "gemini-test", "calls": 1, "prompt_tokens": 1, "output_tokens": 1, "total_tokens": 2}]
    assert run(world).output.split() == [
        *("day", "calls", "prompt_tokens", "output_tokens", "total_tokens"),
        *("2026-05-17", "2", "12", "5", "17"),
    ]


@pytest.mark.parametrize(
    "words",
    [("--since", "2026-05-18"), ("--until", "2026-04-30"), ("--since", "yesterday"), ("--by", "phone")],
)
def test_days_and_groups_that_are_none_are_refused_in_a_sentence(world: ChatWorld, words: tuple[str, ...]) -> None:
    result = run(world, *words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
