"""The exam for what keeps titles and summaries; sat by memory and by PostgreSQL."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.contracts.chat_worlds import LIMITS, NOW, ChatWorld, memory_world, postgres_world
from tests.contracts.test_chat import DONE, FAILED, LEASE, claim, send
from tests.crowd import tried_at_once

from gemini_core.model.chat import Chatroom, RoomChange, Sent
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId, uuid7
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.model.notes import summary_job, title_job


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> ChatWorld:
    return memory_world() if request.param == "memory" else postgres_world(request.getfixturevalue("engine"))


def answered(world: ChatWorld, author: UserId, room: Chatroom, content: str = "hello", reply: str = "Tea.") -> Sent:
    sent = send(world, author, room.id, content)
    assert world.replies.finish(claim(world, sent), replace(DONE, content=reply), now=NOW) is not None
    return sent


def promised(world: ChatWorld, job: NewJob) -> Lease:
    """The job is there, and ours."""
    world.jobs.add(replace(job, after=timedelta(0)))
    lease = world.jobs.claim(job.id, lease_for=LEASE, now=NOW)
    assert lease is not None
    return lease


def to_title(world: ChatWorld, room: ChatroomId) -> Lease:
    return promised(world, replace(title_job(room, LEASES_ORIGIN), id=JobId(uuid7(NOW))))


def to_sum_up(world: ChatWorld, room: ChatroomId, upto: MessageId) -> Lease:
    return promised(world, replace(summary_job(room, upto, LEASES_ORIGIN), id=JobId(uuid7(NOW))))


LEASES_ORIGIN = Lease(
    id=JobId(uuid7(NOW)), kind="reply", args={}, lane=None, token=uuid7(NOW), attempt=1, failures=0, trying_since=NOW,
    request_id="r",
)  # fmt: skip


def test_a_reply_leaves_its_promises_behind_when_it_is_final_and_not_before(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author, title="")
    lease = claim(world, send(world, author, room.id))
    job = title_job(room.id, lease)
    nudge = world.replies.finish(lease, DONE, now=NOW, then=[job])
    assert nudge == []
    record = world.jobs.show(job.id)
    assert (record.kind, record.args, record.lane, record.request_id) == ("title", {"room": str(room.id)}, None, "r")
    assert world.replies.finish(lease, DONE, now=NOW, then=[replace(job, id=JobId(uuid7(NOW)))]) is None
    assert len(world.jobs.list_jobs(state=None, kind="title", limit=9, after=None).items) == 1


def test_a_title_is_made_from_the_first_complete_exchange_and_set_once(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author, title="")
    failed = send(world, author, room.id, "first")
    world.replies.finish(claim(world, failed), FAILED, now=NOW)
    assert world.notes.exchange(room.id) is None
    answered(world, author, room, "second", "Two.")
    answered(world, author, room, "third", "Three.")
    exchange = world.notes.exchange(room.id)
    assert exchange is not None
    assert (exchange.said, exchange.reply, exchange.room.id) == ("second", "Two.", room.id)
    before = world.rooms.show(author, room.id)
    lease = to_title(world, room.id)
    titled = tried_at_once(10, lambda _: world.notes.set_title(lease, room.id, "Numbers"))
    assert titled.count(True) == 1
    assert world.rooms.show(author, room.id) == replace(before, title="Numbers")
    assert world.notes.exchange(room.id) is None
    assert world.notes.set_title(to_title(world, room.id), room.id, "Others") is False
    assert world.rooms.show(author, room.id).title == "Numbers"


def test_a_title_that_the_user_set_stays(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author, title="")
    answered(world, author, room)
    lease = to_title(world, room.id)
    world.rooms.change(author, room.id, RoomChange(title="Mine"), now=NOW)
    assert world.notes.exchange(room.id) is None
    assert world.notes.set_title(lease, room.id, "Not mine") is False
    assert world.rooms.show(author, room.id).title == "Mine"


def test_notes_about_a_room_that_is_gone_end_quietly(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author, title="")
    sent = answered(world, author, room)
    title, summary = to_title(world, room.id), to_sum_up(world, room.id, sent.reply.id)
    world.rooms.delete(author, room.id)
    assert world.notes.exchange(room.id) is None
    assert world.notes.stretch(room.id, sent.reply.id, turns=10, reach=100) is None
    assert world.notes.set_title(title, room.id, "Gone") is False
    assert list(world.notes.keep_summary(summary, room.id, sent.reply.id, "Gone.", now=NOW)) == []
    assert world.jobs.list_jobs(state=None, kind=None, limit=9, after=None).items == ()


def keep(world: ChatWorld, room: Chatroom, upto: MessageId, summary: str) -> None:
    world.notes.keep_summary(to_sum_up(world, room.id, upto), room.id, upto, summary, now=NOW)


def told(world: ChatWorld, author: UserId, room: Chatroom, reach: int = 10_000) -> tuple[str, list[str]]:
    """What a new reply is made from."""
    begun = world.replies.begin(claim(world, send(world, author, room.id, "now")), history=100, reach=reach)
    assert begun is not None
    return begun.summary, [turn.content for turn in begun.turns]


def test_a_summary_stands_for_the_turns_up_to_its_message(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author)
    one, two = answered(world, author, room, "one", "1"), answered(world, author, room, "two", "2")
    stretch = world.notes.stretch(room.id, one.reply.id, turns=10, reach=100)
    assert stretch is not None
    assert (stretch.summary, [turn.content for turn in stretch.turns]) == ("", ["one", "1"])
    keep(world, room, one.reply.id, "Counted to one.")
    stretch = world.notes.stretch(room.id, two.reply.id, turns=10, reach=100)
    assert stretch is not None
    assert (stretch.summary, [turn.content for turn in stretch.turns]) == ("Counted to one.", ["two", "2"])
    assert told(world, author, room) == ("Counted to one.", ["two", "2", "now"])


def test_an_empty_summary_is_not_kept(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = answered(world, author, room, "one", "1")
    keep(world, room, sent.reply.id, "")
    assert told(world, author, room) == ("", ["one", "1", "now"])


def test_what_follows_from_a_summary_is_promised_with_it(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = answered(world, author, room)
    job = summary_job(room.id, sent.reply.id, LEASES_ORIGIN)
    lease = promised(world, job)
    again = replace(job, after=timedelta(0))
    assert list(world.notes.keep_summary(lease, room.id, sent.reply.id, "S", now=NOW, then=[again])) == [job.id]
    assert world.jobs.show(job.id).attempt == 0
    assert list(world.notes.keep_summary(lease, room.id, sent.reply.id, "late", now=NOW)) == []


def test_a_summary_of_what_is_superseded_goes_and_an_earlier_one_counts_again(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author)
    one, two, three = (answered(world, author, room, text, text) for text in ("one", "two", "three"))
    keep(world, room, one.reply.id, "To one.")
    keep(world, room, three.reply.id, "To three.")
    edited = world.messages.redo(author, room.id, two.message.id, "zwei", limits=LIMITS, now=NOW)
    begun = world.replies.begin(claim(world, edited), history=10, reach=1000)
    assert begun is not None
    assert (begun.summary, [turn.content for turn in begun.turns]) == ("To one.", ["zwei"])


def test_a_summary_made_while_its_turns_were_superseded_is_not_kept(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author)
    one, two = (answered(world, author, room, text, text) for text in ("one", "two"))
    lease = to_sum_up(world, room.id, two.reply.id)
    again = world.messages.redo(author, room.id, two.reply.id, None, limits=LIMITS, now=NOW)
    world.notes.keep_summary(lease, room.id, two.reply.id, "To two.", now=NOW)
    begun = world.replies.begin(claim(world, again), history=10, reach=1000)
    assert begun is not None
    assert (begun.summary, [turn.content for turn in begun.turns]) == ("", ["one", "one", "two"])
    assert world.messages.show(author, room.id, one.reply.id).content == "one"


def test_an_edit_racing_a_summary_leaves_none_of_what_is_superseded(world: ChatWorld) -> None:
    author = world.user("pro")
    for _ in range(10):
        room = world.room(author)
        sent = answered(world, author, room, "one", "1")
        lease = to_sum_up(world, room.id, sent.reply.id)

        def race(number: int, room: Chatroom = room, sent: Sent = sent, lease: Lease = lease) -> object:
            if number:
                return world.notes.keep_summary(lease, room.id, sent.reply.id, "To one.", now=NOW)
            return world.messages.redo(author, room.id, sent.message.id, "eins", limits=LIMITS, now=NOW)

        again = next(outcome for outcome in tried_at_once(2, race) if isinstance(outcome, Sent))
        begun = world.replies.begin(claim(world, again), history=10, reach=1000)
        assert begun is not None
        assert (begun.summary, [turn.content for turn in begun.turns]) == ("", ["eins"])


def test_no_more_is_read_than_was_asked_for_in_turns_and_in_bytes(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author)
    *_, last = [answered(world, author, room, f"{number}" * 10, "é" * 5) for number in range(4)]
    assert told(world, author, room, reach=23)[1] == ["3" * 10, "é" * 5, "now"]
    for turns, reach, count in ((10, 25, 3), (10, 20, 2), (1, 100, 1), (10, 1, 1)):
        stretch = world.notes.stretch(room.id, last.reply.id, turns=turns, reach=reach)
        assert stretch is not None
        assert [turn.content for turn in stretch.turns] == ["0" * 10, "é" * 5, "1" * 10][:count]
