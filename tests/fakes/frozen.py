"""A server that is there and does nothing: its host keeps connections open, and accepts new ones."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adapters.local.server import Server


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """Inside, the server and its children are stopped; afterwards they go on where they were."""
    assert server.process is not None
    server_id = server.process.pid
    # The server first: it then has no new children.
    os.kill(server_id, signal.SIGSTOP)
    children = [int(child) for child in Path(f"/proc/{server_id}/task/{server_id}/children").read_text().split()]
    try:
        for child in children:
            os.kill(child, signal.SIGSTOP)
        yield
    finally:
        for process in (*children, server_id):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)
