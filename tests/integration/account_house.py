"""The shipped API on real servers, called as a client would; with the settings of development."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import falcon.testing
from dependency_injector.providers import Object

from adapters.http.app import Edge, create
from adapters.memory.store import SystemClock
from adapters.settings import Settings
from adapters.wiring.accounts import seals
from adapters.wiring.container import Container
from gemini_core.ports.clock import Clock

NUMBER = "+14155552671"


@dataclass(frozen=True, slots=True)
class Api:
    """A client. `ip`: the address that it calls from."""

    client: falcon.testing.TestClient

    def call(self, method: str, path: str, body: Any = None, *, token: str = "", ip: str = "192.0.2.1") -> Any:
        headers = {"X-Forwarded-For": ip} | ({"Authorization": f"Bearer {token}"} if token else {})
        answer = self.client.simulate_request(method, path, json=body, headers=headers)
        # Nobody keeps anything about an account, whatever the answer is.
        assert answer.headers["cache-control"] == "no-store" or not path.startswith(("/auth/", "/user/"))
        return answer

    def post(self, path: str, body: Any = None, **about: Any) -> Any:
        return self.call("POST", path, body, **about)

    def get(self, path: str, **about: Any) -> Any:
        return self.call("GET", path, **about)

    def ask(self, number: str = NUMBER, *, path: str = "/auth/send-otp/", ip: str = "192.0.2.1", **about: str) -> Any:
        """A code is asked for."""
        sent = self.post(path, {"mobile_number": number, **about}, ip=ip)
        assert sent.status_code == 200, sent.text
        return sent.json

    def type_in(self, sent: Any, *, ip: str = "192.0.2.1") -> Any:
        """The code is typed in; the answer."""
        return self.post("/auth/verify-otp/", {"challenge_id": sent["challenge_id"], "otp": sent["otp"]}, ip=ip)

    def sign_up(self, number: str = NUMBER, *, ip: str = "192.0.2.1", **profile: str) -> Any:
        """All the way to the tokens."""
        signed_up = self.post("/auth/signup/", {"mobile_number": number, **profile}, ip=ip)
        assert signed_up.status_code == 201, signed_up.text
        return self.sign_in(number, ip=ip, signup_id=signed_up.json["signup_id"])

    def sign_in(self, number: str = NUMBER, *, ip: str = "192.0.2.1", **about: str) -> Any:
        """With an account that is there."""
        answer = self.type_in(self.ask(number, ip=ip, **about), ip=ip)
        assert answer.status_code == 200, answer.text
        return answer.json


@contextmanager
def house(
    postgres_url: str, redis_url: str, folder: Path, *, clock: Clock | None = None, **settings: str
) -> Iterator[tuple[Api, Container]]:
    """The API, and the parts behind it. No worker is there to be told of anything, least of all after the test."""
    servers = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "BROKER_URL": "memory://localhost/"}
    environ = servers | {"DATA_DIR": str(folder), "SECRET_KEY": "s" * 40}
    container = Container(settings=Settings.load(environ | settings), clock=Object(clock or SystemClock()))
    edge = Edge(
        clock=container.clock(),
        public_url="http://127.0.0.1:8000",
        cursor_keys=seals(container.settings()).derived("cursors"),
        probes={},
        trusted_proxies=1,
    )
    try:
        yield Api(falcon.testing.TestClient(create(container.core(), edge))), container
    finally:
        container.database().dispose()
        container.redis().close()
