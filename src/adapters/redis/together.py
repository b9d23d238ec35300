"""Scripts that many threads want run at once, in few round trips."""

from collections.abc import Sequence
from hashlib import sha1
from threading import Lock
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from adapters.redis.client import Redis


class Script:
    """A script, and the name under which Redis keeps it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


class Together:
    """Whoever finds nobody on the way to Redis goes, with everything that others want by then.

    A thread that is alone pays for its own round trip, as ever. In a crowd, where every read and write of a socket
    makes threads change places, one of them goes for all.
    """

    def __init__(self, client: "Redis") -> None:
        self._client = client
        self._lock = Lock()
        self._waiting: list[_Errand] = []
        self._somebody_goes = False

    def run(self, script: Script, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """The script's answer. Raises what redis-py raises."""
        errand = _Errand(script, (len(keys), *keys, *arguments))
        with self._lock:
            self._waiting.append(errand)
            errand.leads = not self._somebody_goes
            self._somebody_goes = True
        if not errand.leads:
            errand.done.acquire()
        if errand.leads:
            self._go()
        if isinstance(errand.outcome, Exception):
            raise errand.outcome
        return errand.outcome

    def _go(self) -> None:
        """One round trip for all who wait; then the first of those who came meanwhile is told to go."""
        with self._lock:
            errands, self._waiting = self._waiting, []
        outcomes: list[Any] = [RedisError("Whoever went was stopped on the way.")] * len(errands)
        try:
            outcomes = self._outcomes(errands)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome for all of them
            outcomes = [error] * len(errands)
        finally:
            self._hand_out(errands, outcomes)

    def _hand_out(self, errands: Sequence["_Errand"], outcomes: Sequence[Any]) -> None:
        with self._lock:
            self._somebody_goes = bool(self._waiting)
            following = self._waiting[:1]
        for errand, outcome in zip(errands, outcomes, strict=True):
            errand.outcome = outcome
            errand.done.release()
        for errand in following:
            errand.leads = True
            errand.done.release()

    def _outcomes(self, errands: Sequence["_Errand"]) -> list[Any]:
        outcomes = self._sent([("EVALSHA", errand.script.sha, *errand.arguments) for errand in errands])
        unknown = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, NoScriptError)]
        if unknown:
            again = self._sent([("EVAL", errands[place].script.text, *errands[place].arguments) for place in unknown])
            for place, outcome in zip(unknown, again, strict=True):
                outcomes[place] = outcome
        return outcomes

    def _sent(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        client: Any = self._client  # these parts of it have no types
        if len(commands) == 1:
            try:
                return [client.execute_command(*commands[0])]
            except RedisError as error:
                return [error]
        with client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return list(pipeline.execute(raise_on_error=False))


class _Errand:
    """What a thread wants, and what came of it. `leads`: it is this thread's turn to go."""

    __slots__ = ("arguments", "done", "leads", "outcome", "script")

    def __init__(self, script: Script, arguments: tuple[Any, ...]) -> None:
        self.script = script
        self.arguments = arguments
        self.outcome: Any = None
        self.leads = False
        self.done = Lock()
        self.done.acquire()
