"""What chat and billing tell a user who asks for everything that is held."""

from sqlalchemy import Engine
from tests.contracts.billing_worlds import postgres_world as billing_world
from tests.contracts.chat_worlds import LIMITS, NOW, postgres_world
from tests.contracts.test_chat import call
from tests.contracts.test_notes import keep

from adapters.memory.attachments import MemoryAttachments
from adapters.persistence.billing.records import SqlBillingExport
from adapters.persistence.chat.export import SqlChatExport
from gemini_core.model.accounts.people import Caller
from gemini_core.model.attachments import Attachment
from gemini_core.model.billing.events import Concern, Hint, Subject
from gemini_core.model.chat import Usage, day_ends
from gemini_core.model.ids import SessionId, UserId, uuid7
from gemini_core.ports.attachments import AttachmentStore
from gemini_core.use_cases.accounts.profile import ExportMe

NO_FILES = MemoryAttachments()


def exported(engine: Engine, user: UserId, store: AttachmentStore = NO_FILES) -> dict[str, list[dict[str, object]]]:
    return {name: [dict(row) for row in rows] for name, rows in SqlChatExport(engine, store).parts(user)}


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


def test_what_is_remembered_of_a_users_rooms_is_told(engine: Engine) -> None:
    world = postgres_world(engine)
    ann, bob = world.user(), world.user()
    kept = []
    for user, summary in ((ann, "Likes tea."), (ann, "Has a cat."), (bob, "Likes coffee.")):
        room = world.room(user)
        upto = world.messages.send(user, room.id, "hi", limits=LIMITS, now=NOW).message.id
        keep(world, room, upto, summary)
        kept.append({"chatroom_id": room.id, "upto": upto, "content": summary, "created_at": NOW})
    assert exported(engine, ann)["summaries"] == sorted(kept[:2], key=lambda each: str(each["chatroom_id"]))


def test_every_file_is_told_of_once_with_its_bytes_and_one_that_is_lost_without(engine: Engine) -> None:
    world, store = postgres_world(engine), MemoryAttachments()
    ann, bob = world.user(), world.user()
    kept, lost, others = (Attachment(uuid7(NOW), "text/plain", 4) for _ in range(3))
    room, bobs = world.room(ann), world.room(bob)
    store.put(ann, room.id, kept.id, b"tea\n")
    store.put(bob, bobs.id, others.id, b"milk")
    said = world.messages.send(ann, room.id, "look", limits=LIMITS, now=NOW, attachments=(kept, lost)).message
    world.messages.redo(ann, room.id, said.id, "look again", limits=LIMITS, now=NOW)
    world.messages.send(bob, bobs.id, "look", limits=LIMITS, now=NOW, attachments=(others,))
    about = {"chatroom_id": room.id, "media_type": "text/plain", "size": 4}
    told = sorted(exported(engine, ann, store)["attachments"], key=lambda file: file["id"] == lost.id)
    assert told == [{"id": kept.id, **about, "data": "dGVhCg=="}, {"id": lost.id, **about, "data": None}]


def test_attempts_to_buy_are_told(engine: Engine) -> None:
    world = billing_world(engine)
    ann, bob = world.user(), world.user()
    begun = [world.begin(user).checkout for user in (ann, bob)]
    parts = {name: [dict(row) for row in rows] for name, rows in SqlBillingExport(engine).parts(ann)}
    assert [(each["id"], each["closed"]) for each in parts["checkouts"]] == [(begun[0].id, False)]


def test_what_the_gateway_told_of_somebody_and_what_was_flagged_is_told(engine: Engine) -> None:
    world = billing_world(engine)
    (ann, customer), (_, bobs) = world.customer(), world.customer()
    for whose, event in ((customer, "evt_1"), (bobs, "evt_2"), (None, "evt_3")):
        told = Hint(
            event_id=event,
            kind="charge.refunded",
            happened_at=NOW,
            matters=True,
            customer_id=whose,
            subject=Subject("charge", f"ch_{event}"),
            concern=Concern.REFUND,
        )
        world.events.receive(told, now=NOW)
    parts = {name: [dict(row) for row in rows] for name, rows in SqlBillingExport(engine).parts(ann)}
    assert [(each["id"], each["kind"], each["happened_at"]) for each in parts["payment_events"]] == [
        ("evt_1", "charge.refunded", NOW)
    ]
    assert [(each["concern"], each["about"]) for each in parts["payment_flags"]] == [("refund", "ch_evt_1")]


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
    export = ExportMe(held=(SqlBillingExport(engine), SqlChatExport(engine, NO_FILES)))
    assert list(export(Caller(UserId(uuid7(NOW)), SessionId(uuid7(NOW))))) == []
