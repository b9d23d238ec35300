"""Works on jobs in the threads of this process, and keeps what it works on leased."""

import logging
import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Condition, Event, Thread
from uuid import UUID

from gemini_core.core import Core
from gemini_core.errors import Unavailable
from gemini_core.model.ids import JobId

log = logging.getLogger(__name__)

# Seconds between two looks at what nobody wants any more, between two records of what calls under way have cost (so
# much a killed worker takes with it), and between two sweeps for jobs that no nudge told of.
LOOK_EVERY = 0.25
RECORD_EVERY = 0.5
SWEEP_EVERY = 1.0


class Runner:
    """At most `threads` jobs at once. Nudges and sweeps both lead here; a job is claimed by one of them."""

    def __init__(self, core: Core, *, threads: int, renew_every: float = 5.0, grace: float = 20.0) -> None:
        self._core = core
        self._threads = threads
        self._renew_every = renew_every
        self._grace = grace
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="job")
        self._running: set[JobId] = set()
        self._scheduled = False
        self._changed = Condition()
        self._draining = Event()
        self._stopped = Event()
        self._tickers = [
            Thread(target=self._every, args=(seconds, deed), name=deed.__name__, daemon=True)
            for seconds, deed in (
                (LOOK_EVERY, core.held_leases.look),
                (renew_every, core.held_leases.renew),
                (RECORD_EVERY, core.metered_model.record),
                (SWEEP_EVERY, self._sweep),
            )
        ]

    def open(self) -> None:
        """Begin to work: from now on due jobs are found, nudged or not."""
        for ticker in self._tickers:
            ticker.start()
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
            self._pool.submit(self._work, job)

    @property
    def busy(self) -> bool:
        """There are jobs under way."""
        return bool(self._running)

    def drain(self) -> None:
        """Begin nothing new; give what is under way its grace time, then hand it back for others. Returns when done."""
        self._draining.set()
        log.info("worker stopping", extra={"jobs": len(self._running)})
        with self._changed:
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._running, self._grace)
        if not done:
            log.info("handing jobs back", extra={"jobs": len(self._running)})
            self._core.held_leases.hand_back()
            with self._changed:
                self._changed.wait_for(lambda: not self._running, self._renew_every)
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, job: JobId) -> None:
        try:
            self._core.keep_promise(job)
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
        free = self._threads - len(self._running)
        if free > 0 and not self._draining.is_set():
            self.start(self._core.due_jobs(limit=free))

    def _every(self, seconds: float, deed: Callable[[], object]) -> None:
        away = False
        while not self._stopped.is_set():
            try:
                deed()
                if away:
                    log.info("database back")
                away = False
            except Unavailable:
                if not away:
                    log.warning("database away; waiting for it")
                away = True
            except Exception:
                log.exception("worker chore failed", extra={"chore": getattr(deed, "__name__", "")})
            # A little disorder, so that several workers do not sweep in step.
            time.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311
