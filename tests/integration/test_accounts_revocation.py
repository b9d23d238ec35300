"""What has ended stays ended at every API process, whatever Redis forgets, and whoever dies."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from redis import Redis
from tests.fakes.gemini.scenes import echo
from tests.fakes.system import Api, Installation, User, installation


@dataclass(frozen=True)
class Houses:
    """Two API processes on the same servers."""

    site: Installation
    here: Api
    there: Api
    http: httpx.Client

    def user(self) -> User:
        """Known to be signed in at both."""
        user = User.sign_up(self.http, self.here.url)
        assert self.statuses(user) == (200, 200)
        return user

    def statuses(self, user: User) -> tuple[int, int]:
        """What they answer, here and there."""
        return self.at(self.here, user), self.at(self.there, user)

    @staticmethod
    def at(api: Api, user: User) -> int:
        return user.at(api).call("GET", "/user/me/").status_code

    @staticmethod
    def log_out(user: User) -> None:
        assert user.call("POST", "/auth/logout/").status_code == 204


@pytest.fixture
def houses() -> Iterator[Houses]:
    with installation(echo) as site, httpx.Client(timeout=60) as http:
        yield Houses(site, site.api(), site.api(), http)


def test_a_logout_outlives_the_keys_in_redis_redis_itself_and_the_process_that_was_asked(houses: Houses) -> None:
    first, second, third, stays = (houses.user() for _ in range(4))
    houses.log_out(first)
    with Redis.from_url(houses.site.valkey.url) as redis:
        redis.flushall()
    assert houses.statuses(first) == (401, 401)
    assert houses.statuses(second) == (200, 200)

    houses.log_out(second)
    houses.site.valkey.kill()
    houses.log_out(third)
    houses.here.kill()
    houses.site.valkey.start()
    assert [houses.at(houses.there, user) for user in (first, second, third, stays)] == [401, 401, 401, 200]
