"""What lies between a server on loopback and its clients, and may keep the server's answers to itself."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from urllib.parse import urlsplit

HOST = "127.0.0.1"
AT_A_TIME = 1 << 16


@dataclass
class Relay:
    """`url`: the server's, by way of the relay. `kept`: an answer did not come through."""

    url: str = ""
    kept: Event = field(default_factory=Event)


@contextmanager
def relay(url: str, keeps: Callable[[], object]) -> Iterator[Relay]:
    """To the server of this URL, until the block ends.

    `keeps` is asked whenever the server answers: once it says yes, this answer and all that follow, on whatever
    connection, go nowhere. What clients say is always passed on.
    """
    server = urlsplit(url)
    between = Relay()

    def passes() -> bool:
        if not between.kept.is_set() and keeps():
            between.kept.set()
        return not between.kept.is_set()

    class Passing(BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((server.hostname or HOST, server.port or 0)) as behind:
                asking = Thread(target=_pour, args=(self.request, behind, lambda: True), daemon=True)
                asking.start()
                _pour(behind, self.request, passes)
                asking.join()

    class Listening(ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Listening((HOST, 0), Passing) as listening:
        who = server.netloc.rpartition("@")[0]
        where = f"{HOST}:{listening.server_address[1]}"
        between.url = server._replace(netloc=f"{who}@{where}" if who else where).geturl()
        thread = Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield between
        finally:
            listening.shutdown()
            thread.join()


def _pour(source: socket.socket, sink: socket.socket, passes: Callable[[], bool]) -> None:
    """Until one side has gone; then the other is told."""
    with suppress(OSError):
        while data := source.recv(AT_A_TIME):
            if passes():
                sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
