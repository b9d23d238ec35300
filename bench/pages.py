"""What a page costs where there is little, and where there is a lot: the shipped queries, at the first and a late page.

One user has all the rooms, and one room of theirs all the messages. Small and large tables take turns.
"""

import argparse
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from statistics import median
from time import perf_counter
from uuid import UUID

import psycopg

from adapters.persistence import engine as engines
from adapters.persistence.chat.messages import SqlMessages
from adapters.persistence.chat.rooms import SqlRooms
from bench.stage import Stage, standing
from gemini_core.model.ids import ChatroomId, MessageId, UserId

READER, ROOM = UserId(UUID(int=1)), ChatroomId(UUID(int=1))
LIMIT = 20
FILL = """
    INSERT INTO users (id, mobile_number, created_at) VALUES ('{reader}', '+1', now());
    INSERT INTO chatrooms
        (id, user_id, title, system_instruction, model, created_at, updated_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, '{reader}', 'Room ' || n, '', 'gemini',
            timestamptz '{beginning}', timestamptz '{beginning}' + n * interval '1 s'
        FROM generate_series(1, {size}) n;
    INSERT INTO messages (chatroom_id, id, user_id, role, status, content, created_at)
        SELECT '{room}', lpad(to_hex(n), 32, '0')::uuid, '{reader}', 'user', 'complete',
            'What was said in place ' || n, timestamptz '{beginning}' + n * interval '1 s'
        FROM generate_series(1, {size}) n;
"""
# The index of words is filled much faster when all are there, and no page looks at it.
WITHOUT_WORDS = "DROP INDEX messages_words_idx"
BEGINNING = datetime.fromisoformat("2026-01-01T00:00:00Z")

Reads = Mapping[str, Callable[[], int]]


def main() -> None:
    asked = argparse.ArgumentParser(prog="bench/run pages", description=__doc__)
    asked.add_argument("--sizes", type=int, nargs="+", default=(100, 1_000_000))
    asked.add_argument("--times", type=int, default=500)
    options = asked.parse_args()
    with standing() as stage:
        reads = {size: reads_of(stage, size) for size in options.sizes}
        with psycopg.connect(stage.postgres.url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        table = {name: taken([reads[size][name] for size in reads], options.times) for name in reads[options.sizes[0]]}
    print(f"\nmilliseconds for a page of {LIMIT}: median of {options.times} (99 of 100 are below)\n")
    print(f"{'':<30}" + "".join(f"{f'of {size:,}':>20}" for size in options.sizes) + f"{'ratio':>8}")
    for name, row in table.items():
        print(f"{name:<30}" + "".join(_cell(times) for times in row) + f"{median(row[-1]) / median(row[0]):>8.2f}")


def reads_of(stage: Stage, size: int) -> Reads:
    """Every kind of page, of tables of this size; each read answers how much it found."""
    url = stage.empty(f"pages_{size}")
    print(f"  {size:,} rooms and {size:,} messages ...", flush=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(WITHOUT_WORDS)
        connection.execute(FILL.format(size=size, reader=READER, room=ROOM, beginning=BEGINNING.isoformat()))
        connection.execute("VACUUM ANALYZE")
    engine = engines.create(url, pool_size=1)
    rooms, messages, middle = SqlRooms(engine), SqlMessages(engine), size // 2
    late = ((BEGINNING + timedelta(seconds=middle)).isoformat(), str(UUID(int=middle)))
    message = MessageId(UUID(int=middle))
    return {
        "rooms, first page": lambda: len(rooms.page(READER, archived=None, limit=LIMIT, after=None).items),
        "rooms, page in the middle": lambda: len(rooms.page(READER, archived=None, limit=LIMIT, after=late).items),
        "messages, first page": lambda: len(messages.page(READER, ROOM, limit=LIMIT).items),
        "messages, page in the middle": lambda: len(messages.page(READER, ROOM, limit=LIMIT, after=message).items),
        "messages, scrolling back": lambda: len(messages.page(READER, ROOM, limit=LIMIT, before=message).items),
    }


def taken(reads: list[Callable[[], int]], times: int) -> list[list[float]]:
    """The seconds that each read took, each time but the first few, turn by turn."""
    table: list[list[float]] = [[] for _ in reads]
    for _ in range(times + 20):
        for seconds, read in zip(table, reads, strict=True):
            begun = perf_counter()
            found = read()
            seconds.append(perf_counter() - begun)
            assert found == LIMIT, found
    return [seconds[20:] for seconds in table]


def _cell(times: list[float]) -> str:
    ordered = sorted(times)
    return f"{f'{median(ordered) * 1e3:.2f} ({ordered[len(ordered) * 99 // 100] * 1e3:.2f})':>20}"


if __name__ == "__main__":
    main()
