"""The examples run as they stand."""

import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).parents[2]
WITHOUT_PACKAGES = (
    "import sys, runpy; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2], run_name='__main__')"
)


def test_a_conversation_with_a_model_of_ones_own_needs_nothing_but_the_standard_library() -> None:
    command = [sys.executable, "-I", "-S", "-c", WITHOUT_PACKAGES, str(HOME / "src"), str(HOME / "examples/embed.py")]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert told.stderr == ""
    assert told.stdout.splitlines()[1::3] == ["parrot: Polly! wants! tea! ", "parrot: with! milk! "]
    assert told.stdout.splitlines()[2::3] == ["heard:  message.completed"] * 2
