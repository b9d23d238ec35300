"""Accounts over HTTP, with the shipped parts: PostgreSQL, Redis, and the settings of development."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import falcon.testing
import pytest

from adapters.http.app import Edge, create
from adapters.settings import Settings
from adapters.wiring.container import Container

NUMBER = "+14155552671"


@dataclass
class Api:
    """A client with a network address of its own, if wanted."""

    client: falcon.testing.TestClient

    def call(self, method: str, path: str, body: Any = None, *, token: str = "", ip: str = "", **headers: str) -> Any:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if ip:
            headers["X-Forwarded-For"] = ip
        return self.client.simulate_request(method, path, json=body, headers=headers)

    def post(self, path: str, body: Any = None, **about: Any) -> Any:
        return self.call("POST", path, body, **about)

    def get(self, path: str, **about: Any) -> Any:
        return self.call("GET", path, **about)

    def sign_up(self, number: str = NUMBER, **profile: Any) -> dict[str, Any]:
        """All the way to the tokens."""
        ip = profile.pop("ip", "")
        signed_up = self.post("/auth/signup/", {"mobile_number": number, **profile}, ip=ip)
        assert signed_up.status_code == 201, signed_up.text
        ask = {"mobile_number": number, "signup_id": signed_up.json["signup_id"]}
        return self.sign_in(ask, ip=ip)

    def sign_in(self, ask: dict[str, str], *, ip: str = "") -> dict[str, Any]:
        sent = self.post("/auth/send-otp/", ask, ip=ip)
        assert sent.status_code == 200, sent.text
        answer = self.post("/auth/verify-otp/", {"challenge_id": sent.json["challenge_id"], "otp": sent.json["otp"]}, ip=ip)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found


@pytest.fixture
def container(postgres_url: str, valkey_url: str, tmp_path: Path) -> Iterator[Container]:
    settings = Settings.load(
        {"DATABASE_URL": postgres_url, "REDIS_URL": valkey_url, "DATA_DIR": str(tmp_path), "SECRET_KEY": "s" * 40}
    )
    container = Container(settings=settings)
    yield container
    container.database().dispose()
    container.redis().close()


@pytest.fixture
def api(container: Container) -> Api:
    edge = Edge(
        clock=container.clock(), public_url="http://127.0.0.1:8000", cursor_keys=(b"k" * 32,), probes={}, trusted_proxies=1
    )
    return Api(falcon.testing.TestClient(create(container.core(), edge)))


def test_the_journey_from_a_number_to_an_account(api: Api) -> None:
    welcome = api.sign_up(name="Ann", email="Ann@Example.com", username="ann")
    me = api.get("/user/me/", token=welcome["access"])
    assert me.status_code == 200
    assert me.json == welcome["user"]
    assert {k: me.json[k] for k in ("mobile_number", "name", "email", "username", "plan")} == {
        "mobile_number": NUMBER,
        "name": "Ann",
        "email": "Ann@example.com",
        "username": "ann",
        "plan": "basic",
    }
    pair = api.post("/auth/refresh/", {"refresh": welcome["refresh"]})
    assert pair.json.keys() == {"access", "refresh", "token_type", "expires_in"}
    sessions = api.get("/auth/sessions/", token=pair.json["access"])
    assert [item["current"] for item in sessions.json["items"]] == [True]
    assert api.post("/auth/logout/", token=pair.json["access"]).status_code == 204
    gone = api.get("/user/me/", token=welcome["access"])
    assert gone.status_code == 401
    assert gone.headers["www-authenticate"] == 'Bearer error="invalid_token"'
