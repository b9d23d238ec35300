"""Passwords hashed with argon2id: slow on purpose, so never more at a time than the machine can carry."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from gemini_core.errors import Unavailable

MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1


class Argon2Hasher:
    """`PasswordHasher`. At most `at_once` hashes are made at a time (19 MiB each), and `waiting` callers wait."""

    def __init__(self, *, at_once: int | None = None, waiting: int = 256, memory_kib: int = MEMORY_KIB) -> None:
        workers = at_once or max(1, (os.cpu_count() or 1) - 1)
        self._argon2 = PasswordHasher(time_cost=PASSES, memory_cost=memory_kib, parallelism=LANES)
        self._working = BoundedSemaphore(workers)
        self._admitted = BoundedSemaphore(workers + waiting)

    @cached_property
    def _nobodys(self) -> str:
        """What a password is compared with where there is none, so that this takes as long."""
        return self._argon2.hash("nobody's password")

    def hash(self, password: str) -> str:
        with self._turn():
            return self._argon2.hash(password)

    def matches(self, password_hash: str | None, password: str) -> bool:
        with self._turn():
            try:
                self._argon2.verify(password_hash or self._nobodys, password)
            except (Argon2Error, InvalidHashError):
                return False
        return password_hash is not None

    def is_weak(self, password_hash: str) -> bool:
        return self._argon2.check_needs_rehash(password_hash)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._admitted.acquire(blocking=False):
            raise Unavailable("Too many passwords are being checked right now.", retry_after=2)
        try:
            with self._working:
                yield
        finally:
            self._admitted.release()
