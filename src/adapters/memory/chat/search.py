"""Finding messages in the process: every word of the query is somewhere in the text."""

import re
from dataclasses import dataclass

from adapters.memory.chat.tables import MemoryChat
from gemini_core.model.chat import Hit, Message
from gemini_core.model.ids import UserId
from gemini_core.model.requests import Page

AROUND = 60
WANTED = re.compile(r'(?<!-)"([^"]*)"|(?<!\S)(?!-)([^\s"]+)')
UNWANTED = re.compile(r"(?<!\S)-(\S+)")


@dataclass(frozen=True, slots=True)
class MemorySearch:
    """`MessageSearch` in the process."""

    chat: MemoryChat

    def search(self, reader: UserId, query: str, *, limit: int, after: tuple[str, ...] | None) -> Page[Hit]:
        wanted = [_words(phrase or word) for phrase, word in WANTED.findall(query)]
        unwanted = [_words(word) for word in UNWANTED.findall(query)]
        wanted = [words for words in wanted if words]
        with self.chat.store.lock:
            rooms = [room for room in self.chat.rooms.values() if room.user_id == reader]
            mine = [(message, room.title) for room in rooms for message in self.chat.messages[room.id].values()]
        found = [
            (_rank(message, wanted), message, title)
            for message, title in mine
            if wanted and not message.superseded and _has(message, wanted) and not _has_any(message, unwanted)
        ]
        found.sort(key=lambda hit: (hit[0], hit[1].id), reverse=True)
        start = 0 if after is None else int(after[0])
        hits = tuple(_hit(message, title, wanted[0][0]) for _, message, title in found[start : start + limit])
        return Page(hits, (str(start + limit),) if len(found) > start + limit else None)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _has(message: Message, wanted: list[list[str]]) -> bool:
    said = f" {' '.join(_words(message.content))} "
    return all(f" {' '.join(words)} " in said for words in wanted)


def _has_any(message: Message, unwanted: list[list[str]]) -> bool:
    return any(words and _has(message, [words]) for words in unwanted)


def _rank(message: Message, wanted: list[list[str]]) -> float:
    said = _words(message.content)
    return sum(said.count(word) for words in wanted for word in words) / len(said)


def _hit(message: Message, title: str, word: str) -> Hit:
    found = re.search(re.escape(word), message.content, re.IGNORECASE)
    first, end = found.span() if found else (0, 0)
    start = max(first - AROUND, 0)
    snippet = message.content[start : end + AROUND]
    return Hit(message=message, room_title=title, snippet=snippet, highlights=((first - start, end - first),))
