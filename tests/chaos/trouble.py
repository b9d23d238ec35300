"""What goes wrong: processes and servers are killed at random, and started again as an operator would."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import redis
from tests.fakes.system import Installation, Process

from adapters.local.processes import until


@dataclass(frozen=True, slots=True)
class Kill:
    """A worker was killed: when, by both clocks."""

    monotonic: float
    at: float


@dataclass
class Trouble:
    """Strikes one blow after the other; every kind has its turn before any comes again."""

    site: Installation
    dice: random.Random
    struck: Counter[str] = field(default_factory=Counter)
    kills: list[Kill] = field(default_factory=list)

    def strike(self, times: int, between: tuple[float, float], *, over: Callable[[], bool]) -> None:
        """At least so many blows, and on until it is over. Call it from a thread that stays."""
        blows = (
            *[self.kill_a_worker] * 4,
            self.kill_an_api,
            self.empty_redis,
            self.restart_redis_empty,
            self.crash_postgres,
            self.restart_postgres,
        )
        deck: list[Callable[[], None]] = []
        while self.struck.total() < times or not over():
            if self.struck.total() >= times:
                until(over, within=self.dice.uniform(*between))
            else:
                until(lambda: False, within=self.dice.uniform(*between))
            deck = deck or self.dice.sample(blows, len(blows))
            blow = deck.pop()
            blow()
            self.struck[blow.__name__.replace("_", " ")] += 1

    def kill_a_worker(self) -> None:
        worker = self._one_of("worker")
        self.kills.append(Kill(time.monotonic(), time.time()))
        worker.kill()
        worker.start()

    def kill_an_api(self) -> None:
        api = self._one_of("serve")
        api.kill()
        api.start()

    def empty_redis(self) -> None:
        with redis.Redis.from_url(self.site.valkey.url) as client:
            client.flushall()

    def restart_redis_empty(self) -> None:
        self.site.valkey.kill()
        self.site.valkey.start()

    def crash_postgres(self) -> None:
        self.site.postgres.kill()
        self.site.postgres.start()

    def restart_postgres(self) -> None:
        self.site.postgres.stop()
        self.site.postgres.start()

    def _one_of(self, name: str) -> Process:
        return self.dice.choice([process for process in self.site.processes if process.name == name])
