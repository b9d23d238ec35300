"""Idempotency keys in the process."""

from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Generic, TypeVar

from gemini_core.model.ids import UserId
from gemini_core.model.requests import KEY_LIVES, Once, key_reused

T = TypeVar("T")


@dataclass(slots=True)
class MemoryKeys(Generic[T]):
    """What was decided first under each key."""

    _kept: dict[tuple[UserId, str], tuple[Once, datetime, T]] = field(default_factory=dict)

    def first(self, user: UserId, once: Once | None, now: datetime) -> T | None:
        """None if there is no key, or it is free. Raises `Invalid` if it was another request's."""
        if once is None or (user, once.key) not in self._kept:
            return None
        kept, at, outcome = self._kept[user, once.key]
        if at + KEY_LIVES <= now:
            return None
        if kept.fingerprint != once.fingerprint:
            raise key_reused()
        return outcome

    def keep(self, user: UserId, once: Once | None, outcome: T, now: datetime) -> None:
        """The key, if there is one, stands for this outcome from now on; those that are over go."""
        if once is None:
            return
        self._kept.pop((user, once.key), None)
        self._kept[user, once.key] = (once, now, outcome)
        for over in list(takewhile(lambda key: self._kept[key][1] + KEY_LIVES <= now, self._kept)):
            del self._kept[over]

    def __len__(self) -> int:
        return len(self._kept)

    def erase(self, user: UserId) -> None:
        """All keys of a user."""
        self._kept = {key: kept for key, kept in self._kept.items() if key[0] != user}
