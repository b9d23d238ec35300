"""The exam for going on from an earlier point of a conversation; sat by memory and by PostgreSQL."""

from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from tests.contracts.chat_worlds import LIMITS, NOW, ChatWorld, memory_world, postgres_world
from tests.contracts.test_chat import DONE, FAILED, LEASE, claim, send, used
from tests.crowd import tried_at_once

from adapters.memory.model import ScriptedModel
from gemini_core.errors import Conflict, Invalid, LimitReached, NotFound
from gemini_core.model.attachments import Attachment
from gemini_core.model.chat import Chatroom, Message, Sent, Status, day_ends
from gemini_core.model.ids import JobId, MessageId, UserId
from gemini_core.model.jobs import Lease
from gemini_core.model.requests import Once
from gemini_core.use_cases.jobs import Stop


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> ChatWorld:
    return memory_world() if request.param == "memory" else postgres_world(request.getfixturevalue("engine"))


def redo(
    world: ChatWorld, author: UserId, message: Message, content: str | None = None, once: Once | None = None
) -> Sent:
    return world.messages.redo(
        author, message.chatroom_id, message.id, content, limits=LIMITS, now=NOW, once=once, request_id="again"
    )


def answered(world: ChatWorld, author: UserId, room: Chatroom, content: str = "hello") -> Sent:
    sent = send(world, author, room.id, content)
    assert world.replies.finish(claim(world, sent), DONE, now=NOW) is not None
    return sent


def conversation(world: ChatWorld, author: UserId, room: Chatroom) -> list[MessageId]:
    return [message.id for message in world.messages.page(author, room.id, limit=100).items]


def replies_to(world: ChatWorld, author: UserId, message: Message) -> list[Message]:
    page = world.messages.page(author, message.chatroom_id, limit=100, reply_to=message.id)
    return list(page.items)


def test_another_reply_takes_the_place_of_the_earlier_one_which_is_kept(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    first, second = answered(world, author, room), answered(world, author, room)
    again = redo(world, author, first.reply)
    assert (again.message, again.reply.reply_to) == (first.message, first.message.id)
    assert again.reply.status is Status.PENDING
    assert conversation(world, author, room) == [first.message.id, again.reply.id]
    kept = replies_to(world, author, first.message)
    assert [(reply.id, reply.superseded) for reply in kept] == [(first.reply.id, True), (again.reply.id, False)]
    assert kept[0].content == "Tea."
    assert world.messages.show(author, room.id, second.reply.id).superseded
    assert (again.used, used(world, author)) == (3, 3)
    assert world.rooms.show(author, room.id).message_count == 2
    job = world.jobs.show(JobId(again.reply.id))
    assert (job.kind, job.lane, job.request_id) == ("reply", room.id, "again")


def test_a_reply_can_be_asked_for_again_and_again_by_either_name(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    first = answered(world, author, room)
    replies = [first.reply]
    for named in (first.reply, first.message, first.reply):
        again = redo(world, author, named)
        world.replies.finish(claim(world, again), DONE, now=NOW)
        replies.append(again.reply)
    assert [reply.id for reply in replies_to(world, author, first.message)] == [reply.id for reply in replies]
    page = world.messages.page(author, room.id, limit=2, reply_to=first.message.id)
    rest = world.messages.page(author, room.id, limit=2, reply_to=first.message.id, after=page.items[-1].id)
    assert [reply.id for reply in (*page.items, *rest.items)] == [reply.id for reply in replies]
    assert (page.next, rest.next) == ((str(replies[1].id),), None)


def test_an_edited_message_and_what_came_after_it_are_kept_and_the_conversation_goes_on_from_there(
    world: ChatWorld,
) -> None:
    author = world.user()
    room = world.room(author)
    first, second, third = (answered(world, author, room, text) for text in ("one", "two", "three"))
    again = redo(world, author, second.message, "zwei")
    assert (again.message.content, again.reply.reply_to) == ("zwei", again.message.id)
    assert conversation(world, author, room) == [first.message.id, first.reply.id, again.message.id, again.reply.id]
    for gone in (second.message, second.reply, third.message, third.reply):
        assert world.messages.show(author, room.id, gone.id).superseded
    assert world.messages.show(author, room.id, second.message.id).content == "two"
    begun = world.replies.begin(claim(world, again), history=10, reach=10_000)
    assert begun is not None
    assert [turn.content for turn in begun.turns] == ["one", "Tea.", "zwei"]
    assert used(world, author) == 4


def test_an_edited_message_keeps_its_files(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    files = (Attachment(uuid4(), "image/png", 3), Attachment(uuid4(), "text/plain", 5))
    sent = world.messages.send(author, room.id, "look", limits=LIMITS, now=NOW, attachments=files)
    assert sent.message.attachments == world.messages.show(author, room.id, sent.message.id).attachments == files
    assert redo(world, author, sent.message, "look again").message.attachments == files


def test_replies_that_wait_are_stopped_and_give_their_units_back(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    first = answered(world, author, room)
    waiting = [send(world, author, room.id) for _ in range(2)]
    again = redo(world, author, first.message, "anew")
    assert again.stopped == tuple(sent.reply.id for sent in waiting)
    assert (again.used, used(world, author)) == (2, 2)
    for sent in waiting:
        stopped = world.messages.show(author, room.id, sent.reply.id)
        assert (stopped.status, stopped.superseded, stopped.completed_at) == (Status.CANCELLED, True, NOW)
    assert world.jobs.due(limit=10) == [JobId(again.reply.id)]


def test_a_reply_that_a_worker_has_is_told_to_stop_and_the_new_one_waits_for_it(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    lease = claim(world, sent)
    again = redo(world, author, sent.message, "anew")
    assert world.jobs.unwanted([lease.token]) == {lease.token}
    assert world.jobs.claim(JobId(again.reply.id), lease_for=LEASE, now=NOW) is None
    nudge = world.replies.finish(lease, FAILED, now=NOW)
    assert nudge == [JobId(again.reply.id)]
    assert used(world, author) == 1
    assert conversation(world, author, room) == [again.message.id, again.reply.id]


def test_a_superseded_reply_whose_worker_could_not_renew_its_lease_keeps_what_was_said(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    lease = claim(world, sent, lease_for=timedelta(0))
    again = redo(world, author, sent.message, "anew")
    assert (again.stopped, world.jobs.unwanted([lease.token])) == ((), {lease.token})
    assert world.replies.finish(lease, DONE, now=NOW) == [JobId(again.reply.id)]
    assert used(world, author) == 2


def test_a_reply_that_is_superseded_before_its_worker_begins_is_cancelled_unasked(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    lease = claim(world, sent)
    again = redo(world, author, sent.message, "anew")
    model = ScriptedModel(["Tea."])
    assert world.answering(model).work(lease, Stop()) == [JobId(again.reply.id)]
    stopped = world.messages.show(author, room.id, sent.reply.id)
    assert (stopped.status, stopped.superseded, model.prompts) == (Status.CANCELLED, True, [])
    assert used(world, author) == 1


def test_a_reply_under_way_cannot_be_asked_for_again(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    for lease_for in (None, LEASE):
        if lease_for:
            claim(world, sent)
        for named in (sent.reply, sent.message):
            with pytest.raises(Conflict) as refused:
                redo(world, author, named)
            assert refused.value.code == "reply-under-way"
    assert used(world, author) == 1


def test_what_is_superseded_is_no_place_to_go_on_from(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = answered(world, author, room)
    redo(world, author, sent.message, "anew")
    for content in (None, "once more"):
        with pytest.raises(Conflict) as refused:
            redo(world, author, sent.message, content)
        assert refused.value.code == "superseded"


def test_only_the_users_own_words_are_edited_and_only_in_the_users_own_room(world: ChatWorld) -> None:
    author, stranger = world.user(), world.user()
    room = world.room(author)
    sent = answered(world, author, room)
    with pytest.raises(NotFound):
        redo(world, author, sent.reply, "words in its mouth")
    for content in (None, "mine"):
        with pytest.raises(NotFound):
            redo(world, stranger, sent.message, content)
        with pytest.raises(NotFound):
            world.messages.redo(author, world.room(author).id, sent.message.id, content, limits=LIMITS, now=NOW)
    with pytest.raises(NotFound):
        replies_to(world, stranger, sent.message)
    assert conversation(world, author, room) == [sent.message.id, sent.reply.id]


def test_it_counts_against_the_limit_and_a_refusal_changes_nothing(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = [answered(world, author, room) for _ in range(5)]
    before = conversation(world, author, room)
    for content in (None, "anew"):
        with pytest.raises(LimitReached) as refused:
            redo(world, author, sent[0].message, content)
        assert (refused.value.limit, refused.value.used, refused.value.resets_at) == (5, 5, day_ends(NOW))
    assert conversation(world, author, room) == before


def test_a_refusal_tells_what_was_used_also_when_that_was_on_a_larger_plan(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author)
    sent = [answered(world, author, room) for _ in range(7)]
    world.change_plan(author, "basic")
    with pytest.raises(LimitReached) as sending:
        send(world, author, room.id)
    for content in (None, "anew"):
        with pytest.raises(LimitReached) as again:
            redo(world, author, sent[0].message, content)
        assert (again.value.limit, again.value.used) == (sending.value.limit, sending.value.used) == (5, 7)


def test_what_was_said_under_a_key_is_told_again_also_when_its_room_is_gone(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    files = (Attachment(uuid4(), "image/png", 3),)
    send_key, edit_key, reply_key = (Once(key, b"f" * 32) for key in ("send", "edit", "reply"))
    first = world.messages.send(author, room.id, "one", limits=LIMITS, now=NOW, attachments=files, once=send_key)
    again = redo(world, author, first.message, "eins", edit_key)
    assert world.replies.finish(claim(world, again), DONE, now=NOW) is not None
    redo(world, author, again.message, None, reply_key)
    world.rooms.delete(author, room.id)
    told = redo(world, author, first.message, "eins", edit_key)
    assert (told.message, told.reply, told.replayed) == (again.message, again.reply, True)
    assert send(world, author, room.id, "one", send_key).message == first.message
    with pytest.raises(NotFound):
        redo(world, author, again.message, None, reply_key)
    with pytest.raises(NotFound):
        redo(world, author, first.message, "eins", Once("new", b"f" * 32))


def test_a_waiting_reply_makes_room_for_the_one_that_replaces_it(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = [send(world, author, room.id) for _ in range(5)]
    assert redo(world, author, sent[-1].message, "anew").used == 5


def test_of_30_at_the_same_instant_one_goes_on_and_the_count_is_exact(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author)
    sent = answered(world, author, room)
    outcomes = tried_at_once(30, lambda _: redo(world, author, sent.reply))
    assert Counter(type(outcome) for outcome in outcomes) == {Sent: 1, Conflict: 29}
    assert used(world, author) == 2
    assert len(conversation(world, author, room)) == 2


def test_edits_sends_finishes_and_cancels_at_once_leave_a_whole_conversation(world: ChatWorld) -> None:
    author = world.user("pro")
    for _ in range(5):
        room = world.room(author)
        sent, waiting = send(world, author, room.id), send(world, author, room.id)
        lease = claim(world, sent)

        def race(
            number: int, room: Chatroom = room, sent: Sent = sent, waiting: Sent = waiting, lease: Lease = lease
        ) -> object:
            match number % 4:
                case 0:
                    return redo(world, author, sent.message, f"edit {number}")
                case 1:
                    return send(world, author, room.id)
                case 2:
                    return world.messages.cancel(author, room.id, waiting.reply.id, now=NOW)
                case _:
                    return world.replies.finish(lease, DONE, now=NOW)

        tried_at_once(12, race)
        present = world.messages.page(author, room.id, limit=1000).items
        for said, reply in zip(present[::2], present[1::2], strict=True):
            assert reply.reply_to == said.id
        assert world.rooms.show(author, room.id).message_count == len(present)


def test_50_with_one_key_at_the_same_instant_have_one_effect(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = answered(world, author, room)
    for named, content in ((sent.reply, None), (sent.message, "anew")):
        once = Once(f"key-{content}", b"f" * 32)

        def go(_: int, named: Message = named, content: str | None = content, once: Once = once) -> Sent:
            return redo(world, author, named, content, once)

        answers = [outcome for outcome in tried_at_once(50, go) if isinstance(outcome, Sent)]
        assert Counter(answer.replayed for answer in answers) == {False: 1, True: 49}
        assert len({answer.reply for answer in answers}) == 1
        assert len({answer.message for answer in answers}) == 1
    # The first message, and the edited one; the other reply was waiting, and gave its unit back.
    assert used(world, author) == 2
    with pytest.raises(Invalid):
        redo(world, author, sent.reply, None, Once("key-anew", b"g" * 32))


def test_a_replay_is_the_first_answer_also_later(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = answered(world, author, room)
    once = Once("key", b"f" * 32)
    first = redo(world, author, sent.message, "anew", once)
    world.replies.finish(claim(world, first), DONE, now=NOW + timedelta(seconds=1))
    redo(world, author, first.message, "and anew")
    again = redo(world, author, sent.message, "anew", once)
    assert again.replayed
    assert (again.message, again.reply, again.limit, again.used) == (first.message, first.reply, 5, first.used)
