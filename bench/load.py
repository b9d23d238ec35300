"""A closed-loop HTTP client that is cheap enough to share two cores with what it measures.

Every connection is kept alive and has one request under way; the next one leaves when the answer is complete.
"""

import gc
import random
import re
import select
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

ACCEPTED = b"202"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PATIENCE = 15.0


@dataclass(slots=True)
class Tally:
    """`in_time` answers of 202 came between warm-up and end, `accepted` in all; every other status is in `refused`."""

    in_time: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def drive(port: int, requests: Sequence[bytes], *, connections: int, seconds: float, warm_up: float) -> Tally:
    """Send random ones of `requests` over that many connections, for `warm_up` and then `seconds`.

    What is under way at the end is waited for, so that the tally tells everything that was stored.
    """
    sockets = {each.fileno(): each for each in (_connected(port) for _ in range(connections))}
    gc.collect()
    gc.disable()
    try:
        return _drive(sockets, requests, seconds=seconds, warm_up=warm_up)
    finally:
        gc.enable()
        for each in sockets.values():
            each.close()


def _drive(sockets: dict[int, socket.socket], requests: Sequence[bytes], *, seconds: float, warm_up: float) -> Tally:
    tally, parts, choose, count = Tally(), dict.fromkeys(sockets, b""), random.random, len(requests)
    poll = select.epoll()
    for number, each in sockets.items():
        poll.register(number, select.EPOLLIN)
        each.sendall(requests[int(choose() * count)])
    begin = perf_counter() + warm_up
    end = begin + seconds
    waiting = len(sockets)
    while waiting:
        now = perf_counter()
        ready = poll.poll(PATIENCE)
        if not ready:
            raise TimeoutError(f"{waiting} requests found no answer in {PATIENCE:.0f} s")
        for number, _ in ready:
            each = sockets[number]
            received = each.recv(65_536)
            if not received:
                raise ConnectionError("a connection was closed that should have been kept alive")
            answer = parts[number] + received
            if not _complete(answer):
                parts[number] = answer
                continue
            parts[number] = b""
            status = answer[9:12]
            if status == ACCEPTED:
                tally.accepted += 1
                tally.in_time += begin <= now < end
            else:
                tally.refused[status.decode()] += 1
            if now < end:
                each.sendall(requests[int(choose() * count)])
            else:
                waiting -= 1
    return tally


def _complete(answer: bytes) -> bool:
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    length = LENGTH.search(answer, 0, head)
    if length is None:
        raise ValueError("an answer without Content-Length")
    return len(answer) >= head + 4 + int(length[1])


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def post(path: str, body: bytes, token: str, *, accept: str = "application/json") -> bytes:
    """A request as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: {accept}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answers(port: int, path: str) -> bool:
    """Somebody answers 200 there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(1024)[9:12] == b"200"
    except OSError:
        return False
