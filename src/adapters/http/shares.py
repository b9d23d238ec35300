"""Nobody holds more than a share of a process.

A call holds one of the process's threads, of which there are a fixed number, for as long as the caller likes where the
server waits for them: until a body has come, while a reply is followed, while a message is waited for. The server has
no time-out for bodies, and following may rightly take long. So the number that one caller holds at a time is limited.
"""

from collections import Counter
from collections.abc import Hashable
from contextlib import ExitStack
from threading import Lock

from gemini_core.errors import RateLimited

_RETRY_AFTER = 1


class Shares:
    """Everybody may hold `most` at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: Counter[Hashable] = Counter()
        self._lock = Lock()

    def one(self, holder: Hashable) -> ExitStack:
        """One more for this holder, until it is closed. Raises `RateLimited`."""
        with self._lock:
            if self._held[holder] >= self._most:
                raise RateLimited(
                    "Too many calls of yours are open at once.",
                    retry_after=_RETRY_AFTER,
                    limit=self._most,
                    window=_RETRY_AFTER,
                    policy="open-calls",
                )
            self._held[holder] += 1
        held = ExitStack()
        held.callback(self._give_back, holder)
        return held

    def _give_back(self, holder: Hashable) -> None:
        with self._lock:
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]
