"""Finding messages in PostgreSQL: by their words through the index, else by their look among the latest."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text

from adapters.persistence.chat.rows import MESSAGE_COLUMNS, message_of
from adapters.persistence.engine import transaction
from adapters.persistence.tables import MESSAGE_WORDS
from gemini_core.model.chat import Hit
from gemini_core.model.ids import UserId
from gemini_core.model.requests import Page

COLUMNS = ", ".join(f"m.{column.name}" for column in MESSAGE_COLUMNS)
# Control characters, which a snippet has no use for, mark the words in it.
START, STOP = "\x02", "\x03"
SNIPPET = f"StartSel={START}, StopSel={STOP}, MaxWords=30, MinWords=15, MaxFragments=2"
SNIPPET_CHARACTERS = 200
QUERY = "websearch_to_tsquery('simple', :query)"
# So many of the latest matches are ranked: a word that is in everything costs no more than that.
RANKED = 500
# The user is compared as well as looked up: the index is there to find, not to guard.
SEARCH = text(
    f"""
    WITH found AS MATERIALIZED (
        SELECT m.* FROM messages m
        WHERE ({MESSAGE_WORDS}) @@ ({QUERY} && CAST(:own AS tsquery)) AND NOT superseded AND content <> ''
            AND user_id = :reader AND numnode({QUERY}) > 0
        ORDER BY m.id DESC LIMIT {RANKED}
    ), ranked AS (
        SELECT *, ts_rank_cd(to_tsvector('simple', left(content, 50000)), {QUERY}, 1)::float8 AS rank FROM found
    ), best AS (
        SELECT * FROM ranked WHERE (rank, id) < (:rank, :id) ORDER BY rank DESC, id DESC LIMIT :limit
    )
    SELECT {COLUMNS}, m.rank, r.title,
        ts_headline('simple', translate(left(m.content, 50000), :marks, ''), {QUERY}, :snippet) AS snippet
    FROM best m JOIN chatrooms r ON r.id = m.chatroom_id ORDER BY m.rank DESC, m.id DESC
    """  # noqa: S608 - constants
)
LATEST = f"""
    SELECT {COLUMNS}, r.title, {{alike}} AS alike
    FROM (SELECT id, title FROM chatrooms WHERE user_id = :reader ORDER BY updated_at DESC LIMIT 50) r,
        LATERAL (SELECT * FROM messages m WHERE m.chatroom_id = r.id AND NOT m.superseded AND m.content <> ''
                 ORDER BY m.id DESC LIMIT 40) m
    WHERE m.content ILIKE :pattern OR {{alike}} >= 0.5
    ORDER BY alike DESC, m.id DESC LIMIT :limit
"""  # noqa: S608 - constants
BY_LOOK = text(LATEST.format(alike="word_similarity(:query, left(m.content, 2000))"))
BY_PART = text(LATEST.format(alike="0"))
HAS_TRIGRAMS = text("SELECT FROM pg_extension WHERE extname = 'pg_trgm'")
# What stands in for nothing: PostgreSQL's parser stumbles over many of them.
DASHES = re.compile(r'-(?![^\s"-])(?!"[^\s"])')
# Whoever writes a phrase or an exclusion wants just that.
SAID_EXACTLY = re.compile(r'"|(?<!\S)-\S')
TOP = ("Infinity", str(UUID(int=(1 << 128) - 1)))


@dataclass(frozen=True, slots=True)
class SqlSearch:
    """`MessageSearch` on PostgreSQL."""

    engine: Engine

    def search(self, reader: UserId, query: str, *, limit: int, after: tuple[str, ...] | None) -> Page[Hit]:
        with transaction(self.engine) as connection:
            rows = _by_words(connection, reader, query, limit + 1, after or TOP)
            if not rows and after is None and not SAID_EXACTLY.search(query):
                alike = _by_look(connection, reader, query, limit)
                return Page(tuple(_hit(row, *_around(row.content, query)) for row in alike))
        last = rows[limit - 1] if len(rows) > limit else None
        hits = tuple(_hit(row, *_marked(row.snippet)) for row in rows[:limit])
        return Page(hits, None if last is None else (repr(last.rank), str(last.id)))


def _by_words(connection: Connection, reader: UserId, query: str, limit: int, after: tuple[str, ...]) -> list[Row[Any]]:
    rank, id = after
    values = {
        "reader": reader,
        "query": DASHES.sub(" ", query),
        "own": f"'user {reader}'",
        "rank": float(rank),
        "id": UUID(id),
        "limit": limit,
        "marks": START + STOP,
        "snippet": SNIPPET,
    }
    return list(connection.execute(SEARCH, values))


def _by_look(connection: Connection, reader: UserId, query: str, limit: int) -> list[Row[Any]]:
    """What has the query in it as it is, or, where the server can tell, what looks like it."""
    statement = BY_PART if connection.execute(HAS_TRIGRAMS).one_or_none() is None else BY_LOOK
    literally = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    values = {"reader": reader, "query": query, "pattern": f"%{literally}%", "limit": limit}
    return list(connection.execute(statement, values))


def _hit(row: Row[Any], snippet: str, highlights: tuple[tuple[int, int], ...]) -> Hit:
    return Hit(message=message_of(row), room_title=row.title, snippet=snippet, highlights=highlights)


def _marked(snippet: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The snippet without its marks, and where they were."""
    plain, *marked = snippet.split(START)
    highlights = []
    for part in marked:
        word, _, rest = part.partition(STOP)
        highlights.append((len(plain), len(word)))
        plain += word + rest
    return plain, tuple(highlights)


def _around(content: str, query: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The text around the query, or else its beginning."""
    found = re.search(re.escape(query), content, re.IGNORECASE)
    if found is None:
        return content[:SNIPPET_CHARACTERS], ()
    start = max(found.start() - SNIPPET_CHARACTERS // 4, 0)
    snippet, place = content[start : start + SNIPPET_CHARACTERS], found.start() - start
    return snippet, ((place, min(len(found.group()), len(snippet) - place)),)
