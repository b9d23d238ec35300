"""Users' room lists, kept close in Redis.

One hash a user: a version, and the lists made under it. A change begins a new version; a list is kept only if the
version is still the one that was there before the list was read from the database. So a reader that was slow, or was
overtaken by a change, keeps nothing. Lists are those of one life of the server: what it brings back after a restart
may be older than changes that it could not hear of, and is never shown.

A change is told to Redis after it is committed. In a crowd, somebody else goes to Redis meanwhile: who goes takes the
news along, and as it may then be there before the commit, no list is kept for the moment that a commit takes. So the
change costs its author no wait.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from threading import Lock, Thread
from typing import Any
from uuid import UUID

from adapters.redis.client import AWAY
from adapters.redis.scripts import Script, Scripts
from gemini_core.errors import Unavailable
from gemini_core.model.chat import Chatroom
from gemini_core.model.ids import UserId, random_bits
from gemini_core.model.requests import Page

log = logging.getLogger(__name__)

# Seconds. A version outlives every list made under it; lists live shortly, which bounds what an outage could leave.
VERSION_LIVES = 120
LIST_LIVES = 30
# Nothing is kept for so long after a change was announced; a change that takes more than half of it is told again.
CLOSED = 1.0

READ = Script("""
local life = redis.call('INFO', 'server'):match('run_id:(%x+)')
local version, kept = unpack(redis.call('HMGET', KEYS[1], 'version', life .. ARGV[1]))
return {life, version or '', kept}
""")
CHANGE = Script("""
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local closed = math.max(redis.call('HGET', KEYS[1], 'closed') or 0, now + ARGV[3])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'version', ARGV[1])
if closed > now then redis.call('HSET', KEYS[1], 'closed', closed) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
""")
KEEP = Script("""
local version, closed = unpack(redis.call('HMGET', KEYS[1], 'version', 'closed'))
if (version or '') ~= ARGV[1] then return 0 end
local now = redis.call('TIME')
if closed and now[1] * 1000 + now[2] / 1000 < tonumber(closed) then return 0 end
if not version then redis.call('HSET', KEYS[1], 'version', ARGV[2]) end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
""")


class RedisRoomLists:
    """`RoomListCache` in Redis."""

    def __init__(self, scripts: Scripts, *, closed: float = CLOSED) -> None:
        self._scripts = scripts
        self._closed = closed
        self._unsettled: set[UserId] = set()
        self._lock = Lock()

    def fetch(self, owner: UserId, key: str, make: Callable[[], Page[Chatroom]]) -> Page[Chatroom]:
        if owner in self._unsettled:
            return make()
        try:
            life, version, kept = self._scripts.run(READ, [_key(owner)], [key])
        except AWAY:
            return make()
        if kept is not None and (page := _fresh(kept)) is not None:
            return page
        page = make()
        try:
            arguments = [version, _new_version(), life + key.encode(), _written(page), VERSION_LIVES]
            self._scripts.run(KEEP, [_key(owner)], arguments)
        except AWAY:
            log.debug("room list not kept")
        return page

    @contextmanager
    def changing(self, owner: UserId) -> Iterator[None]:
        begun = time.monotonic()
        announced = self._scripts.begin(*_change(owner, closed=self._closed))
        try:
            yield
        except Unavailable:
            # The database may have come to the end of it.
            self._scripts.withdraw(announced)
            self._tell(owner)
            raise
        except BaseException:
            self._scripts.withdraw(announced)
            raise
        if self._scripts.withdraw(announced) or time.monotonic() - begun > self._closed / 2:
            self._tell(owner)
            return
        try:
            self._scripts.finish(announced)
        except AWAY:
            # It set out before the change had come to its end: Redis may be back by now.
            self._tell(owner)

    def _tell(self, owner: UserId) -> None:
        try:
            self._scripts.run(*_change(owner))
        except AWAY:
            self._settle_later(owner)

    def _settle_later(self, owner: UserId) -> None:
        """Until Redis knows of the change, this process trusts no list of this user."""
        with self._lock:
            alone = not self._unsettled
            self._unsettled.add(owner)
        if alone:
            log.warning("room lists away")
            Thread(target=self._settle, name="room-lists", daemon=True).start()

    def _settle(self) -> None:
        while True:
            with self._lock:
                owner = next(iter(self._unsettled), None)
            if owner is None:
                return
            try:
                self._scripts.run(*_change(owner))
            except AWAY:
                time.sleep(0.1)
                continue
            with self._lock:
                self._unsettled.discard(owner)
                if not self._unsettled:
                    return


def _change(owner: UserId, *, closed: float = 0) -> tuple[Script, list[bytes], list[bytes | int]]:
    """A new version; nothing is kept under it for `closed` seconds."""
    return CHANGE, [_key(owner)], [_new_version(), VERSION_LIVES, int(closed * 1000)]


def _new_version() -> bytes:
    return random_bits(64).to_bytes(8)


def _key(owner: UserId) -> bytes:
    return b"rooms:" + owner.bytes


def _written(page: Page[Chatroom]) -> str:
    rooms = [[getattr(room, item.name) for item in fields(Chatroom)] for room in page.items]
    return json.dumps([time.time(), rooms, page.next], default=str)


def _fresh(kept: bytes) -> Page[Chatroom] | None:
    at, rooms, further = json.loads(kept)
    if not 0 <= time.time() - at < LIST_LIVES:
        return None
    names = [item.name for item in fields(Chatroom)]
    items = tuple(_room(dict(zip(names, room, strict=True))) for room in rooms)
    return Page(items, tuple(further) if further else None)


def _room(values: dict[str, Any]) -> Chatroom:
    for name in ("id", "user_id"):
        values[name] = UUID(values[name])
    for name in ("created_at", "updated_at"):
        values[name] = datetime.fromisoformat(values[name])
    return Chatroom(**values)
