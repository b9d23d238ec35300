"""Chat's part of the HTTP API in this process, on the memory adapters, with its worker running."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from falcon.testing import Result, StartResponseMock, TestClient, create_environ
from tests.fakes.house import edge

from adapters.http.app import assemble
from adapters.http.app import chat as chat_topic
from adapters.http.auth import Authentication
from adapters.memory.embedded import EmbeddedChat, chat
from adapters.memory.store import SystemClock
from gemini_core.model.accounts.people import Caller
from gemini_core.model.billing.plans import Plans
from gemini_core.model.ids import SessionId, UserId
from gemini_core.ports.replies import LLMClient


def _known(token: str) -> Caller:
    """The user's id is the token."""
    return Caller(user_id=UserId(UUID(token)), session_id=SessionId(UUID(token)))


@dataclass(frozen=True, slots=True)
class ChatApi:
    """`api.call(user, "POST", "/chatroom/", json={})`."""

    client: TestClient
    core: EmbeddedChat

    @classmethod
    def of(cls, llm: LLMClient, *, plans: Plans | None = None, threads: int = 64, **more: Any) -> "ChatApi":
        return cls.on(chat(llm, plans=plans, **more), threads=threads)

    @classmethod
    def on(cls, core: EmbeddedChat, *, threads: int = 64) -> "ChatApi":
        here = edge(clock=SystemClock(), threads=threads)
        app = assemble((chat_topic(core, here),), here)
        app.add_middleware(Authentication(_known))
        return cls(TestClient(app), core)

    def call(self, user: UUID, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any) -> Result:
        headers = {"Authorization": f"Bearer {user}", **(headers or {})}
        return self.client.simulate_request(method, path, headers=headers, **more)

    def open(self, user: UUID, path: str) -> Any:
        """The answer to a GET, of which nothing has been read yet; to be closed."""
        return self.client.app(create_environ(path, headers={"Authorization": f"Bearer {user}"}), StartResponseMock())

    def room(self, user: UUID, **about: Any) -> str:
        """The path of a new room."""
        answer = self.call(user, "POST", "/chatroom/", json=about)
        assert answer.status_code == 201, answer.text
        return f"/chatroom/{answer.json['id']}/"

    def send(self, user: UUID, room: str, content: str, **more: Any) -> Any:
        """The message and its reply, accepted."""
        answer = self.call(user, "POST", f"{room}message/", json={"content": content, **more})
        assert answer.status_code == 202, answer.text
        return answer.json

    def final(self, user: UUID, room: str, reply: Any) -> Any:
        """The reply when it is final."""
        answer = self.call(user, "GET", f"{room}message/{reply['id']}/", params={"wait": 20})
        assert answer.status_code == 200, answer.text
        assert answer.json["status"] in ("complete", "failed", "cancelled"), answer.text
        return answer.json
