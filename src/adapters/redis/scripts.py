"""Scripts that many threads want run at once, in few round trips."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from adapters.redis.client import Redis
from adapters.together import Errand, Together

# Scripts in one round trip; the server does nothing else meanwhile.
AT_MOST = 100


class Script:
    """A script, and the name under which Redis keeps it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


Wish = tuple[Script, tuple[Any, ...]]
Begun = Errand[Wish, Any]


class Scripts:
    """Runs scripts; those of a crowd go together."""

    def __init__(self, client: "Redis") -> None:
        self.client = client
        self._together: Together[Wish, Any] = Together(self._go, at_most=AT_MOST)

    def run(self, script: Script, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """The script's answer. Raises what redis-py raises."""
        return self.finish(self.begin(script, keys, arguments))

    def begin(self, script: Script, keys: Sequence[Any], arguments: Sequence[Any]) -> Begun:
        """Whoever goes to Redis next takes it along. To be finished or withdrawn."""
        return self._together.begin((script, (len(keys), *keys, *arguments)))

    def finish(self, begun: Begun) -> Any:
        """The script's answer. Raises what redis-py raises."""
        return self._together.finish(begun)

    def withdraw(self, begun: Begun) -> bool:
        """Whether it was not under way yet, and now will never be."""
        return self._together.withdraw(begun)

    def _go(self, wanted: Sequence[Wish]) -> Sequence[Any]:
        outcomes = self._sent([("EVALSHA", script.sha, *arguments) for script, arguments in wanted])
        unknown = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, NoScriptError)]
        if unknown:
            told = [wanted[place] for place in unknown]
            again = self._sent([("EVAL", script.text, *arguments) for script, arguments in told])
            for place, outcome in zip(unknown, again, strict=True):
                outcomes[place] = outcome
        return outcomes

    def _sent(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        client: Any = self.client  # these parts of it have no types
        if len(commands) == 1:
            try:
                return [client.execute_command(*commands[0])]
            except RedisError as error:
                return [error]
        with client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return list(pipeline.execute(raise_on_error=False))
