"""What signing in costs: round trips to Redis and to PostgreSQL, counted there and not believed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from tests.integration.account_house import Api, house

from adapters.redis.limits import LIFE
from adapters.wiring.container import Container
from gemini_core.core import Core
from gemini_core.errors import Refused, Unauthenticated
from gemini_core.model.accounts.people import Client

PASSWORD = "correct horse"


@dataclass(frozen=True, slots=True)
class Counter:
    """Everybody who signs in here has a number and an address of their own. A worker makes the codes."""

    api: Api
    container: Container
    statements: list[str] = field(default_factory=list)
    serial: "count[int]" = field(default_factory=count)

    @property
    def core(self) -> Core:
        core: Core = self.container.core()
        return core

    def trips(self, verb: Callable[..., Any], *about: Any, **more: Any) -> tuple[int, int]:
        """How often the verb asks Redis, and how often PostgreSQL."""
        self.statements.clear()
        before = self._reads()
        verb(*about, **more)
        return self._reads() - before - 1, len(self.statements)  # this question is one, too

    def _reads(self) -> int:
        return int(self.container.redis().info("stats")["total_reads_processed"])

    def somebody(self) -> tuple[Client, str]:
        serial = next(self.serial)
        return Client(f"192.0.2.{serial}", f"192.0.2.{serial}"), f"+141555526{serial:02}"

    def member(self, **profile: str) -> tuple[Client, str, Any]:
        """With an account, and the answer that welcomed them."""
        client, number = self.somebody()
        return client, number, self.api.sign_up(number, ip=client.ip, **profile)

    def send(self, *about: Any, **more: Any) -> Any:
        return replace(self.core.send_code, at_once=None)(*about, **more)

    def code(self, client: Client, number: str) -> tuple[str, str]:
        """A challenge, and the code that a worker has sent for it."""
        challenge = self.send(client, number).challenge_id
        assert self.core.send_code.at_once is not None
        code = self.core.send_code.at_once(challenge)
        assert code is not None
        return challenge, code


def refused(verb: Callable[..., Any]) -> Callable[..., None]:
    """The verb, which must refuse."""

    def refusing(*about: Any, **more: Any) -> None:
        with pytest.raises((Refused, Unauthenticated)):
            verb(*about, **more)

    return refusing


@pytest.fixture
def counter(postgres_url: str, valkey_url: str, tmp_path: Path) -> Iterator[Counter]:
    """The shipped parts; the queue is elsewhere, and adds nothing."""
    with house(postgres_url, valkey_url, tmp_path) as (api, container):
        counter = Counter(api, container)
        _, _, welcome = counter.member()  # connections are open, and scripts are known
        counter.core.authenticate(welcome["access"])
        container.redis().hset(LIFE, "began", 0)  # Redis has been up for longer than a token lives
        database = container.database()
        event.listen(database, "before_cursor_execute", lambda *about: counter.statements.append(about[2]))
        yield counter


def test_a_sign_up_is_one_and_one(counter: Counter) -> None:
    assert counter.trips(counter.core.sign_up, *counter.somebody()) == (1, 1)


def test_sending_is_one_and_one_for_every_number(counter: Counter) -> None:
    client, number, _ = counter.member()
    assert counter.trips(counter.send, client, number) == (1, 1)
    assert counter.trips(counter.send, *counter.somebody()) == (1, 1)
    assert counter.trips(replace(counter.core.forgot_password, at_once=None), *counter.somebody()) == (1, 1)


def test_sending_with_a_password_is_one_and_two_since_its_hash_is_read_and_compared_here(counter: Counter) -> None:
    client, number, _ = counter.member(password=PASSWORD)
    assert counter.trips(counter.send, client, number, password=PASSWORD) == (1, 2)
    # What is refused is noted instead, and its units of the limits go back.
    assert counter.trips(refused(counter.send), client, number, password="wrong horse") == (2, 2)
    assert counter.trips(refused(counter.send), *counter.somebody(), password="wrong horse") == (2, 2)


def test_verifying_is_one_and_one_by_challenge_and_by_number_right_and_wrong(counter: Counter) -> None:
    verify = counter.core.verify_code
    for address in ("challenge_id", "mobile_number"):
        client, number, _ = counter.member()
        challenge, code = counter.code(client, number)
        named = {address: challenge if address == "challenge_id" else number}
        assert counter.trips(refused(verify), client, "no code", **named) == (1, 1)
        assert counter.trips(verify, client, code, **named) == (1, 1)
    client, number = counter.somebody()
    assert counter.trips(refused(verify), client, "no code", mobile_number=number) == (1, 1)


def test_refreshing_is_one_and_one_and_nothing_for_what_is_not_ours(counter: Counter) -> None:
    client, _, welcome = counter.member()
    assert counter.trips(counter.core.refresh_tokens, client, welcome["refresh"]) == (1, 1)
    assert counter.trips(refused(counter.core.refresh_tokens), client, welcome["refresh"] + "A") == (0, 0)


def test_authenticating_is_one_and_none(counter: Counter) -> None:
    _, _, welcome = counter.member()
    assert counter.trips(counter.core.authenticate, welcome["access"]) == (1, 0)
    assert counter.trips(refused(counter.core.authenticate), "no token") == (0, 0)
    assert counter.trips(counter.api.get, "/user/me/", token=welcome["access"]) == (1, 1)  # the account itself


def test_after_redis_has_lost_its_keys_the_database_is_asked_once_of_each_session(counter: Counter) -> None:
    _, _, welcome = counter.member()
    for _ in range(2):
        counter.container.redis().flushall()
        assert counter.trips(counter.core.authenticate, welcome["access"]) == (1, 1)
        assert counter.trips(counter.core.authenticate, welcome["access"]) == (1, 0)
