"""A director for tests that share a fake: each question has a script of its own."""

import threading
from collections import defaultdict, deque
from functools import partial

from tests.fakes.gemini.scenes import Director, Play, Question, echo


class Script:
    """Plays what was written for a question, one play a time; then, and for other questions, the right reply."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plays: defaultdict[str, deque[Play]] = defaultdict(deque)
        self._then: dict[str, Director] = {}

    def on(self, text: str, *plays: Play, pause: float = 0.0) -> str:
        """What follows when `text` is asked; `pause`: seconds between two pieces of the reply after these plays."""
        with self._lock:
            self._plays[text].extend(plays)
            self._then[text] = partial(echo, pause=pause)
        return text

    def __call__(self, question: Question) -> Play:
        with self._lock:
            if plays := self._plays[question.text]:
                return plays.popleft()
            return self._then.get(question.text, echo)(question)
