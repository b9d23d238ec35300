"""What the fake Gemini can do when it is asked: scenes, and who chooses them."""

import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Send:
    """Bytes of the event stream. `usage` is what the provider has reported once they are out."""

    data: bytes
    usage: tuple[int, int] | None = None


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Until:
    """Says nothing more before this has happened."""

    event: threading.Event


@dataclass(frozen=True)
class Hang:
    """Says nothing more, until the client hangs up."""


@dataclass(frozen=True)
class Drip:
    """Sends the same few bytes again and again, until the client hangs up."""

    data: bytes
    every: float = 0.02


@dataclass(frozen=True)
class BreakOff:
    """Resets the connection."""


Step = Send | Pause | Until | Hang | Drip | BreakOff


@dataclass(frozen=True)
class Scene:
    """The steps of one stream. Its head is sent with its first bytes; where the steps end, the stream ends."""

    name: str
    steps: tuple[Step, ...]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """An HTTP error instead of a stream."""

    name: str
    status: int
    word: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    details: tuple[Mapping[str, Any], ...] = ()
    raw: bytes | None = None  # instead of the usual body

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        error = {"code": self.status, "message": self.message, "status": self.word, "details": list(self.details)}
        return json.dumps({"error": error}).encode()


Play = Scene | Refusal


@dataclass(frozen=True)
class Question:
    """What a director decides by."""

    text: str
    prompt_tokens: int


Director = Callable[[Question], Play]
ASKED = "the model that is asked"  # the server puts its name here
THOUGHTS = 7  # tokens that every answer spends on thinking


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def reply_to(text: str) -> str:
    """The one right reply: its two ends say what it belongs to, so a mixed up, doubled or cut reply shows."""
    return f"<{digest(text)}> You said: {text[:200]} </{digest(text)}>"


def echo(question: Question, *, pause: float = 0.0) -> Scene:
    """The right reply, in pieces of up to 12 characters."""
    said = reply_to(question.text)
    texts = [said[start : start + 12] for start in range(0, len(said), 12)]
    return answer(*texts, pause=pause, prompt_tokens=question.prompt_tokens)


def chunk(
    text: str | None = None,
    *,
    finish: str | None = None,
    usage: tuple[int, int] | None = None,
    thought: bool = False,
    **more: Any,
) -> Send:
    """One event as Gemini sends it. `usage`: prompt tokens, and output tokens of which `THOUGHTS` are thoughts."""
    candidate: dict[str, Any] = {"index": 0}
    if text is not None:
        part = {"text": text, "thought": True} if thought else {"text": text}
        candidate["content"] = {"role": "model", "parts": [part]}
    if finish:
        candidate["finishReason"] = finish
    body: dict[str, Any] = {"candidates": [candidate], "modelVersion": ASKED, **more}
    if usage:
        body["usageMetadata"] = _usage_metadata(usage)
    return Send(event(body), usage)


def _usage_metadata(usage: tuple[int, int]) -> dict[str, int]:
    prompt, output = usage
    thoughts = min(THOUGHTS, output)
    return {
        "promptTokenCount": prompt,
        "candidatesTokenCount": output - thoughts,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt + output,
    }


def event(body: object, *, ascii: bool = False) -> bytes:  # noqa: A002
    return b"data: " + json.dumps(body, ensure_ascii=ascii).encode() + b"\r\n\r\n"


def answer(*texts: str, finish: str = "STOP", pause: float = 0.0, prompt_tokens: int = 10) -> Scene:
    """A whole reply; every event carries the usage so far, and the last one the reason."""
    said = spoken(*texts, prompt_tokens=prompt_tokens)
    steps: list[Step] = [step for sent in said for step in ((Pause(pause), sent) if pause else (sent,))]
    usage = said[-1].usage if said else (prompt_tokens, THOUGHTS)
    return Scene(f"answer:{finish}", (*steps, chunk("", finish=finish, usage=usage)))


def spoken(*texts: str, prompt_tokens: int = 10) -> list[Send]:
    """The beginning of a reply."""
    words = [sum(len(text.split()) for text in texts[: place + 1]) for place in range(len(texts))]
    return [chunk(text, usage=(prompt_tokens, THOUGHTS + said)) for text, said in zip(texts, words, strict=True)]


def overloaded(*, retry_after: str | None = None, retry_delay: str | None = None) -> Refusal:
    """429, with the wait as a `Retry-After` header or as `RetryInfo`, or with none."""
    info: tuple[Mapping[str, Any], ...] = ()
    if retry_delay:
        info = ({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay},)
    headers = {"Retry-After": retry_after} if retry_after else {}
    return Refusal("429", 429, "RESOURCE_EXHAUSTED", "Resource has been exhausted.", headers, info)


def unavailable(status: int = 503) -> Refusal:
    return Refusal(str(status), status, "UNAVAILABLE", "The model is overloaded. Please try again later.")


def hangs(*texts: str) -> Scene:
    return Scene("hang", (*spoken(*texts), Hang()))


def drips(*texts: str, data: bytes = b": keep-alive\n\n") -> Scene:
    return Scene("drip", (*spoken(*texts), Drip(data)))


def breaks_off(*texts: str) -> Scene:
    """What was sent may be lost with the connection, so it costs nothing."""
    return Scene("break-off", (*(chunk(text) for text in texts), BreakOff()))


def cut_short(*texts: str) -> Scene:
    """Ends in good order, but without a finish reason."""
    return Scene("cut-short", tuple(spoken(*texts)))


def malformed(*texts: str) -> Scene:
    return Scene("malformed", (*spoken(*texts), Send(b'data: {"candidates": [{"cont\r\n\r\n')))


def empty(finish: str = "STOP") -> Scene:
    return Scene("empty", (chunk(finish=finish, usage=(10, 0)),))


def blocked_prompt(reason: str = "SAFETY") -> Scene:
    body = {"promptFeedback": {"blockReason": reason}, "usageMetadata": _usage_metadata((10, 0))}
    return Scene(f"blocked-prompt:{reason}", (Send(event(body), (10, 0)),))


def blocked_reply(*texts: str, reason: str = "SAFETY") -> Scene:
    return Scene(f"blocked-reply:{reason}", (*(chunk(text) for text in texts), chunk(finish=reason, usage=(10, 9))))


FAULTS: Mapping[str, Play] = {
    "429": overloaded(retry_after="1"),
    "503": unavailable(),
    "hang": hangs(),
    "hang-between": hangs("Half of an "),
    "drip": drips("Half of an "),
    "break-off": breaks_off("Half of an "),
    "cut-short": cut_short("Half of an "),
    "malformed": malformed("Half of an "),
    "empty": empty(),
}


class Faults:
    """A director that puts faults before the right reply: chosen by seed, question and attempt, never by the clock."""

    def __init__(
        self, seed: int, rate: float, *, most: int = 2, kinds: Collection[str] = tuple(FAULTS), pause: float = 0.0
    ) -> None:
        self._seed, self._rate, self._most, self._kinds, self._pause = seed, rate, most, sorted(kinds), pause
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()

    def __call__(self, question: Question) -> Play:
        key = digest(question.text)
        with self._lock:
            self._attempts[key] += 1
            attempt = self._attempts[key]
        dice = random.Random(f"{self._seed}:{key}:{attempt}")
        if attempt <= self._most and dice.random() < self._rate:
            return FAULTS[dice.choice(self._kinds)]
        return echo(question, pause=self._pause)
