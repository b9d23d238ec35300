"""What the embedded servers have in common: to start, to be ready, to stop, to be killed, to start again."""

import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from adapters.local.processes import Account, LocalFault, data_folder_for, open_log, spawn, stop, until

PATIENCE = 60.0
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}


class Server(ABC):
    """A server of our own on loopback, with everything it keeps in `home`/`name`.

    `durable` data survives a crash and is kept; the rest is fast and may be thrown away.
    Start it from a thread that stays: the server ends with it.
    """

    name: ClassVar[str]
    goodbye: ClassVar[signal.Signals]

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = home
        self.durable = durable
        self.account = Account.for_servers()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect; known once it was started, and the same after a restart."""

    @abstractmethod
    def _command(self) -> list[str | Path]:
        """Prepares the data; returns what to execute."""

    @abstractmethod
    def _ready(self) -> bool:
        """Whether clients are served."""

    @property
    def folder(self) -> Path:
        return self.home / self.name

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self._process

    def start(self) -> None:
        """Returns when clients are served; raises `LocalFault`."""
        folder = data_folder_for(self.account, self.folder)
        tries_left = 100
        while not self._started(folder):
            complaint = self._last_complaint()
            tries_left -= 1
            # The port went to somebody else, or what a killed server left behind is still ending.
            if "in use" not in complaint or not tries_left:
                raise LocalFault(f"DATA_DIR: the embedded {self.name} does not start: {complaint} (see {self.log})")

    def stop(self) -> None:
        """Ends it in an orderly way."""
        if self._process is not None:
            stop(self._process, self.goodbye, within=PATIENCE)
            self._process = None

    def kill(self) -> None:
        """What a crash does to it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _started(self, folder: Path) -> bool:
        with open_log(self.log) as log:
            process = self._process = spawn(
                self._command(),
                last_word=self.goodbye,
                account=self.account,
                output=log,
                environ=ENVIRONMENT,
                folder=folder,
            )
        spoke = until(lambda: process.poll() is not None or self._ready(), within=PATIENCE)
        if spoke and process.poll() is None:
            return True
        self.kill()
        return False

    def _last_complaint(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        grave = [line for line in lines[-20:] if "FATAL" in line or "PANIC" in line]
        return (grave or lines or ["it said nothing"])[-1]
