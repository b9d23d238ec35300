"""The small API served by Granian, for tests from outside: `python -m tests.fakes.house_server PORT [THREADS]`.

Beside the house's routes it counts the streams that are open, and says when one was let go of.
"""

import sys
import threading
from collections.abc import Iterator
from time import sleep

import falcon
from tests.fakes import house

from adapters import logs
from adapters.http import bodies, server
from adapters.http.app import assemble
from adapters.http.describing import describe
from adapters.http.events import Event
from adapters.http.routing import Route, Topic
from gemini_core.errors import Unavailable

OPEN: list[int] = []


class Ticks:
    """A tick every 50 ms, for as long as anybody listens."""

    def __init__(self) -> None:
        self._number = 0
        OPEN.append(1)

    def __iter__(self) -> Iterator[Event | None]:
        return self

    def __next__(self) -> Event | None:
        sleep(0.05)
        self._number += 1
        return Event(str(self._number), "tick", {})

    def close(self) -> None:
        if OPEN:
            OPEN.pop()


class Open:
    @describe("Open streams", answers={200: None}, signed_in=False)
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.data = bodies.write({"open": len(OPEN), "threads": threading.active_count()})


def asked_for() -> tuple[int, int]:
    """Port and threads."""
    port, *threads = map(int, sys.argv[1:])
    return port, threads[0] if threads else 64


def api() -> object:
    """The WSGI application of one worker process."""
    logs.setup("json", "info")
    edge = house.edge(stopping=server.stop_signal(), trusted_proxies=1, threads=asked_for()[1])
    return assemble((*house.house(edge, source=Ticks), Topic("Test", (Route("/open/", Open()),))), edge)


if __name__ == "__main__":
    port, threads = asked_for()
    try:
        server.serve(f"{house.__name__}_server:api", host="127.0.0.1", port=port, processes=1, threads=threads)
    except Unavailable as error:
        sys.exit(str(error))
