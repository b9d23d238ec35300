"""Passwords hashed with argon2id: slow on purpose, so never more at a time than the machine can carry.

They are hashed in a few threads of their own: the memory that a hash needs stays with the thread that made it, and a
crowd of requests would keep 19 MiB each. These threads run on any processor, wherever those who ask are kept.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import BoundedSemaphore
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from gemini_core.errors import Unavailable

T = TypeVar("T")

MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1


class Argon2Hasher:
    """`PasswordHasher`. At most `at_once` hashes are made at a time (19 MiB each), and `waiting` callers wait."""

    def __init__(self, *, at_once: int | None = None, waiting: int = 256, memory_kib: int = MEMORY_KIB) -> None:
        workers = at_once or max(1, (os.cpu_count() or 1) - 1)
        self._argon2 = PasswordHasher(time_cost=PASSES, memory_cost=memory_kib, parallelism=LANES)
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="argon2", initializer=_on_any_processor())
        self._admitted = BoundedSemaphore(workers + waiting)

    @cached_property
    def _nobodys(self) -> str:
        """What a password is compared with where there is none, so that this takes as long."""
        return self._argon2.hash("nobody's password")

    def hash(self, password: str) -> str:
        return self._in_turn(lambda: self._argon2.hash(password))

    def matches(self, password_hash: str | None, password: str) -> bool:
        return self._in_turn(lambda: self._fits(password_hash or self._nobodys, password)) and password_hash is not None

    def is_weak(self, password_hash: str) -> bool:
        return self._argon2.check_needs_rehash(password_hash)

    def _fits(self, password_hash: str, password: str) -> bool:
        try:
            return self._argon2.verify(password_hash, password)
        except (Argon2Error, InvalidHashError):
            return False

    def _in_turn(self, work: Callable[[], T]) -> T:
        if not self._admitted.acquire(blocking=False):
            raise Unavailable("Too many passwords are being checked right now.", retry_after=2)
        try:
            return self._workers.submit(work).result()
        finally:
            self._admitted.release()


def _on_any_processor() -> Callable[[], None] | None:
    """Lets a thread run on every processor that this one may use; None where threads cannot be kept at all."""
    if sys.platform != "linux":
        return None
    processors = os.sched_getaffinity(0)
    return lambda: os.sched_setaffinity(0, processors)
