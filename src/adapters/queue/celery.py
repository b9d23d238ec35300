"""Celery: puts and takes. A message carries ids only, and is only a hint; the database keeps the promises."""

import logging
import ssl
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import sleep

from celery import Celery

from gemini_core.model.ids import JobId

__all__ = ["Celery", "CeleryQueue", "create", "is_known", "on_wake", "ping"]

log = logging.getLogger(__name__)

WAKE = "wake"
# Ids in one message at the most. Under load nudges leave in batches: publishing costs more than accepting a message.
BATCH = 100
# Seconds that pass between two messages: the first id leaves at once, those that come meanwhile leave together.
GATHER = 0.02


def create(broker_url: str) -> Celery:
    """The Celery application; nothing is connected yet. Any broker will do, and may lose everything."""
    app = Celery("gemini-backend", broker=broker_url)
    app.conf.update(
        task_default_queue="gemini-backend",
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=3,
        # A worker takes little more than it works on, so that others have something to do.
        worker_prefetch_multiplier=2,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # Nobody steers workers through the broker, and an idle one should cost it next to nothing.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    if broker_url.startswith(("redis", "sentinel")):
        app.conf.broker_transport_options = {"socket_timeout": 5, "socket_connect_timeout": 3}
    if broker_url.startswith("rediss:"):
        app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    return app


def is_known(broker_url: str) -> bool:
    """There is a transport for such a URL, and it can be loaded."""
    try:
        return bool(create(broker_url).connection_for_write().transport_cls)
    except Exception:  # noqa: BLE001 - every transport fails in its own way where a package of its own is missing
        return False


def ping(app: Celery) -> None:
    """The broker answers. Raises whatever its transport raises."""
    with app.connection_for_write(connect_timeout=2) as connection:
        connection.ensure_connection(max_retries=1, timeout=2)


class CeleryQueue:
    """`JobQueue` on Celery: a background thread publishes what gathered since it last did."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._waiting: SimpleQueue[JobId] = SimpleQueue()
        self._lock = Lock()
        self._thread: Thread | None = None

    def nudge(self, *jobs: JobId) -> None:
        for job in jobs:
            self._waiting.put(job)
        if jobs and self._thread is None:
            self._start()

    def _start(self) -> None:
        """Not at import time and not before a fork: the thread belongs to the process that nudges."""
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._publish, name="nudges", daemon=True)
                self._thread.start()

    def _publish(self) -> None:
        while True:
            batch = [str(self._waiting.get())]
            try:
                while len(batch) < BATCH:
                    batch.append(str(self._waiting.get_nowait()))
            except Empty:
                pass
            try:
                self._app.send_task(WAKE, args=[batch], retry=False, ignore_result=True)
            except Exception as error:  # noqa: BLE001 - every transport has its own; a lost nudge is made good by the sweep
                lost = len(batch) + self._forget()
                log.warning("nudges lost", extra={"jobs": lost, "why": type(error).__name__})
            if len(batch) < BATCH:
                sleep(GATHER)

    def _forget(self) -> int:
        """How many came meanwhile. A broker that lets us wait for long would be told of jobs that are done by then."""
        waiting = self._waiting.qsize()
        for _ in range(waiting):
            self._waiting.get()
        return waiting


def on_wake(app: Celery, start: Callable[[Iterable[str]], None]) -> None:
    """Have this application's worker call `start(ids)` with the ids of every message it takes."""

    @app.task(name=WAKE, ignore_result=True)  # type: ignore[untyped-decorator]
    def wake(ids: list[str]) -> None:
        start(ids)
