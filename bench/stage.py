"""The stage that all stand on: a PostgreSQL that syncs to disk, a Valkey, and the same population for each."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from adapters.local.postgres import Postgres
from adapters.local.processes import free_port
from adapters.local.valkey import Valkey
from adapters.persistence import engine as engines
from adapters.persistence.migrate import migrate

USERS, ROOMS_EACH = 1_000, 5
ROOMS = USERS * ROOMS_EACH
DAILY_LIMIT = 1_000_000_000
# Ids are numbers dressed as UUIDv7s, so that a script of pgbench can compute them too.
USER_ID, ROOM_ID = "01900000-0000-7000-8000-", "01900000-0000-7000-9000-"

POPULATION = f"""
    INSERT INTO users (id, mobile_number, plan, created_at)
        SELECT ('{USER_ID}' || lpad(to_hex(n), 12, '0'))::uuid, '+1' || n, 'pro', now()
        FROM generate_series(1, {USERS}) n;
    INSERT INTO chatrooms
        (id, user_id, title, system_instruction, model, created_at, updated_at)
        SELECT ('{ROOM_ID}' || lpad(to_hex(n), 12, '0'))::uuid,
            ('{USER_ID}' || lpad(to_hex((n - 1) / {ROOMS_EACH} + 1), 12, '0'))::uuid,
            'Room ' || n, '', 'gemini-3.8-flash', now(), now()
        FROM generate_series(1, {ROOMS}) n;
    INSERT INTO daily_usage (user_id, day, used)
        SELECT id, day, 0 FROM users, generate_series(current_date, current_date + 1, interval '1 day') day;
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is. `home` is open to every user; what is in it is thrown away at the end."""

    home: Path
    postgres: Postgres
    redis_url: str

    def database(self, name: str) -> str:
        """The URL of one of its databases."""
        return make_url(self.postgres.url).set(database=name).render_as_string(hide_password=False)

    def populated(self, name: str) -> str:
        """A migrated database of this name, with all users and rooms and no message; its URL."""
        url = self.empty(name)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(POPULATION)
            connection.execute("VACUUM ANALYZE")
        return url

    def empty(self, name: str) -> str:
        """A migrated database of this name; its URL."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = self.database(name)
        engine = engines.create(url, pool_size=1)
        migrate(engine)
        engine.dispose()
        return url


@contextmanager
def standing() -> Iterator[Stage]:
    """The servers, for as long as this goes on, with everything on the disk that holds the temporary files."""
    with tempfile.TemporaryDirectory(prefix="gemini-backend-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        postgres, valkey = Postgres(home), Valkey(home)
        try:
            postgres.start()
            valkey.start()
            yield Stage(home, postgres, valkey.url)
        finally:
            valkey.stop()
            postgres.stop()


def user_id(room: int) -> str:
    """Who owns the room of this number (1 to `ROOMS`)."""
    return f"{USER_ID}{(room - 1) // ROOMS_EACH + 1:012x}"


def room_id(room: int) -> str:
    """The room of this number."""
    return f"{ROOM_ID}{room:012x}"


def any_port() -> int:
    """A port of loopback on which nobody listens."""
    port = free_port(0)
    assert port
    return port


def environment(**settings: str) -> Mapping[str, str]:
    """Ours without any setting of the product, and with these."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    root = Path(__file__).parent.parent
    return kept | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"} | settings
