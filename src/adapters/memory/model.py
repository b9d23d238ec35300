"""A language model that says what it was told to say: for tests, and for a first look without a provider."""

import threading
from collections.abc import Callable, Iterable, Iterator

from gemini_core.model.chat import Usage
from gemini_core.model.replies import ModelFailure, Piece, Prompt, Timeouts

Answer = str | ModelFailure | Iterable[Piece | ModelFailure]


class ScriptedModel:
    """Gives one of `answers` per call, in order; the last one for ever after.

    An answer is a text (streamed word by word), a failure, or pieces of which the last may be a failure; they may come
    from a generator, which can wait for what it likes between them. `prompts` is what was asked, in order.
    """

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._answers = list(answers)
        if not self._answers:
            raise ValueError("a scripted model needs at least one answer")
        self._lock = threading.Lock()
        self.prompts: list[Prompt] = []

    def stream(
        self,
        prompt: Prompt,
        *,
        timeouts: Timeouts,
        stopped: Callable[[], bool],
    ) -> Iterator[Piece]:
        with self._lock:
            answer = self._answers[min(len(self.prompts), len(self._answers) - 1)]
            self.prompts.append(prompt)
        for said in _pieces(answer, prompt):
            if stopped():
                return
            if isinstance(said, ModelFailure):
                raise said
            yield said


def _pieces(answer: Answer, prompt: Prompt) -> Iterable[Piece | ModelFailure]:
    if isinstance(answer, ModelFailure):
        return [answer]
    if not isinstance(answer, str):
        return answer
    words = answer.split(" ")
    asked = sum(len(turn.text.split()) for turn in prompt.turns)
    pieces = [Piece(word if place == 0 else f" {word}") for place, word in enumerate(words)]
    return [*pieces, Piece(usage=Usage(asked, len(words)), finish_reason="stop")]
