"""Ports for programs that are told where to listen, and for servers that must come back to where they were."""

import os
import secrets
from itertools import count
from typing import TypeVar

from adapters.local.processes import free_port
from adapters.local.server import Server

ServerT = TypeVar("ServerT", bound=Server)

# Below those that the kernel hands out to whoever asks for any; for each process of a run its own 2,000, and where they
# begin is drawn by lot, as there may be another run beside this one.
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw-1").removeprefix("gw")) + 1
_PORTS = count(10_000 + 2_000 * _PROCESS + secrets.randbelow(1_800))


def own_port() -> int:
    """Nobody listens there, and nobody else is given it before the program listens, or while it is away."""
    return next(port for port in _PORTS if free_port(port))


def at_own_port(server: ServerT) -> ServerT:
    """The server, which has not been started before, with such a port for its own."""
    server.folder.mkdir(parents=True)
    (server.folder / "port").write_text(f"{own_port()}\n")
    return server
