"""What chat tells a user who asks for everything that is held."""

from sqlalchemy import Engine
from tests.contracts.chat_worlds import LIMITS, NOW, postgres_world
from tests.contracts.test_chat import call

from adapters.persistence.billing.ledger import SqlBillingExport
from adapters.persistence.chat.export import SqlChatExport
from gemini_core.model.accounts.people import Caller
from gemini_core.model.chat import Usage, day_ends
from gemini_core.model.ids import SessionId, UserId, uuid7
from gemini_core.use_cases.accounts.profile import ExportMe


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


def test_tokens_are_added_up_by_day_model_and_plan(engine: Engine) -> None:
    world = postgres_world(engine)
    ann, tomorrow = world.user("pro"), day_ends(NOW)
    world.usage.record(
        [
            call(ann, Usage(7, 3)),
            call(ann, Usage(5, 2)),
            call(ann, Usage(1, 1), tomorrow),
            call(world.user(), Usage(9, 9)),
        ]
    )
    about = {"model": "gemini-test", "plan": "pro"}
    assert exported(engine, ann)["tokens"] == [
        {"day": NOW.date(), **about, "prompt_tokens": 12, "output_tokens": 5, "calls": 2},
        {"day": tomorrow.date(), **about, "prompt_tokens": 1, "output_tokens": 1, "calls": 1},
    ]


def test_what_is_held_about_somebody_who_is_erased_meanwhile_comes_to_an_end(engine: Engine) -> None:
    export = ExportMe(held=(SqlBillingExport(engine), SqlChatExport(engine)))
    assert list(export(Caller(UserId(uuid7(NOW)), SessionId(uuid7(NOW))))) == []
