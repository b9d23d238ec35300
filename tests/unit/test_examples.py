"""The examples run as they stand."""

import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).parents[2]
# Tells in the end whether a thread is left.
WITHOUT_PACKAGES = """
import sys, runpy, threading
sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[2], run_name="__main__")
me, *others = threading.enumerate()
for other in others:
    other.join(10)
print(threading.enumerate() == [me])
"""


def test_a_conversation_with_a_model_of_ones_own_needs_nothing_but_the_standard_library() -> None:
    command = [sys.executable, "-I", "-S", "-c", WITHOUT_PACKAGES, str(HOME / "src"), str(HOME / "examples/embed.py")]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert told.stderr == ""
    *lines, alone = told.stdout.splitlines()
    assert lines[1::3] == ["parrot: Polly! wants! tea! ", "parrot: with! milk! "]
    assert lines[2::3] == ["heard:  message.completed"] * 2
    assert alone == "True"
