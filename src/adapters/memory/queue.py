"""Nudges in the process: a thread of it passes them on to whoever works."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread

from gemini_core.model.ids import JobId


@dataclass(frozen=True, slots=True)
class MemoryQueue:
    """`JobQueue` in the process. Nudges gather until somebody works."""

    nudged: "SimpleQueue[JobId | None]" = field(default_factory=SimpleQueue)

    def nudge(self, *jobs: JobId) -> None:
        for job in jobs:
            self.nudged.put(job)

    def pass_on(self, start: Callable[[Iterable[JobId]], None]) -> None:
        """From now on a daemon thread calls `start`, which may take its time, with what is nudged, one by one."""
        Thread(target=self._pass_on, args=(start,), name="nudges", daemon=True).start()

    def close(self) -> None:
        """What was nudged is still passed on, and then no more."""
        self.nudged.put(None)

    def _pass_on(self, start: Callable[[Iterable[JobId]], None]) -> None:
        for job in iter(self.nudged.get, None):
            start([job])
