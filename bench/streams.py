"""How long a chunk of Gemini's takes to the client, while ever more replies stream at the same time.

Real parts, as shipped: a provider over HTTP, a worker, Valkey, one API process, and a socket for each reader. A chunk
holds the instant at which it was sent; the clock is the same for all processes of a machine.
"""

import argparse
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from time import monotonic_ns

from adapters.local.processes import spawn, stop, until
from bench import load
from bench.contestants import COMMAND, START_WITHIN, Api, our_environment, our_tokens
from bench.stage import Stage, any_port, room_id, standing, user_id

OPEN = (1, 100, 1_000)
# Chunks a second that the provider sends in all, and at the most per reply.
RATE, RATE_EACH = 400, 10
SECONDS = 20
# Streams that begin in a second, until all are open: a message costs more than a chunk.
BEGIN = 25
STAMP = re.compile(rb"#(\d+)")
PATIENCE = 60.0


@dataclass(slots=True)
class Reader:
    """One client's socket, and when which chunk came over it: nanoseconds sent, nanoseconds seen."""

    connection: socket.socket
    rest: bytes = b""
    seen: list[tuple[int, int]] = field(default_factory=list)
    ended: bool = False

    def read(self) -> None:
        news, now = self.connection.recv(1 << 18), monotonic_ns()
        if not news:
            raise ConnectionError(f"a stream was cut: {self.rest[-500:]!r}")
        *events, self.rest = (self.rest + news).split(b"\n\n")
        for event in events:
            if b"event: delta" in event:
                self.seen += [(int(stamp), now) for stamp in STAMP.findall(event)]
            self.ended = self.ended or b"event: done" in event


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds from the provider to the client; MB of the API process while all streams were open."""

    streams: int
    rate: float
    delays: Sequence[float]
    memory: float


def main() -> None:
    asked = argparse.ArgumentParser(prog="bench/run streams", description=__doc__)
    asked.add_argument("--open", type=int, nargs="+", default=OPEN, help="streams at the same time")
    asked.add_argument("--rate", type=float, default=RATE, help="chunks a second in all")
    asked.add_argument("--seconds", type=float, default=SECONDS)
    options = asked.parse_args()
    with standing() as stage, ExitStack() as running:
        url, port = stage.populated("streams"), any_port()
        gemini = running.enter_context(provider())
        environ = our_environment(
            stage, url, port, GEMINI_API_KEY="bench", GEMINI_BASE_URL=gemini, WORKER_THREADS=str(max(options.open) + 24)
        )
        api = running.enter_context(Api("api", [*COMMAND, "serve"], stage.home, environ, port))
        running.enter_context(worker(stage, environ))
        tokens = our_tokens(url, port)
        idle = resident(api.pid)
        table = [measured(api.pid, port, tokens, each, options.rate, options.seconds) for each in options.open]
    print(f"\nmilliseconds from the provider's chunk to the client's event; {os.cpu_count()} cores for everything\n")
    head = ("streams", "chunks a second", "median", "99 of 100", "the most", "memory of the API process")
    print("| " + " | ".join(head) + " |\n|" + "---:|" * len(head))
    for each in table:
        print("| " + " | ".join(_row(each)) + " |")
    print(f"\nbefore the first stream the API process had {idle:.0f} MB")


def _row(each: Figures) -> list[str]:
    delays = each.delays
    times = (median(delays), quantiles(delays, n=100)[98], max(delays))
    return [f"{each.streams:,}", f"{each.rate:,.0f}", *(f"{time:,.1f}" for time in times), f"{each.memory:,.0f} MB"]


@contextmanager
def provider() -> Iterator[str]:
    """Its address."""
    process = subprocess.Popen([sys.executable, "-m", "bench.provider"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@contextmanager
def worker(stage: Stage, environ: Mapping[str, str]) -> Iterator[None]:
    """`gemini-backend worker`, at work."""
    log = stage.home / "worker.log"
    with log.open("ab") as output:
        process = spawn(
            [*COMMAND, "worker"], last_word=signal.SIGTERM, output=output, environ=environ, folder=stage.home
        )
        try:
            if not until(lambda: b"worker ready" in log.read_bytes(), within=START_WITHIN):
                raise RuntimeError(f"no worker:\n{log.read_text()[-2000:]}")
            yield
        finally:
            stop(process, signal.SIGTERM, within=START_WITHIN)


def measured(api: int, port: int, tokens: Mapping[str, str], streams: int, rate: float, seconds: float) -> Figures:
    """As many messages are sent, each followed by its own reader; what counts is while all of them stream."""
    every = max(streams / rate, 1 / RATE_EACH)
    chunks = round((streams / BEGIN + seconds) / every) + 1
    body = b'{"content": "%.4f %d"}' % (every, chunks)
    requests = [
        load.post(f"/chatroom/{room_id(room)}/message/", body, tokens[user_id(room)], accept="text/event-stream")
        for room in range(1, streams + 1)
    ]
    readers: list[Reader] = []
    memory = 0.0
    for all_open in _followed(port, requests, readers):
        memory = max(memory, resident(api) if all_open else 0)
    assert all(len(reader.seen) == chunks for reader in readers), "a chunk was lost or repeated"
    began = max(reader.seen[0][0] for reader in readers)
    ended = min(reader.seen[-1][0] for reader in readers)
    counted = [(sent, seen) for reader in readers for sent, seen in reader.seen if began < sent <= ended]
    delays = [(seen - sent) / 1e6 for sent, seen in counted]
    return Figures(streams, len(counted) / (ended - began) * 1e9, delays, memory)


def _followed(port: int, requests: Sequence[bytes], readers: list[Reader]) -> Iterator[bool]:
    """Sends one request after another and reads every answer to its end; tells now and then whether all go on."""
    began = told = monotonic_ns()
    reading: dict[int, Reader] = {}
    with select.epoll() as poll:
        while reading or len(readers) < len(requests):
            if len(readers) < min(len(requests), 1 + (monotonic_ns() - began) / 1e9 * BEGIN):
                readers.append(Reader(socket.create_connection(("127.0.0.1", port), PATIENCE)))
                readers[-1].connection.sendall(requests[len(readers) - 1])
                reading[readers[-1].connection.fileno()] = readers[-1]
                poll.register(readers[-1].connection, select.EPOLLIN)
            for number, _ in poll.poll(1 / BEGIN):
                reading[number].read()
                if reading[number].ended:
                    reading.pop(number).connection.close()
            if monotonic_ns() - told > 1e9:
                told = monotonic_ns()
                yield len(reading) == len(requests) and all(reader.seen for reader in readers)


def resident(pid: int) -> float:
    """MB of memory of the process that serves: the largest of those that `pid` has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = max(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in (str(pid), *children))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
