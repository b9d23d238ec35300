"""The examples run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
WITHOUT_PACKAGES = """
import sys, runpy
sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[2], run_name="__main__")
"""
# Tells in the end whether a thread is left.
ALONE = """
import threading
me, *others = threading.enumerate()
for other in others:
    other.join(10)
print(threading.enumerate() == [me])
"""


def run(program: Path, then: str = "") -> list[str]:
    """What it prints, and what is asked `then`. It has the standard library and nothing else."""
    command = [sys.executable, "-I", "-S", "-c", WITHOUT_PACKAGES + then, str(HOME / "src"), str(program)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert told.stderr == ""
    return told.stdout.splitlines()


def test_a_conversation_with_a_model_of_ones_own_needs_nothing_but_the_standard_library() -> None:
    *lines, alone = run(HOME / "examples/embed.py", ALONE)
    assert lines[1::3] == ["parrot: Polly! wants! tea! ", "parrot: with! milk! "]
    assert lines[2::3] == ["heard:  message.completed"] * 2
    assert alone == "True"


@pytest.mark.parametrize(
    ("page", "prints"),
    [("embedding.md", ["Leaves, and hot water."]), ("events.md", ["message.completed model stop"])],
)
def test_the_examples_of_a_page_run_as_they_stand(page: str, prints: list[str], tmp_path: Path) -> None:
    example = re.findall(r"^```python\n(.*?)^```$", (HOME / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)[-1]
    program = tmp_path / "example.py"
    program.write_text(example)
    assert run(program) == prints
