"""What a search costs among a million messages of a thousand users, and whether the index is used."""

import argparse
from collections.abc import Iterator
from random import Random
from statistics import median, quantiles
from time import perf_counter
from uuid import UUID

import psycopg
from sqlalchemy import Engine

from adapters.persistence import engine as engines
from adapters.persistence.chat import search
from adapters.persistence.chat.search import SqlSearch
from adapters.persistence.tables import MESSAGE_WORDS
from bench.stage import standing
from gemini_core.model.ids import UserId

VOCABULARY = 20_000
WORDS_EACH = 20
# Words are w1 to w20000; the lower the number, the commoner. Everybody says the same words.
FILL = f"""
    INSERT INTO users (id, mobile_number, created_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, '+1' || n, now() FROM generate_series(1, %(users)s) n;
    INSERT INTO chatrooms
        (id, user_id, title, system_instruction, model, created_at, updated_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(1 + n %% %(users)s), 32, '0')::uuid,
            'Room ' || n, '', 'gemini', now(), now() + n * interval '1 s'
        FROM generate_series(1, %(users)s * 10) n;
    INSERT INTO messages (chatroom_id, id, user_id, role, status, content, created_at)
        SELECT lpad(to_hex(1 + n %% (%(users)s * 10)), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid,
            lpad(to_hex(1 + (1 + n %% (%(users)s * 10)) %% %(users)s), 32, '0')::uuid, 'user', 'complete',
            (SELECT string_agg('w' || 1 + floor({VOCABULARY} * power(random(), 3))::int, ' ')
             FROM generate_series(1, {WORDS_EACH}) WHERE n > 0),
            now()
        FROM generate_series(1, %(messages)s) n;
"""
INDEX = f"""
    CREATE INDEX messages_words_idx ON messages USING gin (({MESSAGE_WORDS})) WHERE NOT superseded AND content <> ''
"""
# By about how many of a user's thousand messages have the word.
QUERIES = {
    "a word in most messages": "w1",
    "a word in one of 50": "w1000",
    "two words": "w3 w100",
    "a phrase": '"w1 w2"',
    "a rare word": "w19990",
    "no such word, nor one like it": "zzzzzz",
}


def main() -> None:
    asked = argparse.ArgumentParser(prog="bench/run search", description=__doc__)
    asked.add_argument("--messages", type=int, default=1_000_000)
    asked.add_argument("--users", type=int, default=1_000)
    asked.add_argument("--times", type=int, default=200)
    options = asked.parse_args()
    with standing() as stage:
        url = stage.empty("search")
        fill(url, options.users, options.messages)
        engine = engines.create(url, pool_size=1)
        print(f"\nmilliseconds for a search among {options.messages:,} messages of {options.users:,} users\n")
        print(f"{'':<32}{'median':>10}{'99 of 100':>12}{'found':>8}")
        for name, query in QUERIES.items():
            times, found = measured(engine, query, options.users, options.times)
            print(f"{name:<32}{median(times):>10.2f}{quantiles(times, n=100)[98]:>12.2f}{found:>8}")
        print(f"\nindex used: {'messages_words_idx' in plan(engine)}")
        engine.dispose()


def fill(url: str, users: int, messages: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP INDEX messages_words_idx")
        for statement in filter(str.strip, FILL.split(";\n")):
            connection.execute(statement, {"users": users, "messages": messages})
        began = perf_counter()
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute(INDEX)
        connection.execute("VACUUM ANALYZE")
        row = connection.execute(
            "SELECT pg_size_pretty(pg_table_size('messages')), pg_size_pretty(pg_relation_size('messages_words_idx'))"
        ).fetchone()
        assert row
        print(f"  messages {row[0]}, index of words {row[1]}, built in {perf_counter() - began:.0f} s", flush=True)


def measured(engine: Engine, query: str, users: int, times: int) -> tuple[list[float], int]:
    """Milliseconds, each time for another user; and how many the last one found on a first page."""
    seconds, found = [], 0
    for reader in _readers(users, times):
        began = perf_counter()
        found = len(SqlSearch(engine).search(reader, query, limit=20, after=None).items)
        seconds.append((perf_counter() - began) * 1000)
    return seconds, found


def _readers(users: int, times: int) -> Iterator[UserId]:
    random = Random(1)
    return (UserId(UUID(int=random.randint(1, users))) for _ in range(times))


def plan(engine: Engine) -> str:
    """What PostgreSQL does for the commonest word."""
    with engine.connect() as connection:
        values = {"reader": UUID(int=1), "query": "w1", "own": f"'user {UUID(int=1)}'", "rank": 9.0, "id": UUID(int=0)}
        more = {"limit": 20, "marks": "", "snippet": ""}
        rows = connection.exec_driver_sql("EXPLAIN " + str(search.SEARCH.compile(engine)), {**values, **more})
        return "\n".join(row[0] for row in rows)


if __name__ == "__main__":
    main()
