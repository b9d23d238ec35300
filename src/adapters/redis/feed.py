"""Replies while they are made, in Redis streams: written by workers, read by any number of followers.

A process reads all the streams it follows over one connection of its own: a thread waits for news on all of them at
once, and hands them out. To make it look at a stream it does not wait for yet, a stream of the process's own is
written to, which it always waits for.
"""

import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from redis import Redis

from adapters.redis.client import AWAY
from gemini_core.model.ids import MessageId
from gemini_core.model.replies import FEED_LIVES, FeedEvent

log = logging.getLogger(__name__)

LIVES = int(FEED_LIVES.total_seconds())
START = b"0-0"
# Seconds in which the reading thread waits for news; it then looks whether anybody still follows.
BLOCK = 2.0
# How long nothing is written after Redis was away, so that a worker is not held up at every piece of text.
REST = 1.0

Entry = tuple[bytes, dict[bytes, bytes]]


@dataclass(slots=True)
class _Stream:
    """A stream that is followed: how far it was read, and by whom."""

    position: bytes
    followers: list["SimpleQueue[list[Entry]]"] = field(default_factory=list)


class RedisFeed:
    """`ReplyFeed` in Redis. `client` for short commands, `waiting` with a socket time-out above `BLOCK`."""

    def __init__(self, client: "Redis", waiting: "Redis") -> None:
        self._client = client
        self._waiting = waiting
        self._wake = f"feed-wake:{secrets.token_hex(8)}".encode()
        self._streams: dict[bytes, _Stream] = {}
        self._lock = Lock()
        self._reader: Thread | None = None
        self._rest_until = 0.0

    def append(self, reply: MessageId, attempt: int, start: int, text: str) -> None:
        self._write(reply, {"a": attempt, "s": start, "t": text})

    def end(self, reply: MessageId) -> None:
        self._write(reply, {"e": 1})

    def forget(self, reply: MessageId) -> None:
        try:
            self._client.unlink(_key(reply))
        except AWAY:
            log.warning("reply feed away", exc_info=False)

    def follow(self, reply: MessageId, *, patience: float) -> Iterator[Sequence[FeedEvent]]:
        key = _key(reply)
        backlog, position = self._backlog(key, START)
        yield backlog
        if backlog and backlog[-1].end:
            return
        with self._following(key, position) as news:
            # What came between the backlog and the following, where somebody else followed already.
            missed, position = self._backlog(key, position)
            if missed:
                yield missed
            while not (missed and missed[-1].end):
                try:
                    entries = [entry for entry in news.get(timeout=patience) if _after(entry[0], position)]
                except Empty:
                    missed = []
                    yield missed
                    continue
                if entries:
                    position = entries[-1][0]
                    missed = [_event(fields) for _, fields in entries]
                    yield missed

    def _write(self, reply: MessageId, fields: dict[Any, Any]) -> None:
        if time.monotonic() < self._rest_until:
            return
        key = _key(reply)
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.xadd(key, fields)
                pipe.expire(key, LIVES)
                pipe.execute()
        except AWAY:
            self._rest_until = time.monotonic() + REST
            log.warning("reply feed away", exc_info=False)

    def _backlog(self, key: bytes, position: bytes) -> tuple[list[FeedEvent], bytes]:
        try:
            entries: Any = self._client.xrange(key, min=b"(" + position)
        except AWAY:
            return [], position
        return [_event(fields) for _, fields in entries], entries[-1][0] if entries else position

    @contextmanager
    def _following(self, key: bytes, position: bytes) -> Iterator["SimpleQueue[list[Entry]]"]:
        news: SimpleQueue[list[Entry]] = SimpleQueue()
        with self._lock:
            self._streams.setdefault(key, _Stream(position)).followers.append(news)
            if self._reader is None:
                self._reader = Thread(target=self._read, name="reply-feed", daemon=True)
                self._reader.start()
        self._call()
        try:
            yield news
        finally:
            with self._lock:
                stream = self._streams[key]
                stream.followers.remove(news)
                if not stream.followers:
                    del self._streams[key]

    def _call(self) -> None:
        """Make the reading thread look at what is followed now."""
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.xadd(self._wake, {"w": 1}, maxlen=1)
                pipe.expire(self._wake, LIVES)
                pipe.execute()
        except AWAY:
            pass  # The reader comes back by itself, and the follower looks at the store meanwhile.

    def _read(self) -> None:
        called = START
        while True:
            with self._lock:
                wanted: dict[Any, Any] = {key: stream.position for key, stream in self._streams.items()}
                if not wanted:
                    self._reader = None
                    return
            try:
                answer: Any = self._waiting.xread({self._wake: called, **wanted}, block=int(BLOCK * 1000))
            except AWAY:
                time.sleep(0.2)
                continue
            for key, entries in _streams_of(answer):
                if key == self._wake:
                    called = entries[-1][0]
                else:
                    self._hand_out(key, entries)
            # With many streams, a short rest lets news gather: fewer, larger reads.
            time.sleep(min(0.02, len(wanted) / 50_000))

    def _hand_out(self, key: bytes, entries: list[Entry]) -> None:
        with self._lock:
            stream = self._streams.get(key)
            if stream is not None:
                stream.position = entries[-1][0]
                for follower in stream.followers:
                    follower.put(entries)


def _key(reply: MessageId) -> bytes:
    return b"feed:" + reply.bytes


def _event(fields: dict[bytes, bytes]) -> FeedEvent:
    if b"e" in fields:
        return FeedEvent(0, 0, "", end=True)
    return FeedEvent(int(fields[b"a"]), int(fields[b"s"]), fields[b"t"].decode())


def _after(entry: bytes, position: bytes) -> bool:
    """Ids are `<milliseconds>-<number>`."""
    return tuple(map(int, entry.split(b"-"))) > tuple(map(int, position.split(b"-")))


def _streams_of(answer: Any) -> list[tuple[bytes, list[Entry]]]:
    """What XREAD answered, in either version of the protocol."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return [(key, [entry for chunk in chunks for entry in chunk]) for key, chunks in answer.items()]
    return [(key, entries) for key, entries in answer]
