"""The product as its operator runs it: processes of the shipped command that are started, killed and started again."""

import json
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg
from tests.fakes.gemini import FakeGemini
from tests.fakes.gemini.scenes import Director
from tests.fakes.ports import at_own_port, own_port
from tests.fakes.program import COMMAND, environ

from adapters.local.postgres import Postgres
from adapters.local.processes import spawn, stop, until
from adapters.local.programs import answers
from adapters.local.valkey import Valkey

HOST = "127.0.0.1"
PATIENCE = 60.0
FINAL = ("complete", "failed", "cancelled")
_NUMBERS = count()

Json = dict[str, Any]


class Process:
    """`gemini-backend <name>` in a session of its own, its log in a file. It cannot outlive the tests."""

    def __init__(self, name: str, environ: dict[str, str], log: Path) -> None:
        self.name = name
        self.environ = environ
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it does its work."""
        began = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = spawn(
                [*COMMAND, self.name],
                last_word=signal.SIGKILL,
                output=output,
                environ=self.environ,
                folder=self.log.parent,
            )
        until(lambda: self.ended or self.ready(began), within=PATIENCE, every=0.05)
        assert self.ready(began), self.log.read_text()

    def ready(self, began: int) -> bool:
        return b'"worker ready"' in self.log.read_bytes()[began:]

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """`kill -9`, with whatever it started."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def send(self, which: signal.Signals) -> None:
        """A signal to the process and to whatever it started."""
        if self._process is not None and not self.ended:
            os.killpg(self._process.pid, which)

    def ask_to_stop(self) -> None:
        """SIGTERM, as an orchestrator sends it: to the process alone."""
        assert self._process is not None
        self._process.terminate()

    def wait(self, within: float) -> int:
        """Its exit code; `TimeoutExpired` if it takes longer."""
        assert self._process is not None
        return self._process.wait(within)

    def close(self) -> None:
        if self._process is not None:
            self.send(signal.SIGCONT)
            stop(self._process, signal.SIGTERM, within=30)
            self.kill()

    def lines(self) -> list[Json]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


class Api(Process):
    """`gemini-backend serve`."""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.environ['PORT']}"

    def ready(self, began: int) -> bool:
        return answers(HOST, int(self.environ["PORT"]), "/healthz/")


@dataclass
class Installation:
    """Servers of our own, a fake Gemini, and any number of processes with the same settings."""

    folder: Path
    postgres: Postgres
    valkey: Valkey
    gemini: FakeGemini
    settings: dict[str, str]
    processes: list[Process] = field(default_factory=list)

    def api(self, **settings: str) -> Api:
        """Another API process, ready."""
        api = Api("serve", self._environ(PORT=str(own_port()), **settings), self._log("serve"))
        self.processes.append(api)
        api.start()
        return api

    def worker(self, **settings: str) -> Process:
        """Another worker, ready."""
        worker = Process("worker", self._environ(**settings), self._log("worker"))
        self.processes.append(worker)
        worker.start()
        return worker

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """A command that ends by itself."""
        return subprocess.run(
            [*COMMAND, *command],
            env=self._environ(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def promote(self, user: "User") -> "User":
        """To the plan pro, without a payment."""
        self.ask("UPDATE users SET plan = 'pro' WHERE id = %s RETURNING id", user.me()["id"])
        return user

    def ask(self, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the database, for what no call of the API tells."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    def said(self) -> str:
        """All that all processes have logged."""
        return "".join(process.log.read_text() for process in self.processes)

    def close(self) -> None:
        for process in self.processes:
            process.close()

    def _environ(self, **settings: str) -> dict[str, str]:
        return environ(**self.settings | settings)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}-{len(self.processes)}.log"


@contextmanager
def installation(director: Director, **settings: str) -> Iterator[Installation]:
    """With its servers up and its database migrated, and no process running yet."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="gemini-backend-")))
        folder.chmod(0o755)  # the servers run as a user of their own
        servers = at_own_port(Postgres(folder, durable=False)), at_own_port(Valkey(folder, durable=False))
        for server in servers:
            closing.callback(server.kill)
            server.start()
        gemini = closing.enter_context(FakeGemini(director=director))
        made = Installation(folder, *servers, gemini, _common(folder, *servers, gemini) | settings)
        closing.callback(made.close)
        migrated = made.run("migrate")
        assert migrated.returncode == 0, migrated.stderr
        yield made


def _common(folder: Path, postgres: Postgres, valkey: Valkey, gemini: FakeGemini) -> dict[str, str]:
    plans = folder / "plans.toml"
    plans.write_text("[basic]\ndaily_messages = 5\n[pro]\ndaily_messages = 100_000\n")
    return {
        "DATABASE_URL": postgres.url,
        "REDIS_URL": valkey.url,
        "GEMINI_API_KEY": gemini.key,
        "GEMINI_BASE_URL": gemini.url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "PUBLIC_URL": f"http://{HOST}",
        "DATA_DIR": str(folder),
        "PLANS": str(plans),
        "LOG_FORMAT": "json",
        "ACCESS_TTL": "3600",
        "OTP_SENDS_PER_PREFIX_HOUR": "100000",
    }


def new_number() -> str:
    """Nobody else's so far."""
    return f"+9198{next(_NUMBERS):08d}"


@dataclass(frozen=True)
class User:
    """Somebody signed in, at one of the API processes."""

    http: httpx.Client
    url: str
    token: str

    @classmethod
    def sign_up(cls, http: httpx.Client, url: str) -> "User":
        """All the way from a new number to a token."""
        number = new_number()
        signup = _json(http.post(f"{url}/auth/signup/", json={"mobile_number": number}), 201)
        ask = {"mobile_number": number, "signup_id": signup["signup_id"]}
        sent = _json(http.post(f"{url}/auth/send-otp/", json=ask), 200)
        proof = {"challenge_id": sent["challenge_id"], "otp": sent["otp"]}
        return cls(http, url, _json(http.post(f"{url}/auth/verify-otp/", json=proof), 200)["access"])

    def at(self, api: Api) -> "User":
        """The same user at another process."""
        return replace(self, url=api.url)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        headers["Authorization"] = f"Bearer {self.token}"
        return self.http.request(method, self.url + path, json=body, headers=headers)

    def me(self) -> Json:
        return _json(self.call("GET", "/user/me/"), 200)

    def room(self, **about: str) -> str:
        """The id of a new room."""
        return str(_json(self.call("POST", "/chatroom/", about), 201)["id"])

    def post(self, room: str, text: str, key: str = "") -> httpx.Response:
        """Sends a message, whatever the answer."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.call("POST", f"/chatroom/{room}/message/", {"content": text}, **headers)

    def send(self, room: str, text: str) -> Json:
        """The reply that is promised for an accepted message."""
        reply: Json = _json(self.post(room, text), 202)["reply"]
        return reply

    def read(self, reply: Json, *, wait: int = 0) -> Json:
        """The reply as it is now, or as it is after so many seconds."""
        suffix = f"?wait={wait}" if wait else ""
        return _json(self.call("GET", self._path(reply) + suffix), 200)

    def final(self, reply: Json, *, within: float = PATIENCE) -> Json:
        """The reply when it is final."""
        latest: list[Json] = [reply]

        def ended() -> bool:
            latest.append(self.read(reply, wait=5))
            return latest[-1]["status"] in FINAL

        assert until(ended, within=within), latest[-1]
        return latest[-1]

    def messages(self, room: str) -> list[Json]:
        """All messages of a room, oldest first."""
        found, cursor = [], ""
        while True:
            page = _json(self.call("GET", f"/chatroom/{room}/message/?limit=100{cursor}"), 200)
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def cancel(self, reply: Json) -> httpx.Response:
        return self.call("POST", self._path(reply) + "cancel/")

    def used(self) -> int:
        return int(self.usage()["used_today"])

    def usage(self) -> Json:
        return _json(self.call("GET", "/user/me/usage/"), 200)

    def events(self, reply: Json) -> Iterator[tuple[str, Json]]:
        """The reply's event stream: name and data of each event."""
        return ((name, data) for _, name, data in self.stream(reply))

    def stream(self, reply: Json, *, after: str = "") -> Iterator[tuple[str, str, Json]]:
        """The reply's event stream from the id `after` on: id, name and data of each event."""
        headers = {"Authorization": f"Bearer {self.token}", **({"Last-Event-ID": after} if after else {})}
        with self.http.stream("GET", f"{self.url}{self._path(reply)}stream/", headers=headers) as response:
            response.raise_for_status()
            fields: dict[str, str] = {}
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                fields[name] = value
                if name == "data":
                    yield fields["id"], fields["event"], json.loads(value)

    def _path(self, reply: Json) -> str:
        return f"/chatroom/{reply['chatroom_id']}/message/{reply['id']}/"


def _json(response: httpx.Response, status: int) -> Json:
    if response.status_code != status:
        told = f"{response.status_code}, not {status}: {response.text}"
        raise httpx.HTTPStatusError(told, request=response.request, response=response)
    found: Json = response.json()
    return found
