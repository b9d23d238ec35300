"""`gemini-backend dev`, as `./run` starts it: everything comes up, is kept up, and goes away."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from httpx import Client
from tests.fakes.ports import own_port
from tests.fakes.program import COMMAND, environ
from tests.fakes.system import User

from adapters.local.processes import until
from adapters.local.programs import answers

PARTS = ("postgres -D", "valkey-server", "stripe_sandbox", "main() worker", "main() serve")


class Dev:
    """A running `gemini-backend dev` with its lines so far."""

    def __init__(self, folder: Path) -> None:
        self.port = own_port()
        self.environ = environ(DATA_DIR=str(folder / "data"), PORT=str(self.port))
        self.process = subprocess.Popen(
            [*COMMAND, "dev"], env=self.environ, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []

    def read_until(self, words: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return
        pytest.fail(f"ended without saying {words!r}:\n{''.join(self.lines)}")

    def ready(self) -> bool:
        return answers("127.0.0.1", self.port, "/readyz/")

    def end(self, how: signal.Signals) -> int:
        """Reads what it still says, so that it never waits for a reader."""
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=60)
        self.lines.append(rest)
        return self.process.returncode


def descendants(pid: int) -> dict[int, str]:
    """Command lines of all processes below this one, by process id."""
    found: dict[int, str] = {}
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found |= {child: command} | descendants(child)
    return found


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextmanager
def running(folder: Path) -> Iterator[Dev]:
    everything = Dev(folder)
    try:
        everything.read_until("Ready after")
        yield everything
    finally:
        if everything.process.poll() is None:
            everything.end(signal.SIGTERM)


@pytest.fixture
def dev(open_folder: Path) -> Iterator[Dev]:
    """One that the test may end."""
    with running(open_folder) as everything:
        yield everything


@pytest.fixture(scope="module")
def standing(module_open_folder: Path) -> Iterator[Dev]:
    """One that the tests of this file share."""
    with running(module_open_folder) as everything:
        yield everything


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_everything_starts_and_a_signal_ends_it_without_a_rest(dev: Dev, how: signal.Signals) -> None:
    assert dev.ready()
    below = descendants(dev.process.pid)
    for program in PARTS:
        assert any(program in command for command in below.values()), below

    assert dev.end(how) == 0

    assert [pid for pid in below if not ended(pid)] == []
    assert "Traceback" not in "".join(dev.lines)


def test_a_killed_supervisor_leaves_nothing_behind_and_is_no_obstacle_to_the_next(dev: Dev, open_folder: Path) -> None:
    below = descendants(dev.process.pid)
    dev.end(signal.SIGKILL)
    assert until(lambda: all(ended(pid) for pid in below), within=60), [below[pid] for pid in below if not ended(pid)]

    with running(open_folder) as following:
        assert following.ready()


def test_whatever_dies_is_started_again_and_that_is_said(standing: Dev) -> None:
    for program in PARTS:
        victim = next(pid for pid, command in descendants(standing.process.pid).items() if program in command)
        os.kill(victim, signal.SIGKILL)
        standing.read_until("killed by SIGKILL): starting it again.")
        standing.read_until("is back.")
    assert until(standing.ready, within=60)


def test_a_second_supervisor_of_the_same_data_is_refused(standing: Dev) -> None:
    told = run("dev", **standing.environ)
    assert told == (1, f"DATA_DIR: another `gemini-backend dev` runs on {standing.environ['DATA_DIR']} already.")


def test_a_second_api_beside_the_first_finds_the_same_servers_and_takes_the_same_tokens(standing: Dev) -> None:
    port = own_port()
    with subprocess.Popen([*COMMAND, "serve"], env=standing.environ | {"PORT": str(port)}) as second, Client() as http:
        try:
            assert until(lambda: second.poll() is None and answers("127.0.0.1", port, "/readyz/"), within=60)
            user = User.sign_up(http, f"http://127.0.0.1:{standing.port}")
            assert replace(user, url=f"http://127.0.0.1:{port}").me() == user.me()
        finally:
            second.terminate()


def test_what_is_set_counts_more_than_what_runs_beside(standing: Dev) -> None:
    told = run("migrate", **standing.environ, DATABASE_URL="postgresql://u@127.0.0.1:1/elsewhere")
    assert told == (1, "The database cannot be reached right now.")


def run(command: str, **variables: str) -> tuple[int, str]:
    """Exit code and what was said, in one line."""
    done = subprocess.run(
        [*COMMAND, command], env=environ(**variables), capture_output=True, text=True, check=False, timeout=60
    )
    said = (done.stdout + done.stderr).strip()
    assert "\n" not in said, said
    return done.returncode, said.removeprefix("gemini-backend: ")


def test_a_wrong_setting_stops_the_start_with_one_sentence() -> None:
    assert run("dev", APP_ENV="staging") == (2, "APP_ENV must be development or production, not 'staging'.")


def test_a_taken_port_stops_the_start_with_one_sentence(open_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = run("dev", PORT=str(port), DATA_DIR=str(open_folder / "data"))
    assert told == (1, f"PORT: the API cannot listen on 127.0.0.1:{port}: Address already in use.")


def test_a_command_that_finds_no_servers_says_what_is_missing(open_folder: Path) -> None:
    home = open_folder / "data"
    told = run("migrate", DATA_DIR=str(home))
    assert told == (1, f"DATABASE_URL is not set, and no `gemini-backend dev` runs on {home}.")


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_an_address_of_another_machine_stops_the_start_with_one_sentence(open_folder: Path, command: str) -> None:
    servers = {"DATABASE_URL": "postgresql:///none", "REDIS_URL": "redis://127.0.0.1:1"}
    told = run(command, HOST="192.0.2.9", PORT="8123", DATA_DIR=str(open_folder / "data"), **servers)
    assert told == (1, "HOST: the API cannot listen on 192.0.2.9:8123: Cannot assign requested address.")
