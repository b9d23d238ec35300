"""Works on jobs in the threads of this process, and keeps what it works on leased. For any program with the core."""

import logging
import random
from collections.abc import Iterable
from queue import SimpleQueue
from threading import Condition, Event, Thread
from time import monotonic
from uuid import UUID

from gemini_core.core.jobs import JobVerbs, PeriodicTask
from gemini_core.errors import Unavailable
from gemini_core.model.ids import JobId

log = logging.getLogger(__name__)

# Seconds between two sweeps for jobs that no nudge told of.
SWEEP_EVERY = 1.0
# Seconds after which whatever failed because the database was away is tried again, at the latest.
AGAIN = 1.0
# Seconds for which a sweep that failed takes nothing when the database is back: by then every worker that lives has
# renewed its leases, which ran out meanwhile.
SETTLING = 3.0
# Seconds that jobs have to hand themselves back.
HANDING_BACK = 5.0
# Its own, so that programs with a seed of theirs get the numbers that they expect.
_dice = random.Random()  # noqa: S311


class Runner:
    """At most `core.threads` jobs at once. Nudges and sweeps both lead here; a job is claimed by one of them.

    `grace`: seconds that jobs under way are given when it is to end. Its threads keep no program from ending.
    """

    def __init__(self, core: JobVerbs, *, grace: float = 20.0) -> None:
        self._core = core
        self._threads = core.threads
        self._grace = grace
        self._begun: SimpleQueue[JobId | None] = SimpleQueue()
        self._hands = 0
        self._running: set[JobId] = set()
        self._scheduled = False
        self._away = False
        self._settled = 0.0
        self._changed = Condition()
        self._draining = Event()
        self._stopped = Event()

    def open(self) -> None:
        """Begin to work: from now on due jobs are found, nudged or not."""
        for task in (*self._core.periodic_tasks, PeriodicTask("sweep", SWEEP_EVERY, self._sweep)):
            Thread(target=self._every, args=(task,), name=task.name, daemon=True).start()
        log.info("worker ready", extra={"threads": self._threads})

    def start(self, ids: Iterable[str | JobId]) -> None:
        """Work on these jobs, each as soon as a thread is free. Returns when all have begun, or none will any more."""
        for id in ids:
            job = JobId(UUID(str(id)))
            with self._changed:
                self._changed.wait_for(lambda: len(self._running) < self._threads or self._draining.is_set())
                if self._draining.is_set():
                    return
                if job in self._running:
                    continue
                self._running.add(job)
                if self._hands < len(self._running):
                    self._hands += 1
                    Thread(target=self._work, name=f"job-{self._hands}", daemon=True).start()
            self._begun.put(job)

    @property
    def busy(self) -> bool:
        """There are jobs under way."""
        return bool(self._running)

    def drain(self) -> None:
        """Begin nothing new; give what is under way its grace time, then hand it back for others. Returns when done.

        Whoever works on and does not listen is left behind after some seconds more; a second call has nothing to do.
        """
        if self._stopped.is_set():
            return
        self._draining.set()
        log.info("worker stopping", extra={"jobs": len(self._running)})
        with self._changed:
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._running, self._grace)
        if not done:
            log.info("handing jobs back", extra={"jobs": len(self._running)})
            self._core.held_leases.hand_back()
            with self._changed:
                self._changed.wait_for(lambda: not self._running, HANDING_BACK)
        self._stopped.set()
        for _ in range(self._hands):
            self._begun.put(None)

    def _work(self) -> None:
        for job in iter(self._begun.get, None):
            try:
                self._core.run_job(job)
            except Unavailable:
                log.warning("job left: the database is away", extra={"job_id": str(job)})
            except Exception:
                log.exception("job broke", extra={"job_id": str(job)})
            finally:
                with self._changed:
                    self._running.discard(job)
                    self._changed.notify_all()

    def _sweep(self) -> None:
        if not self._scheduled:
            self._core.start_schedule()
            self._scheduled = True
        if self._draining.is_set():
            return
        free = self._threads - len(self._running)
        try:
            due = self._core.due_jobs(limit=max(free, 1))  # Asked also by who is busy: is the database there?
        except Unavailable:
            self._away = True
            raise
        if self._away:
            self._away, self._settled = False, monotonic() + SETTLING
        if free > 0 and monotonic() >= self._settled:
            self.start(due)

    def _every(self, task: PeriodicTask) -> None:
        away = False
        while not self._stopped.is_set():
            try:
                task.run()
                if away:
                    log.info("database back")
                away = False
            except Unavailable:
                if not away:
                    log.warning("database away; waiting for it")
                away = True
            except Exception:
                log.exception("periodic task failed", extra={"task": task.name})
            rest = min(task.every, AGAIN) if away else task.every
            # A little disorder, so that several workers do not sweep in step.
            self._stopped.wait(rest * _dice.uniform(0.8, 1.2))
