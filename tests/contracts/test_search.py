"""The exam for finding messages; sat by memory and by PostgreSQL."""

from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import Engine, text
from tests.contracts.chat_worlds import LIMITS, NOW, ChatWorld, memory_world, postgres_world
from tests.contracts.test_chat import DONE, claim, send

from adapters.persistence.tables import MESSAGE_WORDS
from gemini_core.model.chat import Chatroom, Hit, Sent
from gemini_core.model.ids import UserId


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> ChatWorld:
    return memory_world() if request.param == "memory" else postgres_world(request.getfixturevalue("engine"))


def answered(world: ChatWorld, author: UserId, room: Chatroom, content: str, reply: str) -> Sent:
    sent = send(world, author, room.id, content)
    assert world.replies.finish(claim(world, sent), replace(DONE, content=reply), now=NOW) is not None
    return sent


def found(world: ChatWorld, reader: UserId, query: str, limit: int = 20) -> list[str]:
    """What the found messages say."""
    return [hit.message.content for hit in hits(world, reader, query, limit)]


def hits(world: ChatWorld, reader: UserId, query: str, limit: int = 20) -> tuple[Hit, ...]:
    return world.search.search(reader, query, limit=limit, after=None).items


def test_both_sides_are_found_by_their_words_best_first_with_the_room_and_a_snippet(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author, title="Tea")
    sent = answered(world, author, room, "What is matcha?", "Matcha is a tea. Matcha, matcha!")
    answered(world, author, room, "Thank you", "You are welcome")
    best, other = hits(world, author, "MATCHA")
    assert [best.message.id, other.message.id] == [sent.reply.id, sent.message.id]
    assert (best.room_title, best.message.chatroom_id) == ("Tea", room.id)
    start, length = best.highlights[0]
    assert best.snippet[start : start + length] == "Matcha"


def test_what_is_highlighted_is_in_the_snippet_however_long_it_is(world: ChatWorld) -> None:
    author = world.user()
    answered(world, author, world.room(author), f"İİİ {'so ' * 30} {'long' * 45}", "Indeed")
    for query in ("long" * 45, "LONG" * 44):  # the latter is a part of a word, and found by its look
        for hit in hits(world, author, query):
            ((start, length),) = hit.highlights
            assert 0 < length <= len(query)
            assert hit.snippet[start : start + length] == ("long" * 45)[:length]
    assert hits(world, author, "long" * 45)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("green tea", 1),
        ("tea green", 1),
        ('"green tea"', 1),
        ('"tea green"', 0),
        ("tea -green", 1),
        ("tea", 2),
        ("чай", 1),
        ("grüner", 1),
        ("日本のお茶", 1),
    ],
)
def test_words_phrases_and_exclusions_in_any_language(world: ChatWorld, query: str, count: int) -> None:
    author = world.user()
    room = world.room(author)
    for content in ("I like green tea", "black tea with milk", "Чай и кофе", "Grüner Tee", "日本のお茶"):
        send(world, author, room.id, content)
    assert len(found(world, author, query)) == count


def test_nobody_finds_anothers_messages_whatever_they_say(world: ChatWorld) -> None:
    author, other = world.user(), world.user()
    send(world, author, world.room(author).id, "a secret word")
    # Somebody writes the very word under which the other's messages are kept in the index.
    send(world, author, world.room(author).id, f"secret 'user {other}' {other} user")
    assert found(world, other, "secret") == found(world, other, str(other)) == found(world, other, "user") == []
    assert len(found(world, author, "secret")) == 2


def test_what_is_superseded_or_deleted_is_not_found(world: ChatWorld) -> None:
    author = world.user()
    room, gone = world.room(author), world.room(author)
    sent = send(world, author, room.id, "matcha one")
    send(world, author, gone.id, "matcha two")
    world.rooms.delete(author, gone.id)
    world.messages.redo(author, room.id, sent.message.id, "matcha three", limits=LIMITS, now=NOW)
    assert found(world, author, "matcha") == ["matcha three"]


def test_a_search_is_paged_with_nothing_twice(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author)
    for number in range(7):
        send(world, author, room.id, "tea " * (number % 3 + 1) + str(number))
    listed, after = [], None
    while True:
        page = world.search.search(author, "tea", limit=3, after=after)
        listed += [hit.message.id for hit in page.items]
        if (after := page.next) is None:
            break
    assert len(listed) == len(set(listed)) == 7


HOSTILE = [
    "'", '"', "\\", "%", "_", "a:*", "a & | b", "!!!", "((((", "<->", "a <-> ", "'user x':*", "-", "--", '-"', ":",
    "\t",
    "\x02\x03", "'; DROP TABLE messages; --", "{}", "[", "*", "🫖", "\u0301", "\u202e", "a" * 200, "! " * 100,
    '" ' * 100, "- " * 100, "-" * 200, '-"" ' * 50, "-a " * 66, '-"-a" ' * 33, "OR", "or " * 66, "and not", "\ufffd",
]  # fmt: skip


@pytest.mark.parametrize("query", HOSTILE)
def test_any_text_is_a_query(world: ChatWorld, query: str) -> None:
    author = world.user()
    send(world, author, world.room(author).id, "tea for two")
    page = world.search.search(author, query, limit=5, after=None)
    assert page.next is None


def test_in_postgres_what_is_misspelt_or_a_part_of_a_word_is_found_among_the_latest(engine: Engine) -> None:
    world = postgres_world(engine)
    author, other = world.user(), world.user()
    for user in (author, other):
        send(world, user, world.room(user).id, "The Mediterranean is warm, 100% 🫖")
    for query in ("mediteranean", "Mediterr", "terrane", "100%", "🫖"):
        (hit,) = hits(world, author, query)
        assert hit.message.content.startswith("The Med")
        assert "Mediterranean" in hit.snippet
    for query in ("_%", '"Mediterr"', "warm -Mediterranean", "refrigerator"):
        assert found(world, author, query) == []


def test_in_postgres_the_search_does_without_trigrams_too(engine: Engine) -> None:
    world = postgres_world(engine)
    author = world.user()
    send(world, author, world.room(author).id, "The Mediterranean is warm")
    with engine.connect() as connection:
        connection.execute(text("DROP EXTENSION pg_trgm"))
    assert found(world, author, "mediteranean") == []
    assert found(world, author, "Mediterr") == found(world, author, "mediterranean") == ["The Mediterranean is warm"]


def test_in_postgres_the_index_is_used_and_a_text_too_long_for_it_is_stored_all_the_same(engine: Engine) -> None:
    world = postgres_world(engine)
    author = world.user()
    room = world.room(author)
    words = " ".join(f"w{number}-x{number}-y{number}" for number in range(40_000))
    answered(world, author, room, "long", words)
    assert len(found(world, author, "w7")) == 1
    with psycopg.connect(engine.url.render_as_string(hide_password=False).replace("+psycopg", "")) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(
            f"EXPLAIN SELECT id FROM messages WHERE ({MESSAGE_WORDS}) @@ 'tea & ''user x'''::tsquery "
            "AND NOT superseded AND content <> ''"
        ).fetchall()
    assert "messages_words_idx" in str(plan)
