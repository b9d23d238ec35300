"""The command as a shell runs it: odd arguments, outputs that cannot be written to, a Ctrl-C at any time."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.fakes.program import COMMAND, environ

# As if Ctrl-C were pressed while the product is being loaded.
INTERRUPTED = """
import sys
class Pressed:
    def find_spec(self, name, *_):
        if name == "adapters.cli.main":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Pressed())
from adapters.wiring import main
main()
"""


def run(*words: str | bytes, before: str = "", **settings: str) -> "subprocess.CompletedProcess[bytes]":
    """The command, with `before` it what a shell does with its streams."""
    command = ["/bin/sh", "-c", f'exec "$@" {before}', "sh", *COMMAND, *words]
    return subprocess.run(command, env=environ(**settings), capture_output=True, check=False, timeout=30)


@pytest.mark.parametrize(
    "words",
    [
        ("users", "show", b"\xff"),
        ("users", "create", "+14155552671", "--name", b"a\xed\xa0\xbd"),
        ("audit", "list", b"--event=\xff\xfe"),
        ("subscriptions", "show", b"\xc3"),
        (b"\xff",),
    ],
)
def test_arguments_that_are_no_text_are_refused_in_a_sentence(words: tuple[str | bytes, ...]) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.endswith(b"Error: An argument is not text in UTF-8.\n")
    assert b"Traceback" not in done.stderr


def test_arguments_are_text_whatever_the_locale() -> None:
    done = run("né☃", LC_ALL="POSIX", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="utf-8")
    assert done.stderr.decode().endswith("Error: No such command 'né☃'.\n")


def test_what_the_outputs_encoding_lacks_is_written_as_its_number() -> None:
    done = run("users", "list", "--help", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--number +49\\u2026" in done.stdout


def test_a_full_disk_is_told_in_a_sentence() -> None:
    done = run("--help", before=">/dev/full")
    assert (done.returncode, done.stderr) == (1, b"gemini-backend: No space left on device.\n")


@pytest.mark.parametrize("before", [">&-", "<&- >&- 2>&-"])
def test_whoever_closes_the_output_wants_none(before: str, tmp_path: Path) -> None:
    assert run("--help", before=before).returncode == 0
    done = run("migrate", before=before, DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(b"gemini-backend: DATABASE_URL" if "2>" not in before else b"")
    assert b"Traceback" not in done.stderr


def test_ctrl_c_ends_a_command_that_is_still_being_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], env=environ(), capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (1, b"Aborted!\n")
