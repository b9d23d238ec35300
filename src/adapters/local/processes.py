"""Child processes that cannot outlive us, the user they run as, and the folders that user can reach."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO

from adapters.local import bound
from gemini_core.errors import Unavailable

LOOPBACK = "127.0.0.1"
SYSTEM_FOLDER = Path("/var/lib/gemini-backend")
LOG_LIMIT = 10 * 2**20


class LocalFault(Unavailable):
    """Something on this machine is in the way; the detail says in one sentence what and where."""

    code = "local-fault"


@dataclass(frozen=True, slots=True)
class Account:
    """The user a server runs as. PostgreSQL refuses root, and root is more than Valkey needs."""

    uid: int
    gid: int

    @classmethod
    def for_servers(cls) -> "Account":
        """Ourselves; `nobody` when we are root."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    @property
    def is_other(self) -> bool:
        return self.uid != os.geteuid()

    def reaches(self, path: Path) -> bool:
        """Whether every folder above `path` lets this account pass."""
        return not self.is_other or all(parent.stat().st_mode & 0o001 for parent in path.absolute().parents)


def spawn(
    command: Sequence[str | Path],
    *,
    last_word: signal.Signals,
    account: Account | None = None,
    output: IO[bytes] | int | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own (the terminal's Ctrl-C is ours alone to pass on).

    It gets `last_word` from the kernel when the *thread* that called this ends: call it from one that stays.
    """
    account = account or Account(os.geteuid(), os.getegid())
    bound_to_us = [str(word) for word in (os.getpid(), int(last_word), account.uid, account.gid)]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", bound.__file__, *bound_to_us, *(str(word) for word in command)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        env=environ,
        cwd=folder,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[bytes], how: signal.Signals, *, within: float) -> None:
    """Asks a child to end; after `within` seconds makes it."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(ready: Callable[[], bool], *, within: float, every: float = 0.02) -> bool:
    """Waits for an outside thing that sends no word of its own. False: it did not come `within` so many seconds."""
    end = monotonic() + within
    while not ready():
        if monotonic() > end:
            return False
        sleep(every)
    return True


def opened(folder: Path) -> Path:
    """The folder, made if missing, with every user allowed to look into it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    return folder


def data_folder_for(account: Account, wanted: Path) -> Path:
    """The folder `wanted`, made if missing and owned by `account`.

    Where `account` cannot reach it, `wanted` becomes a link to a folder of its own under /var/lib.
    """
    with writing(wanted):
        if wanted.is_symlink() and not wanted.exists():
            wanted.unlink()
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if not wanted.is_symlink() and not account.reaches(wanted):
            elsewhere = opened(SYSTEM_FOLDER) / f"{wanted.name}-{secrets.token_hex(8)}"
            if wanted.exists():
                shutil.move(wanted, elsewhere)
            else:
                elsewhere.mkdir()
            wanted.symlink_to(elsewhere)
        wanted.mkdir(exist_ok=True)
        folder = wanted.resolve()
        folder.chmod(0o700)
        if account.is_other and folder.stat().st_uid != account.uid:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, account.uid, account.gid, follow_symlinks=False)
    return folder


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failure to write into one sentence."""
    try:
        yield
    except OSError as error:
        raise LocalFault(f"DATA_DIR: cannot write to {path}: {error.strerror or error}.") from error


def kept_secret(path: Path) -> str:
    """The password in the file, made at the first call; only its owner can read it."""
    with writing(path):
        if not path.exists() or not path.stat().st_size:
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(24))
        return path.read_text().strip()


def kept_port(path: Path) -> int:
    """A free loopback port: the one of the last time where it is still free."""
    with writing(path):
        last = int(path.read_text()) if path.exists() else 0
        port = next(port for port in (free_port(last), free_port(0)) if port)
        path.write_text(f"{port}\n")
    return port


def free_port(wanted: int) -> int | None:
    """`wanted` if nobody listens on it, any free one for 0, None if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError:
            return None
        return int(probe.getsockname()[1])


def open_log(path: Path) -> IO[bytes]:
    """Appends to a server's log; one that grew too big starts anew."""
    with writing(path):
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.unlink()
        return path.open("ab")
