"""Gemini behind the core's port for language models.

The port is synchronous and is used from many threads; a call must end within half a second of a stop even while the
provider is silent, and must then let go of the connection. A thread that blocks in a socket can do neither. So all
calls of a process run on one asyncio loop in a thread of its own: the calling thread waits on a queue, sees time-outs
itself, and cancels the call on its way out, which closes its connection. Stops are seen by the loop's thread, for all
calls: hundreds of threads that wake up now and then to look would spend more on changing places than on replies.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from adapters.gemini.failures import failure
from gemini_core.model.replies import ModelFailure, Piece, Prompt, Timeouts

if TYPE_CHECKING:
    from adapters.gemini.calls import Calls

T = TypeVar("T")
# None: nothing came, but it is time to look whether the call is still wanted.
Arrival = Piece | ModelFailure | None

_GLANCE = 0.2  # seconds between two looks at `stopped()`
_GOODBYE = 5.0  # seconds that `close` waits for connections to be closed


class GeminiClient:
    """One long-lived client per process. Costs nothing until its first call, which imports google-genai.

    Not to be used on both sides of a fork: the first call starts a thread.
    """

    def __init__(self, api_key: str, *, base_url: str = "", api_version: str = "") -> None:
        self._api_key = api_key.strip()
        self._base_url = base_url
        self._api_version = api_version
        self._lock = threading.Lock()
        self._line: _Line | None = None

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        line = self._connected()
        arrivals: SimpleQueue[Arrival] = SimpleQueue()
        call = line.start(line.calls.relay(prompt, arrivals.put))
        try:
            with line.waking(stopped, arrivals):
                yield from _received(arrivals, timeouts, stopped)
        finally:
            call.cancel()

    def check(self, model: str, *, timeout: float = 10.0) -> None:
        """Raises `ModelFailure` unless the provider takes the key and knows the model. Costs no tokens."""
        line = self._connected()
        call = line.start(line.calls.look_up(model))
        try:
            found = call.result(timeout)
        except TimeoutError:
            call.cancel()
            found = failure("timeout", f"no answer in {timeout} s")
        if found is not None:
            raise found

    def close(self) -> None:
        """Ends calls under way as unreachable, lets go of connections and thread. A later call starts anew."""
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            line.close()

    def _connected(self) -> "_Line":
        with self._lock:
            if self._line is None:
                self._line = _Line(self._calls())
            return self._line

    def _calls(self) -> "Calls":
        from adapters.gemini.calls import Calls  # noqa: PLC0415  (0.6 s and 40 MB that only a first call should cost)

        try:
            return Calls(self._api_key, base_url=self._base_url, api_version=self._api_version)
        except ValueError as error:
            problem = type(error).__name__
        raise failure("provider_misconfigured", f"{problem}: check the API key and the base URL")


def _received(arrivals: "SimpleQueue[Arrival]", timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
    now = time.monotonic()
    end = now + timeouts.total
    deadline, usage = min(now + timeouts.first, end), None
    while not stopped():
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise failure("timeout", f"no piece in time ({timeouts})", usage=usage)
        try:
            arrival = arrivals.get(timeout=remaining)
        except Empty:
            continue
        if arrival is None:
            continue
        if isinstance(arrival, ModelFailure):
            raise arrival
        yield arrival
        if arrival.finish_reason:
            return
        deadline, usage = min(time.monotonic() + timeouts.between, end), arrival.usage


class _Line:
    """The loop on which all calls of this process run, and its thread."""

    def __init__(self, calls: "Calls") -> None:
        self.calls = calls
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._waiting: dict[SimpleQueue[Arrival], Callable[[], bool]] = {}
        self._loop.call_soon(self._look)
        self._thread = threading.Thread(target=self._loop.run_forever, name="gemini-calls", daemon=True)
        self._thread.start()

    @contextmanager
    def waking(self, stopped: Callable[[], bool], arrivals: "SimpleQueue[Arrival]") -> Iterator[None]:
        """Whoever waits for `arrivals` gets None soon after `stopped()` has turned true."""
        with self._lock:
            self._waiting[arrivals] = stopped
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[arrivals]

    def _look(self) -> None:
        self._loop.call_later(_GLANCE, self._look)
        with self._lock:
            waiting = list(self._waiting.items())
        for arrivals, stopped in waiting:
            if stopped():
                arrivals.put(None)

    def start(self, call: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    def close(self) -> None:
        with suppress(TimeoutError):
            self.start(self.calls.close()).result(_GOODBYE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_GOODBYE)
        self._loop.close()
