"""The fake's HTTP side: a threaded server on loopback that plays scenes and records every request."""

import json
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Self

from tests.fakes.gemini import rules
from tests.fakes.gemini.scenes import (
    ASKED,
    BreakOff,
    Director,
    Drip,
    Hang,
    Pause,
    Play,
    Question,
    Refusal,
    Scene,
    Send,
    Step,
    Until,
    echo,
)

KEY = "AIzaSyFakeKeyThatMustNeverBeSeenAnywhere"
MODELS = frozenset({"gemini-3.8-flash", "gemini-3.8-pro"})


@dataclass(frozen=True)
class Record:
    """One request and what became of it. Times by `time.monotonic`.

    `usage` as far as it was reported; `told`: when, and what, each time.
    """

    number: int
    peer: tuple[str, int]  # two requests with the same one came over the same connection
    path: str
    headers: Mapping[str, str]
    body: Any
    started: float
    version: str = ""
    model: str = ""
    text: str = ""
    play: str = ""
    finished: float | None = None
    hung_up: bool = False
    usage: tuple[int, int] | None = None
    told: tuple[tuple[float, tuple[int, int]], ...] = ()


class FakeGemini:
    """Plays what `play` was given, one per request, then what its director says."""

    def __init__(
        self, *, director: Director = echo, key: str = KEY, models: Collection[str] = MODELS, port: int = 0
    ) -> None:
        self.director, self.key, self.models = director, key, models
        self._plays: deque[Play] = deque()
        self._records: dict[int, Record] = {}
        self._numbers = count()
        self._changed = threading.Condition()
        self._closing, self._still_open = socket.socketpair()
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._still_open.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def records(self) -> list[Record]:
        with self._changed:
            return list(self._records.values())

    def forget(self) -> None:
        """A clean slate. Requests under way go on, and are not noted any more."""
        with self._changed:
            self._plays.clear()
            self._records.clear()

    def play(self, *plays: Play) -> None:
        with self._changed:
            self._plays.extend(plays)

    def wait(self, until: Callable[[list[Record]], bool], *, seconds: float = 30.0) -> list[Record]:
        """The records as soon as `until` holds of them."""
        with self._changed:
            found = self._changed.wait_for(lambda: until(list(self._records.values())), seconds)
            assert found, self._records
            return list(self._records.values())

    def receive(self, peer: tuple[str, int], path: str, headers: Mapping[str, str], body: Any) -> int:
        with self._changed:
            number = next(self._numbers)
            self._records[number] = Record(number, peer, path, headers, body, started=time.monotonic())
            self._changed.notify_all()
            return number

    def note(self, number: int, **facts: Any) -> None:
        with self._changed:
            if number in self._records:
                self._records[number] = replace(self._records[number], **facts)
                self._changed.notify_all()

    def tell(self, number: int, usage: tuple[int, int]) -> None:
        with self._changed:
            told = self._records[number].told if number in self._records else ()
            self.note(number, usage=usage, told=(*told, (time.monotonic(), usage)))

    def choose(self, question: Question) -> Play:
        with self._changed:
            if self._plays:
                return self._plays.popleft()
        return self.director(question)

    def gone(self, connection: socket.socket, seconds: float | None) -> bool:
        """Waits; True as soon as the client has hung up or this server closes."""
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        poll.register(self._still_open, select.POLLIN)
        for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000):
            if descriptor == self._still_open.fileno():
                return True
            try:
                if not connection.recv(1, socket.MSG_PEEK):
                    return True
            except OSError:
                return True
        return False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], fake: FakeGemini) -> None:
        super().__init__(address, _Handler)
        self.fake = fake

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is business as usual."""


@dataclass(frozen=True)
class _Plain:
    """An answer that is no stream."""

    name: str
    body: Mapping[str, Any]


class _HungUp(Exception):
    """The client is gone."""


class _BrokenOff(Exception):
    """The connection was reset by us."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    _begun = False
    _model = b""
    _headers: Mapping[str, str] = {}

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing: the records tell."""

    def do_GET(self) -> None:
        if self.path == "/recorded":
            self._json(200, json.dumps([asdict(record) for record in self.server.fake.records]).encode())
        else:
            self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        fake, body = self.server.fake, self._read()
        self._begun = False
        headers = {name.lower(): value for name, value in self.headers.items()}
        number = fake.receive(self.client_address, self.path, headers, body)
        try:
            play = self._chosen(number, body)
            fake.note(number, play=play.name)
            self._perform(play, number)
        except rules.Wrong as wrong:
            fake.note(number, play=wrong.refusal.name)
            self._refuse(wrong.refusal)
        except _BrokenOff:
            self.close_connection = True
        except (_HungUp, OSError):
            fake.note(number, hung_up=True)
            self.close_connection = True
        finally:
            fake.note(number, finished=time.monotonic())

    def _chosen(self, number: int, body: Any) -> Play | _Plain:
        fake = self.server.fake
        version, model, action = rules.route(self.path)
        rules.check_key(self.headers.get("x-goog-api-key"), fake.key)
        rules.check_model(model, version, fake.models)
        if not action:
            return _Plain("model", {"name": f"models/{model}", "inputTokenLimit": 1_048_576})
        rules.check_body(body)
        question = _question(body)
        self._model = model.encode()
        fake.note(number, model=model, version=version, text=question.text)
        if action == "countTokens":
            return _Plain("count", {"totalTokens": question.prompt_tokens})
        return fake.choose(question)

    def _perform(self, play: Play | _Plain, number: int) -> None:
        match play:
            case _Plain():
                self._json(200, json.dumps(play.body).encode())
            case Refusal():
                self._refuse(play)
            case Scene():
                self._headers = play.headers
                for step in play.steps:
                    self._step(step, number)
                self._write(b"")

    def _step(self, step: Step, number: int) -> None:
        match step:
            case Send(data, usage):
                self._wait(0)  # nobody is charged for what nobody is there to hear
                self._write(data.replace(ASKED.encode(), self._model))
                if usage:
                    self.server.fake.tell(number, usage)
            case Pause(seconds):
                self._wait(seconds)
            case Until(event):
                while not event.is_set():
                    self._wait(0.01)
            case Hang():
                self._wait(None)
            case Drip(data, every):
                while True:
                    self._write(data)
                    self._wait(every)
            case BreakOff():
                # No time to linger makes closing a reset; the reader holds the socket open as well.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.rfile.close()
                self.connection.close()
                raise _BrokenOff

    def _wait(self, seconds: float | None) -> None:
        if self.server.fake.gone(self.connection, seconds):
            raise _HungUp

    def _write(self, data: bytes) -> None:
        """Writes a part of the stream, its head before the first; the empty part is the stream's end."""
        if not self._begun:
            self._begun = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            for name, value in self._headers.items():
                self.send_header(name, value)
            self.end_headers()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _read(self) -> Any:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            return json.loads(raw) if raw else None
        except ValueError:
            return None

    def _refuse(self, refusal: Refusal) -> None:
        self._json(refusal.status, refusal.body(), refusal.headers)

    def _json(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _question(body: Any) -> Question:
    texts = [part["text"] for content in body["contents"] for part in content["parts"] if "text" in part]
    last = "".join(part.get("text", "") for part in body["contents"][-1]["parts"])
    return Question(last, sum(len(text.split()) for text in texts))
