"""`gemini-backend dev`: everything on one machine, started in order, kept alive, stopped in order."""

import fcntl
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EACCES, EADDRINUSE
from pathlib import Path
from time import monotonic, sleep
from types import FrameType

from adapters.local.postgres import Postgres
from adapters.local.processes import LOOPBACK, LocalFault, kept_port, until, writing
from adapters.local.programs import Part, Program, answers, listens
from adapters.local.valkey import Valkey
from adapters.local.welcome import welcome

STABLE = 10.0
LONGEST_PAUSE = 10.0
SANDBOX_PRICE = "price_sandbox_pro"
OUR_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is to run, and where. An empty URL or key is stood in for.

    `program`: the command line of `gemini-backend`; `home`: where the stand-ins keep their data; `model` and `codes`:
    what to tell about the model and about where sign-in codes go; `worker_grace` in seconds.
    """

    program: Sequence[str]
    environ: Mapping[str, str]
    home: Path
    host: str
    port: int
    public_url: str
    database_url: str
    redis_url: str
    stripe_key: str
    model: str
    codes: str
    worker_grace: float

    @property
    def local_host(self) -> str:
        """Where this machine itself reaches the API."""
        return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound


class Stopped(BaseException):
    """Somebody wants us to end."""


def supervise(setup: Setup) -> None:
    """Runs until SIGINT, SIGTERM or SIGHUP; nothing it started is left then. Raises `LocalFault`."""
    parts: list[Part] = []
    with _alone(setup.home), _signals_raising():
        try:
            _start(setup, parts)
            _keep_alive(parts)
        except Stopped:
            _say("\nStopping ...")
        finally:
            for number in OUR_END:
                signal.signal(number, signal.SIG_IGN)
            for part in reversed(parts):
                part.stop()
            _variables(setup.home).unlink(missing_ok=True)


def running(home: Path) -> dict[str, str]:
    """The variables by which further processes join a supervisor's: its stand-ins, and what tokens are issued for."""
    try:
        lines = _variables(home).read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines)


def _start(setup: Setup, parts: list[Part]) -> None:
    began = monotonic()
    # What a killed supervisor left behind is still ending.
    _refuse_taken_port(setup.host, setup.port, patience=15 if _variables(setup.home).exists() else 0)
    made: dict[str, str] = {}

    def begin(part: Part) -> None:
        _say(f"Starting {part.name} ...")
        parts.append(part)
        part.start()

    if not setup.database_url:
        postgres = Postgres(setup.home)
        begin(postgres)
        made["DATABASE_URL"] = postgres.url
    if not setup.redis_url:
        valkey = Valkey(setup.home)
        begin(valkey)
        made["REDIS_URL"] = valkey.url
    if not setup.stripe_key:
        sandbox, keys = _sandbox(setup)
        begin(sandbox)
        made |= keys
    _keep(_variables(setup.home), {**made, "PUBLIC_URL": setup.public_url})
    environ = {**setup.environ, **made}
    _say("Migrating ...")
    Program("migrate", [*setup.program, "migrate"], environ).run()
    worker, grace = [*setup.program, "worker"], setup.worker_grace + 5
    # When we are killed there is nobody to wait for it; what it had is leased, and taken up by the next one.
    begin(Program("worker", worker, environ, grace=grace, last_word=signal.SIGKILL))
    healthy = lambda: answers(setup.local_host, setup.port, "/healthz/")  # noqa: E731
    begin(Program("api", [*setup.program, "serve"], environ, ready=healthy))
    took = monotonic() - began
    _say(welcome(setup.public_url, setup.home, made, model=setup.model, codes=setup.codes, took=took))


def _sandbox(setup: Setup) -> tuple[Program, dict[str, str]]:
    """Stripe's stand-in, with keys made for this run."""
    port = kept_port(setup.home / "stripe-sandbox.port")
    keys = {
        "STRIPE_BASE_URL": f"http://{LOOPBACK}:{port}",
        "STRIPE_SECRET_KEY": f"sk_test_sandbox_{secrets.token_hex(12)}",
        "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(24)}",
        "STRIPE_PRO_PRICE_ID": SANDBOX_PRICE,
    }
    host = f"[{setup.local_host}]" if ":" in setup.local_host else setup.local_host
    command = [sys.executable, "-m", "adapters.local.stripe_sandbox", "--port", str(port)]
    command += ["--webhook-url", f"http://{host}:{setup.port}/webhook/stripe/"]
    command += ["--state", str(setup.home / "stripe-sandbox.json")]
    return Program("stripe", command, {**setup.environ, **keys}, ready=lambda: listens(LOOPBACK, port)), keys


def _keep_alive(parts: list[Part]) -> None:
    """Starts again what ends, after a pause that grows for what ends again and again."""
    started = {part.name: monotonic() for part in parts}
    pauses = dict.fromkeys(started, 0.0)
    while True:
        if all(part.process for part in parts):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        for part in parts:
            code = part.process.poll() if part.process else 1
            if code is not None:
                stable = monotonic() - started[part.name] > STABLE
                pauses[part.name] = 0.0 if stable else min(LONGEST_PAUSE, pauses[part.name] * 2 or 0.5)
                _start_again(part, code, pauses[part.name])
                started[part.name] = monotonic()


def _start_again(part: Part, code: int, pause: float) -> None:
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    _say(f"{part.name} ended ({how}): starting it again.")
    sleep(pause)
    part.stop()
    try:
        part.start()
    except LocalFault as fault:
        _say(fault.detail)
    else:
        _say(f"{part.name} is back.")


def _say(words: str) -> None:
    with suppress(OSError):  # a terminal that is gone is no reason to leave processes behind
        print(words, flush=True)  # noqa: T201


def _variables(home: Path) -> Path:
    return home / "dev.env"


def _keep(path: Path, variables: Mapping[str, str]) -> None:
    with writing(path):
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def _refuse_taken_port(host: str, port: int, *, patience: float) -> None:
    def complaint() -> str:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                at_fault = "PORT" if error.errno in {EADDRINUSE, EACCES} else "HOST"
                return f"{at_fault}: the API cannot listen on {host}:{port}: {error.strerror}."
        return ""

    if not until(lambda: not complaint(), within=patience):
        raise LocalFault(complaint())


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One supervisor for a data folder. The lock goes with the process, however it ends."""
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
        file = (home / "lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalFault(f"DATA_DIR: another `gemini-backend dev` runs on {home.absolute()} already.") from error
        yield


@contextmanager
def _signals_raising() -> Iterator[None]:
    def told(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    before = {number: signal.signal(number, told) for number in OUR_END}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
