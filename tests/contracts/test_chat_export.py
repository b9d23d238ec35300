"""What chat tells a user who asks for everything that is held."""

from sqlalchemy import Engine
from tests.contracts.chat_worlds import LIMITS, NOW, postgres_world

from adapters.persistence.chat.export import SqlChatExport
from gemini_core.model.ids import UserId


def exported(engine: Engine, user: UserId) -> dict[str, list[dict[str, object]]]:
    return {name: [dict(row) for row in rows] for name, rows in SqlChatExport(engine).parts(user)}


def test_a_user_gets_all_rooms_and_messages_of_their_own_and_nobody_elses(engine: Engine) -> None:
    world = postgres_world(engine)
    ann, bob = world.user("pro"), world.user("pro")
    rooms = [world.room(ann), world.room(ann)]
    for number in range(300):
        world.messages.send(ann, rooms[number % 2].id, f"q{number}", limits=LIMITS, now=NOW)
    world.messages.send(bob, world.room(bob).id, "bob's", limits=LIMITS, now=NOW)
    held = exported(engine, ann)
    assert {room["id"] for room in held["chatrooms"]} == {room.id for room in rooms}
    said = [message["content"] for message in held["messages"] if message["role"] == "user"]
    assert sorted(map(str, said)) == sorted(f"q{number}" for number in range(300))
    assert len(held["messages"]) == 600
    assert held["daily_usage"] == [{"day": NOW.date(), "used": 300}]
