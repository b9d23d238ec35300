"""Who chats meanwhile: each with rooms of their own, insisting on every message with its key until it is accepted."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import httpx
from tests.fakes.system import FINAL, Api, Json, User

from adapters.local.processes import until

ROOMS = 2


@dataclass
class Person:
    """A user with what was promised.

    Every text begins with the user's `name`. `accepted`: message and reply as promised, by text; `finals`: the reply
    in the end. `complaints`: what was told and did not hold.
    """

    user: User
    id: str
    name: str
    apis: tuple[Api, ...]
    rooms: tuple[str, ...]
    dice: random.Random
    texts: tuple[str, ...]
    patience: float
    accepted: dict[str, Json] = field(default_factory=dict)
    finals: dict[str, Json] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def chat(self) -> None:
        """Sends everything; now and then reads a reply as it is made, or asks twice."""
        for number, text in enumerate(self.texts):
            send = partial(_sent, room=self.rooms[number % ROOMS], text=text)
            sent = self.accepted[text] = self._insist(send)
            if self.dice.random() < 0.1 and self._insist(send) != sent:
                self.complaints.append(f"another answer to the same key: {text}")
            if self.dice.random() < 0.5:
                self._follow(text, sent["reply"])

    def wait(self) -> None:
        """Until every reply is final, or patience is at its end: then the reply as it is."""
        for text, sent in self.accepted.items():
            try:
                self.finals[text] = self._insist(partial(_final, reply=sent["reply"]))
            except TimeoutError:
                self.finals[text] = sent["reply"]

    def _follow(self, text: str, reply: Json) -> None:
        """Over as many connections as it takes; what was read is what is stored."""
        told, last = "", ""

        def followed(user: User) -> Json | None:
            nonlocal told, last
            data: Json = {}
            for at, name, data in user.stream(reply, after=last):
                last, told = at, "" if name == "reset" else told + data.get("text", "")
            return data if data.get("status") in FINAL else None

        final = self._insist(followed)
        if told != final["content"]:
            self.complaints.append(f"{text}: read {told!r}, stored {final['content']!r}")

    def _insist(self, deed: Callable[[User], Json | None]) -> Json:
        """At one API or the other, whatever happens to it. Raises `TimeoutError` when patience is at its end."""
        outcomes: list[Json] = []

        def done() -> bool:
            with suppress(httpx.TransportError, httpx.HTTPStatusError):
                outcome = deed(self.user.at(self.dice.choice(self.apis)))
                outcomes.extend([outcome] if outcome else [])
            return bool(outcomes)

        if not until(done, within=self.patience, every=0.1):
            raise TimeoutError
        return outcomes[0]


def _sent(user: User, room: str, text: str) -> Json | None:
    response = user.post(room, text, key=text)
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return None
    assert response.status_code == httpx.codes.ACCEPTED, response.text
    found: Json = response.json()
    return found


def _final(user: User, reply: Json) -> Json | None:
    found = user.read(reply, wait=5)
    return found if found["status"] in FINAL else None
