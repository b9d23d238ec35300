"""The API is as it describes itself: Schemathesis asks of every operation what its description allows, and what not.

Every answer must be one that the description has, also to nonsense, and none may be a 500. Here the requests are those
at the edges of every schema, the same each time; `make fuzz` adds many by chance, and sequences of calls.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.estate import Estate, estate

ROOT = Path(__file__).parents[2]
SIGNED_IN = {"SCHEMATHESIS_HOOKS": "tests.fakes.signed_in", "PYTHONPATH": str(ROOT)}
# Not whether what fits the schemas is accepted: they do not tell which numbers, codes and tokens exist.
EXCLUDED = "positive_data_acceptance,ensure_resource_availability,use_after_free,object_level_authorization"
EDGES = ("--phases", "coverage", "--generation-deterministic")
BY_CHANCE = ("--phases", "coverage,fuzzing,stateful", "--max-examples")


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, module_postgres_url: str, module_valkey_url: str
) -> Iterator[Estate]:
    with estate(tmp_path_factory.mktemp("estate"), module_postgres_url, module_valkey_url) as running:
        yield running


@pytest.mark.timeout(0 if "FUZZ" in os.environ else 300)
@pytest.mark.parametrize("environ", [{}, SIGNED_IN], ids=["a stranger", "somebody signed in"])
def test_every_answer_is_one_that_is_described(shop: Estate, tmp_path: Path, environ: dict[str, str]) -> None:
    requests = (*BY_CHANCE, os.environ["FUZZ"]) if "FUZZ" in os.environ else EDGES
    command = ["run", f"{shop.apis[0]}/openapi.json", "--checks", "all", "--exclude-checks", EXCLUDED, *requests]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *command, "--continue-on-failure", "--no-color"],
        env=os.environ | environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Test cases:" in done.stdout
