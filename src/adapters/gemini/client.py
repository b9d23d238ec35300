"""Gemini behind the core's port for language models.

The port is synchronous and is used from many threads; a call must end within half a second of a stop even while the
provider is silent, and must then let go of the connection. A thread that blocks in a socket can do neither. So all
calls of a process run on one asyncio loop in a thread of its own: the calling thread waits on a queue, sees time-outs
itself, and cancels the call on its way out, which closes its connection. Stops are seen by the loop's thread, for all
calls: hundreds of threads that wake up now and then to look would spend more on changing places than on replies.

On a machine that has too little to give, an answer may lie at the socket and nobody had the time to read it. The
provider charges for it, and it was not late. So before a call is given up, what has arrived by then is read.
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
_GOODBYE = 5.0  # seconds that are waited for the loop to see to something, at the most
_TURNS = 10  # of the loop, after which every byte that had reached the process before them has been understood


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
        if stopped():
            return
        with self._connected().calling(prompt, stopped) as call:
            yield from call.pieces(timeouts)

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


class _Call:
    """A call under way: the line delivers, and whoever asked waits for it here."""

    def __init__(self, line: "_Line", prompt: Prompt, stopped: Callable[[], bool]) -> None:
        self.stopped = stopped
        self._line = line
        self._arrivals: SimpleQueue[Arrival] = SimpleQueue()
        self._task = line.start(line.calls.relay(prompt, self._arrivals.put))

    def pieces(self, timeouts: Timeouts) -> Iterator[Piece]:
        told, passed_on = None, None
        for arrival in self._heard(timeouts):
            told = arrival.usage or told
            if self.stopped():
                continue
            if isinstance(arrival, ModelFailure):
                raise arrival
            passed_on = told
            yield arrival
            if arrival.finish_reason:
                return
        if not self.stopped():
            raise failure("timeout", f"no piece in time ({timeouts})", usage=told)
        if told != passed_on:
            yield Piece(usage=told)

    def _heard(self, timeouts: Timeouts) -> Iterator[Piece | ModelFailure]:
        """What arrives in time, up to what had arrived when time was over or the call was stopped."""
        now = time.monotonic()
        end = now + timeouts.total
        deadline = min(now + timeouts.first, end)
        while not self.stopped() and time.monotonic() < end:
            try:
                arrival = self._arrivals.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                self._line.catch_up()
                if self._arrivals.empty():
                    break
                continue
            if arrival is not None:
                yield arrival
                deadline = min(time.monotonic() + timeouts.between, end)
        self._line.catch_up(then=self.cancel)
        with suppress(Empty):
            while True:
                if (arrival := self._arrivals.get_nowait()) is not None:
                    yield arrival

    def look(self) -> None:
        """Wakes whoever waits, if they are to stop."""
        if self.stopped():
            self._arrivals.put(None)

    def cancel(self) -> None:
        """Closes the connection; nothing is delivered any more."""
        self._task.cancel()


class _Line:
    """The loop on which all calls of this process run, and its thread."""

    def __init__(self, calls: "Calls") -> None:
        self.calls = calls
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._under_way: set[_Call] = set()
        self._loop.call_soon(self._look)
        self._thread = threading.Thread(target=self._loop.run_forever, name="gemini-calls", daemon=True)
        self._thread.start()

    @contextmanager
    def calling(self, prompt: Prompt, stopped: Callable[[], bool]) -> Iterator[_Call]:
        """Asks; hangs up on the way out."""
        call = _Call(self, prompt, stopped)
        with self._lock:
            self._under_way.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._under_way.remove(call)
            call.cancel()

    def _look(self) -> None:
        self._loop.call_later(_GLANCE, self._look)
        with self._lock:
            calls = list(self._under_way)
        for call in calls:
            call.look()

    def start(self, deed: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            return asyncio.run_coroutine_threadsafe(deed, self._loop)
        except RuntimeError:
            deed.close()
        raise failure("unreachable", "the client was closed")

    def catch_up(self, *, then: Callable[[], None] = lambda: None) -> None:
        """Returns when everything that has arrived by now is delivered, and `then` was called."""

        async def turn() -> None:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            then()

        self._wait_for(turn())

    def close(self) -> None:
        self._wait_for(self.calls.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_GOODBYE)
        self._loop.close()

    def _wait_for(self, deed: Coroutine[Any, Any, None]) -> None:
        with suppress(TimeoutError):
            self.start(deed).result(_GOODBYE)
