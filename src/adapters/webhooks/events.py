"""Events posted to a service of the operator's own, signed."""

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx2

from adapters.standard_webhooks import signed
from gemini_core.model.events import Event, instant
from gemini_core.ports.clock import Clock
from gemini_core.ports.events import NotHeard

# Seconds. Whoever needs longer should take the event, answer, and then work on it.
CONNECT, ANSWER = 3.0, 10.0
GONE = 410
# How much of an answer is read, in bytes and seconds: only so that the connection can be used again.
MOST, LONGEST = 64 * 1024, 1.0


class EventWebhook:
    """`EventSink`. One POST for an event, the same bytes at every try; any 2xx means that it was heard.

    No redirect is followed, and no proxy settings are read: what is signed goes where the operator said, or nowhere.
    """

    def __init__(self, url: str, keys: Iterable[bytes], clock: Clock, *, patience: float = ANSWER) -> None:
        self._url = url
        self._keys = tuple(keys)
        self._clock = clock
        self._http = httpx2.Client(
            timeout=httpx2.Timeout(patience, connect=min(CONNECT, patience)),
            headers={"User-Agent": "gemini-backend", "Content-Type": "application/json"},
            follow_redirects=False,
            trust_env=False,
        )

    def tell(self, event: Event) -> None:
        body, now = body_of(event), self._clock.now()
        headers = signed(self._keys, str(event.id), now, body)
        try:
            with self._http.stream("POST", self._url, content=body, headers=headers) as answer:
                _read_a_little(answer)
        except httpx2.HTTPError as error:
            raise NotHeard(type(error).__name__) from None
        if not answer.is_success:
            asked = _seconds(answer.headers.get("retry-after", ""), now)
            raise NotHeard(f"answered {answer.status_code}", retry_after=asked, for_good=answer.status_code == GONE)

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def check(self) -> None:
        """Somebody answers there, whatever they answer. Raises httpx2's errors."""
        with self._http.stream("HEAD", self._url):
            pass


def body_of(event: Event) -> bytes:
    """`{"type", "timestamp", "data"}`; the id is in the header."""
    told = {
        "type": event.kind,
        "timestamp": instant(event.at),
        "data": {"user_id": str(event.user_id), **event.data},
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def _read_a_little(answer: httpx2.Response) -> None:
    """What comes after the status does not matter any more, whatever it is."""
    read, until = 0, time.monotonic() + LONGEST
    with suppress(httpx2.HTTPError):
        for piece in answer.iter_raw():
            read += len(piece)
            if read > MOST or time.monotonic() > until:
                break


def _seconds(asked: str, now: datetime) -> float | None:
    """`Retry-After`: seconds, or a date; None where there is none that can be read."""
    if asked.isascii() and asked.isdigit():
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - now).total_seconds())
    except (TypeError, ValueError):
        return None
