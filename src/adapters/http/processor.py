"""Keeping the request threads of a process on one processor.

They share the interpreter's lock, so only one of them runs at a time. Spread over all processors, as the kernel has it,
whoever is woken tries for a lock that the waker still holds, and each message costs 20 changes of threads instead of 8.
"""

import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Thread, local
from typing import Any, Final

Application = Callable[[Any, Any], Iterable[bytes]]

LOOK_SECONDS: Final = 2.0
# By so much of a processor strangers must use more of ours than anybody uses of another one.
WORTH_A_MOVE: Final = 0.3


class OneProcessor:
    """A WSGI application whose threads take turns on one processor; on another one when strangers crowd that.

    What they start runs there too, unless it sets itself free (`os.sched_setaffinity`). The kernel keeps whatever may
    run elsewhere out of the way, so what crowds a processor is kept to it too: another process like this one.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._allowed = os.sched_getaffinity(0)
        self._processor = random.choice(sorted(self._allowed))  # noqa: S311 - nothing hangs on it
        self._thread = local()
        Thread(target=self._look, name="processor", daemon=True).start()

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if not hasattr(self._thread, "kept"):
            self._thread.kept = True
            os.sched_setaffinity(0, {self._processor})
        return self._application(environ, start_response)

    def _look(self) -> None:
        idle, own = idle_seconds(), time.process_time()
        while self._allowed <= idle.keys():
            time.sleep(LOOK_SECONDS)
            before, idle = idle, idle_seconds()
            before_own, own = own, time.process_time()
            free = {each: (idle.get(each, 0) - before[each]) / LOOK_SECONDS for each in self._allowed}
            chosen = less_crowded(self._processor, free, (own - before_own) / LOOK_SECONDS)
            # Two who crowd each other see the same: it is enough if one of them goes.
            if chosen is not None and random.random() < 0.5:  # noqa: S311
                self.move(chosen)

    def move(self, processor: int) -> None:
        """All threads that are kept to one go to this one."""
        self._processor = processor
        for thread in [int(entry.name) for entry in Path("/proc/self/task").iterdir()]:
            try:
                if len(os.sched_getaffinity(thread)) == 1:
                    os.sched_setaffinity(thread, {processor})
            except ProcessLookupError:
                continue


def less_crowded(processor: int, free: Mapping[int, float], own: float) -> int | None:
    """Where to go from a processor of which this process uses the part `own`; None: stay. `free`: parts, 0 to 1."""
    best = max(free, key=free.__getitem__)
    strangers = 1 - free[processor] - own
    return best if strangers - (1 - free[best]) > WORTH_A_MOVE else None


def idle_seconds() -> Mapping[int, float]:
    """For how long each processor has had nothing to do since the machine started; empty where nobody tells."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    rows = [line.split() for line in lines if line.startswith("cpu") and not line.startswith("cpu ")]
    ticks = os.sysconf("SC_CLK_TCK")
    return {int(row[0].removeprefix("cpu")): (int(row[4]) + int(row[5])) / ticks for row in rows}


def kept_to_one(application: Application) -> Application:
    """The same application, in one place; as it was where threads cannot be kept."""
    if sys.platform != "linux":
        return application
    try:
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, allowed)
    except OSError:
        return application
    return OneProcessor(application) if len(allowed) > 1 else application
