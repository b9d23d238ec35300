"""The worker process: Celery takes nudges, the runner works on jobs."""

import logging
import os
import socket
import uuid
import warnings
from threading import Event
from typing import Any

from celery import Celery, bootsteps, signals
from celery.exceptions import CPendingDeprecationWarning

from adapters.queue.celery import on_wake
from adapters.runner import Runner


def serve(app: Celery, runner: Runner, *, loglevel: str = "info") -> int:
    """Work until SIGTERM or SIGINT, then end within the grace time; answers the exit code: 0 if it was told to end.

    Celery's own threads only pass ids on. They never work on a job: Celery can neither hand one back nor time one out.
    """

    class Jobs(bootsteps.StartStopStep):  # type: ignore[misc]
        """Celery stops its parts in reverse order: first it takes no more nudges, then the runner drains."""

        requires = ("celery.worker.components:Hub",)

        def start(self, parent: Any) -> None:
            runner.open()

        def stop(self, parent: Any) -> None:
            runner.drain()

        terminate = stop

    # It announces what Celery 6 will do with tasks that are acknowledged late; ours are not.
    warnings.simplefilter("ignore", CPendingDeprecationWarning)
    told = Event()

    def note(**_about: object) -> None:
        told.set()

    # To Celery, who was stopped by SIGINT has failed.
    signals.worker_shutting_down.connect(note)
    on_wake(app, runner.start)
    app.steps["worker"].add(Jobs)
    worker = app.Worker(
        hostname=f"gemini-backend-{uuid.uuid4().hex[:8]}@{socket.gethostname()}",
        pool="threads",
        concurrency=2,
        loglevel=loglevel,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    code = 0 if told.is_set() else int(worker.exitcode or 0)
    if runner.busy:
        # Stuck in a call that does not end: nothing waits for it. The lease runs out, and another worker goes on.
        logging.shutdown()
        os._exit(code)
    return code
