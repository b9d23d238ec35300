"""The whole product as processes: API processes and a worker on real servers; the Stripe sandbox runs in this one."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any, LiteralString, TypeVar
from urllib.parse import urlsplit

import httpx
import psycopg
import redis
from tests.fakes.ports import own_port
from tests.fakes.program import COMMAND, environ

from adapters.local.processes import spawn, stop, until
from adapters.local.programs import answers
from adapters.local.stripe_sandbox.server import Sandbox
from adapters.local.stripe_sandbox.shelf import PRO_PRICE, Thing

T = TypeVar("T")
SECRET = "whsec_of_the_test"
NUMBERS = count(2_025_550_100)


@dataclass
class User:
    """Somebody who is signed in, at one API process or another."""

    number: str
    headers: dict[str, str]


@dataclass
class Estate:
    """What runs, and where."""

    apis: list[str]
    sandbox: Sandbox
    environ: dict[str, str]
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=40))

    def call(self, method: str, path: str, user: User | None = None, *, api: int = 0, **more: Any) -> httpx.Response:
        """A call at one of the API processes."""
        headers = {**(user.headers if user else {}), **more.pop("headers", {})}
        return self.client.request(method, f"{self.apis[api]}{path}", headers=headers, **more)

    def sign_in(self) -> User:
        """A new user, by code."""
        number = f"+1{next(NUMBERS)}"
        self.call("POST", "/auth/signup/", json={"mobile_number": number})
        sent = self.call("POST", "/auth/send-otp/", json={"mobile_number": number})
        sent.raise_for_status()
        told = {"otp": sent.json()["otp"], "challenge_id": sent.json()["challenge_id"]}
        answer = self.call("POST", "/auth/verify-otp/", json=told)
        answer.raise_for_status()
        return User(number, {"Authorization": f"Bearer {answer.json()['access']}"})

    def checkout(self, user: User) -> str:
        """The page where the user pays."""
        answer = self.call("POST", "/subscribe/pro/", user)
        assert answer.status_code == 201, answer.text
        url: str = answer.json()["checkout_url"]
        return url

    def status(self, user: User, api: int = 0) -> dict[str, Any]:
        """The user's plan as the API tells it."""
        answer = self.call("GET", "/subscription/status/", user, api=api)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def rows(self, query: LiteralString) -> int:
        """What the query counts."""
        with psycopg.connect(self.environ["DATABASE_URL"]) as connection:
            found = connection.execute(query).fetchone()
            assert found is not None
            return int(found[0])

    def unfinished(self) -> int:
        """Events and looks at Stripe that are still to be done."""
        waiting = "SELECT count(*) FROM billing_events WHERE state = 'received'"
        jobs = "SELECT count(*) FROM jobs WHERE kind IN ('billing_sync', 'billing_event')"
        return self.rows(waiting) + self.rows(jobs)

    def quiet(self) -> None:
        """Everything that Stripe sent has been taken, and every look it led to has been written."""
        eventually(self._under_way, (0).__eq__)

    def at_stripe(self, kind: str, **where: Any) -> list[Thing]:
        """Things of this kind, with these fields, newest first."""
        with self.sandbox.shelf.lock:
            return list(self.sandbox.shelf.all(kind, **where))

    def healthy(self) -> bool:
        """Every API process answers."""
        return all(answers("127.0.0.1", urlsplit(api).port or 0, "/healthz/") for api in self.apis)

    def scheduled(self) -> bool:
        """The worker has done what it does again and again for the first time, and nothing else is promised."""
        query = "SELECT (count(*) > 0 AND bool_and(leased_until IS NULL AND due_at > now()))::int FROM jobs"
        return bool(self.rows(query))

    def calm(self) -> "Estate":
        """Stripe answers and tells as it should, and everything that it told is done."""
        controls = self.sandbox.controls
        controls.pull("faults", {"count": 0})
        controls.pull("release", {})
        controls.pull("deliveries", {"mode": "normal", "form": "snapshot"})
        eventually(self._hurried, (0).__eq__)
        return self

    def anew(self) -> "Estate":
        """For users to come, everything is as if it had just been started."""
        self.calm()
        self.sandbox.shelf.empty()
        self.sandbox.shelf.offset = 0
        with psycopg.connect(self.environ["DATABASE_URL"]) as connection:
            connection.execute("TRUNCATE billing_events, billing_flags")
        with redis.Redis.from_url(self.environ["REDIS_URL"]) as client:
            client.flushall()
        return self

    def _hurried(self) -> int:
        """What is unfinished; a job that rests because Stripe was away rests no longer."""
        with psycopg.connect(self.environ["DATABASE_URL"]) as connection:
            connection.execute("UPDATE jobs SET due_at = now() WHERE kind IN ('billing_sync', 'billing_event')")
        return self._under_way()

    def _under_way(self) -> int:
        """What is unfinished is looked for before and after: an event may have arrived between two looks."""
        return self.unfinished() + self.sandbox.deliveries.waiting() + self.unfinished()

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`gemini-backend`, to its end."""
        return subprocess.run(
            [*COMMAND, *arguments], env=self.environ, capture_output=True, text=True, check=False, timeout=60
        )

    def cli(self, *arguments: str, expect: int = 0) -> str:
        """What `gemini-backend` prints."""
        done = self.run(*arguments)
        assert done.returncode == expect, done.stderr + done.stdout
        return done.stdout


def eventually(look: Callable[[], T], wanted: Callable[[T], bool], *, within: float = 45.0) -> T:
    """What is seen as soon as it is as wanted; fails with what was seen last."""
    end = monotonic() + within
    while not wanted(seen := look()):
        assert monotonic() < end, f"still {seen!r}"
        sleep(0.05)
    return seen


@contextmanager
def estate(folder: Path, database_url: str, redis_url: str, *, apis: int = 1, **more: str) -> Iterator[Estate]:
    """Everything up and answering, with `more` settings; nothing left afterwards."""
    ports = [own_port() for _ in range(apis)]
    with ExitStack() as stack:
        sandbox = stack.enter_context(
            Sandbox(port=0, webhook_url=f"http://127.0.0.1:{ports[0]}/webhook/stripe/", webhook_secret=SECRET)
        )
        settings = {
            "DATA_DIR": str(folder / "data"),
            "SECRET_KEY": "0123456789abcdef" * 4,
            "PUBLIC_URL": f"http://127.0.0.1:{ports[0]}",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "STRIPE_BASE_URL": sandbox.url,
            "STRIPE_SECRET_KEY": "sk_test_sandbox_estate",
            "STRIPE_WEBHOOK_SECRET": f"{SECRET},whsec_next",
            "STRIPE_PRO_PRICE_ID": PRO_PRICE,
            "WORKER_THREADS": "16",
            "API_THREADS": "64",
            "LOG_LEVEL": "warning",
            "LOG_FORMAT": "json",
            **more,
        }
        (folder / "data").mkdir()
        log = stack.enter_context((folder / "log").open("wb"))
        for port in ports:
            stack.enter_context(_running(["serve"], environ(**settings, PORT=str(port)), log))
        stack.enter_context(_running(["worker"], environ(**settings), log))
        running = Estate([f"http://127.0.0.1:{port}" for port in ports], sandbox, environ(**settings))
        stack.callback(running.client.close)
        assert until(lambda: running.healthy() and running.scheduled(), within=60), (folder / "log").read_text()[-3000:]
        yield running


@contextmanager
def _running(command: list[str], surroundings: dict[str, str], log: IO[bytes]) -> Iterator[None]:
    process = spawn([*COMMAND, *command], last_word=signal.SIGKILL, output=log, environ=surroundings)
    try:
        yield
    finally:
        stop(process, signal.SIGTERM, within=20)
