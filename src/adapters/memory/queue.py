"""Nudges in the process: whoever is nudged is worked on by a thread of this process."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread

from gemini_core.model.ids import JobId

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MemoryQueue:
    """`JobQueue` in the process. Nudges gather until somebody works."""

    nudged: "SimpleQueue[JobId]" = field(default_factory=SimpleQueue)

    def nudge(self, *jobs: JobId) -> None:
        for job in jobs:
            self.nudged.put(job)

    def work(self, keep: Callable[[JobId], bool], *, threads: int = 4) -> None:
        """From now on, daemon threads keep the promises that are nudged."""
        for number in range(threads):
            Thread(target=self._work, args=(keep,), name=f"job-{number}", daemon=True).start()

    def _work(self, keep: Callable[[JobId], bool]) -> None:
        while True:
            job = self.nudged.get()
            try:
                keep(job)
            except Exception:
                log.exception("job broke", extra={"job_id": str(job)})
