"""The real server under hostile input, read from a raw socket."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pytest
from tests.fakes.ports import own_port

ROOT = Path(__file__).parents[2]
HOST = b"Host: api.test\r\n"
JSON = b"Content-Type: application/json\r\n"


def start(port: int, threads: int, out: IO[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.house_server", str(port), str(threads)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        stdout=out,
        stderr=subprocess.STDOUT,
        text=True,
    )


def eventually(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        threading.Event().wait(0.02)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


@contextmanager
def serving(threads: int = 64) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    port = own_port()
    with TemporaryFile("w+") as out:
        process = start(port, threads, out)
        try:
            eventually(lambda: answers(port) or process.poll() is not None)
            assert process.poll() is None
            yield port, process
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as (port, _):
        yield port


class Answer:
    """What came back: the status of the last answer, its headers, and the body."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, self.body = self.body.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1]) if lines[0].startswith("HTTP/") else 0
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}

    @property
    def slug(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        problem = json.loads(self.body)
        assert problem["instance"] == self.headers["x-request-id"]
        assert problem["status"] == self.status
        return str(problem["type"].removeprefix("/problems/"))


def send(port: int, data: bytes) -> Answer:
    """Send raw bytes and read until the server ends the connection, which the request asks for."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        received = b""
        with suppress(OSError):  # the server need not read what it has refused
            connection.sendall(data)
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
        return Answer(received)


def request(method: bytes, target: bytes, headers: bytes = b"", body: bytes = b"") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n" + headers + b"\r\n" + body


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def test_a_good_request_is_answered(port: int) -> None:
    body = b'{"name": "a"}'
    answer = send(port, request(b"POST", b"/things/", JSON + b"Content-Length: %d\r\n" % len(body), body))
    assert (answer.status, json.loads(answer.body)["name"]) == (201, "a")
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_a_chunked_body_is_read(port: int) -> None:
    answer = send(
        port, request(b"POST", b"/things", JSON + b"Transfer-Encoding: chunked\r\n", chunked(b'{"name":', b' "a"}'))
    )
    assert answer.status == 201


def test_expect_100_continue_is_honoured(port: int) -> None:
    headers = JSON + b"Expect: 100-continue\r\nContent-Length: 13\r\n"
    answer = send(port, request(b"POST", b"/things/", headers, b'{"name": "a"}'))
    assert answer.raw.startswith(b"HTTP/1.1 100")
    assert answer.status == 201


def test_a_body_announced_too_large_is_refused_before_it_is_sent(port: int) -> None:
    headers = JSON + b"Expect: 100-continue\r\nContent-Length: 3000000\r\n"
    answer = send(port, request(b"POST", b"/things/", headers))
    assert (answer.status, answer.slug) == (413, "content-too-large")


def test_a_chunked_body_too_large_is_refused_while_it_streams(port: int) -> None:
    body = chunked(*[b"a" * 65536] * 64)
    answer = send(port, request(b"POST", b"/things/", JSON + b"Transfer-Encoding: chunked\r\n", body))
    assert (answer.status, answer.slug) == (413, "content-too-large")


HOSTILE = {
    "not HTTP": b"\x00\x01\x02\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "raw bytes in the path": request(b"GET", b"/\xff\xfe"),
    "a path that is not UTF-8": request(b"GET", b"/%ff%fe"),
    "NUL in the path": request(b"GET", b"/things/%00"),
    "line breaks in the path": request(b"GET", b"/things%0d%0aX-Evil:%20yes"),
    "dots in the path": request(b"GET", b"/things/../../etc/passwd"),
    "NUL in the query": request(b"GET", b"/things/?limit=%00&cursor=%00"),
    "a query that is not UTF-8": request(b"GET", b"/things/?cursor=%ff"),
    "a query of 200 KB": request(b"GET", b"/things/?q=" + b"a" * 200_000),
    "a header of 200 KB": request(b"GET", b"/things/", b"X-Long: " + b"a" * 200_000 + b"\r\n"),
    "a thousand headers": request(b"GET", b"/things/", b"".join(b"X-%d: a\r\n" % i for i in range(1000))),
    "a header that is not text": request(b"GET", b"/things/", b"Authorization: \xff\xfe\r\nAccept: \xff\r\n"),
    "NUL in a header": request(b"GET", b"/things/", b"X-A: a\x00b\r\n"),
    "a header without a colon": request(b"GET", b"/things/", b"nonsense\r\n"),
    "a folded header": request(b"GET", b"/things/", b"X-A: a\r\n b\r\n"),
    "a Content-Length in words": request(b"POST", b"/things/", JSON + b"Content-Length: abc\r\n"),
    "a negative Content-Length": request(b"POST", b"/things/", JSON + b"Content-Length: -1\r\n"),
    "a gigantic Content-Length": request(b"POST", b"/things/", JSON + b"Content-Length: 99999999999999999999999\r\n"),
    "two Content-Lengths": request(b"POST", b"/things/", JSON + b"Content-Length: 1\r\nContent-Length: 2\r\n", b"{}"),
    "both lengths": request(
        b"POST", b"/things/", JSON + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"
    ),
    "a broken chunk": request(b"POST", b"/things/", JSON + b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n"),
    "an unknown encoding": request(b"POST", b"/things/", JSON + b"Transfer-Encoding: gzip\r\n", b"{}"),
    "an unknown method": request(b"NONSENSE", b"/things/"),
    "the method WEBSOCKET": request(b"WEBSOCKET", b"/things/"),
    "the method CONNECT": request(b"CONNECT", b"api.test:443"),
    "OPTIONS for everything": request(b"OPTIONS", b"*"),
    "a whole URL as target": request(b"GET", b"http://evil.test/things/"),
    "no Host": b"GET /things/ HTTP/1.1\r\nConnection: close\r\n\r\n",
    "no body at all": request(b"POST", b"/things/", JSON),
    "an upgrade": request(
        b"GET", b"/things/", b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_hostile_is_an_error_of_ours(port: int, name: str) -> None:
    answer = send(port, HOSTILE[name] + (b"" if b"Connection: close" in HOSTILE[name] else b"\r\n"))
    assert answer.status < 500, answer.raw
    assert b"X-Evil" not in answer.raw
    assert send(port, request(b"GET", b"/healthz/")).status == 200


@pytest.mark.parametrize(
    ("target", "slug"),
    [(b"/things/%00", "not-found"), (b"/%ff%fe", "not-found"), (b"/things/?cursor=%ff", "bad-cursor")],
)
def test_what_reaches_us_is_answered_with_a_problem(port: int, target: bytes, slug: str) -> None:
    assert send(port, request(b"GET", target)).slug == slug


def test_several_forwarded_headers_count_as_one_list(port: int) -> None:
    headers = b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.1.1.1\r\n"
    assert json.loads(send(port, request(b"GET", b"/caller/", headers)).body)["client"]["ip"] == "1.1.1.1"


def test_requests_on_one_connection_are_answered_in_order(port: int) -> None:
    one = b"GET /caller/ HTTP/1.1\r\n" + HOST + b"X-Request-ID: one\r\n\r\n"
    answer = send(port, one + request(b"GET", b"/caller/", b"X-Request-ID: two\r\n"))
    assert re.findall(rb"x-request-id: (\w+)", answer.raw) == [b"one", b"two"]


def test_fifty_requests_at_once_keep_their_ids(port: int) -> None:
    def ask(number: int) -> bool:
        answer = send(port, request(b"GET", b"/caller/", b"X-Request-ID: r-%d\r\n" % number))
        return {answer.headers["x-request-id"], json.loads(answer.body)["request_id"]} == {f"r-{number}"}

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(ask, range(500)))


def open_stream(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.sendall(b"GET /ticks/ HTTP/1.1\r\n" + HOST + b"\r\n")
    received = b""
    while b"event: tick" not in received:
        received += connection.recv(4096)
    assert received.startswith(b"HTTP/1.1 200")
    return connection


def open_streams(port: int) -> int:
    open_now: int = json.loads(send(port, request(b"GET", b"/open/")).body)["open"]
    return open_now


def test_a_client_that_leaves_its_stream_is_noticed(port: int) -> None:
    connection = open_stream(port)
    assert open_streams(port) == 1
    connection.close()
    eventually(lambda: open_streams(port) == 0)


def test_head_of_a_stream_opens_none(port: int) -> None:
    answer = send(port, request(b"HEAD", b"/ticks/"))
    assert (answer.status, answer.body) == (200, b"")
    assert open_streams(port) == 0


def test_sigterm_ends_open_streams_and_the_server_at_once() -> None:
    with serving() as (port, process):
        streams = [open_stream(port) for _ in range(5)]
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        for stream in streams:
            rest = b""
            while part := stream.recv(65536):
                rest += part
            assert rest.endswith(b"0\r\n\r\n"), "the stream was cut off instead of ended"
            stream.close()
        assert process.wait(timeout=8) == 0
        assert time.monotonic() - started < 5


def test_streams_leave_room_for_other_calls_and_idle_connections_for_new_ones() -> None:
    with serving(threads=8) as (port, _):
        idle = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(60)]
        streams = [open_stream(port) for _ in range(7)]
        assert send(port, request(b"GET", b"/healthz/")).status == 200
        for connection in (*idle, *streams):
            connection.close()


def test_bodies_that_never_come_hold_up_nobody_else() -> None:
    """Of 8 threads one network may keep six waiting."""
    body = b'{"name": "a"}'

    def body_to_come(network: int) -> bytes:
        headers = JSON + b"Content-Length: %d\r\nX-Forwarded-For: 192.0.2.%d\r\n" % (len(body), network)
        return request(b"POST", b"/things/", headers)

    with serving(threads=8) as (port, _), ExitStack() as slow:
        stalled = [slow.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(20)]
        for connection in stalled:
            connection.sendall(body_to_come(1))
        eventually(lambda: len(readable(stalled)) >= 14)
        refused = readable(stalled)
        assert len(refused) == 14
        assert all(Answer(connection.recv(65536)).slug == "rate-limited" for connection in refused)
        answer = send(port, body_to_come(1) + body)
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert send(port, body_to_come(2) + body).status == 201
        for connection in set(stalled) - set(refused):
            connection.sendall(body)
            assert Answer(connection.recv(65536)).status == 201
        assert send(port, body_to_come(1) + body).status == 201


def readable(connections: list[socket.socket]) -> list[socket.socket]:
    return select.select(connections, [], [], 0)[0]


def test_a_taken_port_is_one_sentence(port: int) -> None:
    with TemporaryFile("w+") as out:
        assert start(port, 8, out).wait(timeout=60) == 1
        out.seek(0)
        said = out.read()
    assert said.strip() == f"PORT: the API cannot listen on 127.0.0.1:{port}: Address already in use."
