"""Identifiers: UUIDv7 (RFC 9562), so that they sort by the time of their making. A kind of thing, a type of id."""

import os
from datetime import datetime
from typing import NewType
from uuid import UUID

UserId = NewType("UserId", UUID)
SessionId = NewType("SessionId", UUID)
ChatroomId = NewType("ChatroomId", UUID)
MessageId = NewType("MessageId", UUID)
JobId = NewType("JobId", UUID)

# Before every other id.
NIL = UUID(int=0)

# Words of 128 random bits. Asking the system for each of them would make threads change places every time.
_WORDS: list[int] = []
_PAGE = 256
os.register_at_fork(after_in_child=_WORDS.clear)


def random_bits(count: int) -> int:
    """As `secrets.randbits`, for up to 128 bits."""
    try:
        word = _WORDS.pop()
    except IndexError:
        page = os.urandom(16 * _PAGE)
        word, *words = (int.from_bytes(page[place : place + 16]) for place in range(0, len(page), 16))
        _WORDS.extend(words)
    return word >> (128 - count)


def uuid7(at: datetime) -> UUID:
    """A fresh UUIDv7 of the instant `at` (aware; millisecond precision). The other 74 bits are random."""
    return uuid7_of_ms(unix_ms(at))


def uuid7_of_ms(ms: int) -> UUID:
    """A fresh UUIDv7 whose timestamp is `ms`, in milliseconds since 1970."""
    random = random_bits(74)
    return UUID(int=ms << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & ((1 << 62) - 1))


def unix_ms(at: datetime) -> int:
    """Milliseconds since 1970."""
    return int(at.timestamp() * 1000)
