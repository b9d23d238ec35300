"""What is attacked: two API processes and a worker on real servers, and a telephone network that we listen to."""

import itertools
import json
import os
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from tests.fakes.gemini.scenes import Director
from tests.fakes.system import Api, Installation, installation, new_number

Json = dict[str, Any]
Report = Callable[[str], None]
Request = tuple[str, Json | None, str, str]  # path, body, address, token
RESEND = 1
CODES_PER_PHONE, CODES_PER_NETWORK = 10, 200
SETTINGS = {
    "OTP_SENDER": "webhook",
    "OTP_WEBHOOK_SECRET": "a secret between us",
    "TRUSTED_PROXIES": "1",
    "ACCESS_TTL": "600",
    "OTP_RESEND_AFTER": str(RESEND),
    "OTP_SENDS_PER_PHONE_HOUR": str(CODES_PER_PHONE),
    "OTP_SENDS_PER_PHONE_DAY": str(CODES_PER_PHONE),
    "OTP_SENDS_PER_IP_HOUR": str(CODES_PER_NETWORK),
    "API_THREADS": "1024",
}


class Phones(ThreadingHTTPServer):
    """Receives every text. A text to a number in `dead_zone` is not answered before the end."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Tower)
        self.texts: defaultdict[str, list[str]] = defaultdict(list)
        self.dead_zone: set[str] = set()
        self.arrived = threading.Condition()
        self.closing = threading.Event()

    def code(self, number: str, count: int = 1) -> str:
        """The code in the `count`-th text to the number, when it has come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.texts[number]) >= count, 60), f"no text to {number}"
            return self.texts[number][count - 1].split(" ", 1)[0]


class _Tower(BaseHTTPRequestHandler):
    server: Phones

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.arrived:
            self.server.texts[body["to"]].append(body["text"])
            self.server.arrived.notify_all()
        if body["to"] in self.server.dead_zone:
            self.server.closing.wait()
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        """Says nothing."""


@dataclass
class Target:
    """The installation under attack, and everything secret that it gave out."""

    site: Installation
    phones: Phones
    urls: tuple[str, ...]
    http: httpx.Client
    secrets: set[str] = field(default_factory=set)
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)

    @staticmethod
    def number() -> str:
        return new_number()

    @staticmethod
    def ip() -> str:
        return ".".join(str(part) for part in (10, *secrets.token_bytes(3)))

    @property
    def url(self) -> str:
        """One process, then the other."""
        return self.urls[next(self._turn) % len(self.urls)]

    def memory(self) -> int:
        """Bytes of memory that the API processes hold."""
        groups = {api._process.pid for api in self.site.processes if isinstance(api, Api) and api._process}
        pages = 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int((process / "stat").read_text().rpartition(")")[2].split()[2]) in groups:
                    pages += int((process / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def post(self, path: str, body: Json | None = None, *, ip: str, token: str = "") -> httpx.Response:
        return self.http.post(self.url + path, json=body, headers=_headers(ip, token))

    def get(self, path: str, *, token: str, ip: str = "10.0.0.1") -> httpx.Response:
        return self.http.get(self.url + path, headers=_headers(ip, token))

    def sign_up(self, number: str, *, ip: str, **profile: str) -> str:
        self.secrets.update(value for name, value in profile.items() if name == "password")
        answer = self.post("/auth/signup/", {"mobile_number": number, **profile}, ip=ip)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["signup_id"])

    def ask(self, number: str, *, ip: str, **about: str) -> Json:
        answer = self.post("/auth/send-otp/", {"mobile_number": number, **about}, ip=ip)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def challenged(self, number: str, *, ip: str, count: int = 1, **about: str) -> Json:
        """A proof that is right: the challenge, and the code that came to the phone."""
        sent = self.ask(number, ip=ip, **about)
        code = self.phones.code(number, count)
        self.secrets.add(code)
        return {"challenge_id": sent["challenge_id"], "otp": code}

    def enter(self, number: str | None = None, **profile: str) -> Json:
        """All the way in: the tokens and the user."""
        number, ip = number or self.number(), self.ip()
        signup = self.sign_up(number, ip=ip, **profile)
        about: Json = {"signup_id": signup} | {name: value for name, value in profile.items() if name == "password"}
        proof = self.challenged(number, ip=ip, **about)
        answer = self.post("/auth/verify-otp/", proof, ip=ip)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        self.secrets.update((found["access"], found["refresh"]))
        return found

    def swarm(self, requests: Sequence[Request], urls: Sequence[str] = ()) -> list[httpx.Response]:
        """All at once, each on a connection of its own; at these processes, or at the usual ones."""
        together = threading.Barrier(len(requests))

        def one(url: str, request: Request) -> httpx.Response:
            path, body, ip, token = request
            connection = HTTPConnection(urlsplit(url).netloc, timeout=120)
            connection.connect()
            together.wait()
            headers = {"Content-Type": "application/json", **_headers(ip, token)}
            connection.request("POST", path, body=json.dumps(body) if body else None, headers=headers)
            with closing(connection), connection.getresponse() as answer:
                return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(one, itertools.cycle(urls or self.urls), requests))


def _headers(ip: str, token: str) -> dict[str, str]:
    return {"X-Forwarded-For": ip} | ({"Authorization": f"Bearer {token}"} if token else {})


@contextmanager
def target(director: Director) -> Iterator[Target]:
    with Phones() as phones, httpx.Client(timeout=120, limits=httpx.Limits(keepalive_expiry=None)) as http:
        listening = threading.Thread(target=phones.serve_forever, args=(0.05,))
        listening.start()
        try:
            hook = f"http://127.0.0.1:{phones.server_port}/"
            with installation(director, **SETTINGS, OTP_WEBHOOK_URL=hook) as site:
                urls = (site.api().url, site.api().url)
                site.worker()
                yield Target(site, phones, urls, http)
                phones.closing.set()
        finally:
            phones.closing.set()
            phones.shutdown()
            listening.join()
