"""Operations: does the process answer, is what it needs there, what are its figures."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Final, Literal

import falcon
import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from adapters.http import bodies
from adapters.http.describing import Raw, describe

log = structlog.get_logger()

PROBE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Probe:
    """A question whether something is there: `ask` returns, or raises. `needed`: without it nothing can be served."""

    ask: Callable[[], object]
    needed: bool = True


class Health(Struct):
    """The process answers."""

    status: Literal["ok"]


class CheckResult(Struct):
    """How one thing that we use is doing, and how long it took to find out, in milliseconds."""

    state: Literal["up", "down"]
    needed: bool
    time_ms: float


class ReadinessReport(Struct):
    """`ready`: all is there. `degraded`: something not needed is away. `unavailable`: something needed is away."""

    status: Literal["ready", "degraded", "unavailable"]
    checks: dict[str, CheckResult]


class Healthz:
    """Says that the process answers."""

    @describe("Does the process answer", answers={200: Health}, signed_in=False)
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Asks nobody else: for restarting a process that hangs."""
        resp.data = bodies.write(Health("ok"))


class Readyz:
    """Asks all probes at once. A probe that hangs is reported after two seconds, and is not asked twice meanwhile."""

    def __init__(self, probes: Mapping[str, Probe], *, seconds: float = PROBE_SECONDS) -> None:
        self._probes = probes
        self._seconds = seconds
        self._asking: dict[str, _Asking] = {}
        self._lock = threading.Lock()

    @describe("Is everything there", answers={200: ReadinessReport, 503: ReadinessReport}, signed_in=False)
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Database, Redis and queue, each with its state and time. 503 where one that is needed is down."""
        now = perf_counter()
        asked = {name: self._ask(name, probe, now) for name, probe in self._probes.items()}
        checks = {name: asking.result(now + self._seconds) for name, asking in asked.items()}
        down = [check for check in checks.values() if check.state == "down"]
        if any(check.needed for check in down):
            resp.status = falcon.HTTP_503
            resp.set_header("Retry-After", "5")
            report = ReadinessReport("unavailable", checks)
        else:
            report = ReadinessReport("degraded" if down else "ready", checks)
        resp.data = bodies.write(report)

    def _ask(self, name: str, probe: Probe, now: float) -> "_Asking":
        with self._lock:
            asking = self._asking.get(name)
            if asking is None or not asking.is_alive():
                asking = self._asking[name] = _Asking(name, probe, now)
                asking.start()
            return asking


class _Asking(threading.Thread):
    """One probe, asked since `began`. A daemon, so that a hanging one does not keep the process from ending."""

    def __init__(self, name: str, probe: Probe, began: float) -> None:
        super().__init__(name=f"probe-{name}", daemon=True)
        self._probe = probe
        self._began = began
        self._state: Literal["up", "down"] = "down"
        self._seconds: float | None = None

    def run(self) -> None:
        try:
            self._probe.ask()
            self._state = "up"
        except Exception as error:  # noqa: BLE001 - whatever it is, the thing is down, and the log has it
            log.warning("probe failed", probe=self.name, error=f"{type(error).__name__}: {error}")
        self._seconds = perf_counter() - self._began

    def result(self, until: float) -> CheckResult:
        """What came out, or `down` if nothing did until then."""
        self.join(max(0.0, until - perf_counter()))
        seconds = self._seconds if self._seconds is not None else perf_counter() - self._began
        state = "down" if self._seconds is None else self._state
        return CheckResult(state, self._probe.needed, round(seconds * 1000, 2))


class Metrics:
    """The figures of the process that answers.

    With API_PROCESSES each call may meet another one, and the figures jump. Whoever needs them exact runs several
    servers of one process, each with a port of its own: a target each.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        self._registry = registry

    @describe("Figures for Prometheus", answers={200: Raw("text/plain", "Prometheus text format")}, signed_in=False)
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Requests by route, method and status, their durations, and the process's own figures."""
        resp.content_type = CONTENT_TYPE_LATEST
        resp.data = generate_latest(self._registry)
