"""What answers while there is no API key."""

import re
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

from gemini_core.model.chat import Role, Usage
from gemini_core.model.replies import Piece, Prompt, Timeouts

_ECHOED_WORDS = 60
_CHARACTERS_PER_TOKEN = 4
NAME = "demo"


class DemoModel:
    """The same question gets the same answer: that this is a demo, how to end that, and what was asked.

    `pause` is the time between two words in seconds, at most a quarter of one.
    """

    def __init__(self, *, pause: float = 0.03) -> None:
        self._pause = min(pause, 0.25)

    def stream(
        self,
        prompt: Prompt,
        *,
        timeouts: Timeouts,
        stopped: Callable[[], bool],
    ) -> Iterator[Piece]:
        asked = _tokens(prompt.system + "".join(turn.text for turn in prompt.turns))
        said = ""
        for word in _words(_answer(prompt)):
            time.sleep(self._pause)
            if stopped():
                return
            said += word
            yield Piece(word, Usage(asked, _tokens(said)), model=NAME)
        yield Piece(usage=Usage(asked, _tokens(said)), finish_reason="stop", model=NAME)


def _answer(prompt: Prompt) -> str:
    questions = [turn for turn in prompt.turns if turn.role is Role.USER]
    words = _words(questions[-1].text.strip())
    echo = "".join(words[:_ECHOED_WORDS]).rstrip() + (" …" if len(words) > _ECHOED_WORDS else "")
    size = _counted(len(words), "word")
    if files := questions[-1].attachments:
        size += " and " + _counted(len(files), "file")
    return (
        "This is the demo model: no GEMINI_API_KEY is set, so nobody clever is listening. "
        "Set GEMINI_API_KEY and start again to talk to Gemini.\n\n"
        f"Your message number {len(questions)} in this conversation has {size}:\n\n> " + echo.replace("\n", "\n> ")
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _words(text: str) -> list[str]:
    """The words of `text`, each with the space that follows it; joined they are the text again."""
    starts = [0, *(match.end() for match in re.finditer(r"\s+(?=\S)", text)), len(text)]
    return [text[start:end] for start, end in pairwise(starts) if end > start]


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)
