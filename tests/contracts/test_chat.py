"""The exam for what keeps rooms, messages and replies; sat by memory and by PostgreSQL."""

from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import pytest
from tests.contracts.chat_worlds import LIMITS, NOW, ChatWorld, memory_world, postgres_world
from tests.crowd import tried_at_once

from adapters.memory.model import ScriptedModel
from gemini_core.errors import Conflict, Invalid, LimitReached, NotFound
from gemini_core.model.chat import Message, ReplyError, Role, RoomChange, Sent, Status, TokensBy, Usage, day_ends
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId, uuid7
from gemini_core.model.jobs import Lease
from gemini_core.model.replies import Answer, ModelCall
from gemini_core.model.requests import KEY_LIVES, Once
from gemini_core.use_cases.jobs import Stop

T = TypeVar("T")
LEASE = timedelta(seconds=30)
DONE = Answer(status=Status.COMPLETE, content="Tea.", model="gemini-test", finish_reason="stop", usage=Usage(7, 3))
FAILED = Answer(status=Status.FAILED, error=ReplyError("overloaded", "Too busy.", retryable=True), give_back=True)


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> ChatWorld:
    return memory_world() if request.param == "memory" else postgres_world(request.getfixturevalue("engine"))


def send(world: ChatWorld, author: UserId, room: ChatroomId, content: str = "hello", once: Once | None = None) -> Sent:
    return world.messages.send(author, room, content, limits=LIMITS, now=NOW, once=once, request_id="r")


def claim(world: ChatWorld, sent: Sent, lease_for: timedelta = LEASE) -> Lease:
    lease = world.jobs.claim(JobId(sent.reply.id), lease_for=lease_for, now=NOW)
    assert lease is not None
    return lease


def used(world: ChatWorld, user: UserId) -> int:
    return world.usage.of_day(user, NOW.date(), now=NOW).used


def all_messages(world: ChatWorld, owner: UserId, room: ChatroomId) -> tuple[Message, ...]:
    return world.messages.page(owner, room, limit=1000).items


def test_a_message_is_stored_with_its_promised_reply_its_unit_and_its_job(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id, "What is tea?")
    said, reply = all_messages(world, author, room.id)
    assert (said, reply) == (sent.message, sent.reply)
    assert (said.role, said.content, said.status) == (Role.USER, "What is tea?", Status.COMPLETE)
    assert (reply.role, reply.status, reply.reply_to) == (Role.MODEL, Status.PENDING, said.id)
    assert (sent.limit, sent.used, used(world, author)) == (5, 1, 1)
    job = world.jobs.show(JobId(reply.id))
    assert (job.kind, job.lane, job.request_id) == ("reply", room.id, "r")
    assert world.rooms.show(author, room.id).message_count == 2


def test_a_strangers_room_is_not_found_and_nothing_is_stored_or_counted(world: ChatWorld) -> None:
    author, stranger = world.user(), world.user()
    room = world.room(author)
    for deed in (
        lambda: send(world, stranger, room.id),
        lambda: world.messages.page(stranger, room.id, limit=5),
        lambda: world.rooms.show(stranger, room.id),
        lambda: world.rooms.delete(stranger, room.id),
        lambda: world.rooms.change(stranger, room.id, RoomChange(title="mine"), now=NOW),
        lambda: send(world, author, ChatroomId(uuid7(NOW))),
    ):
        with pytest.raises(NotFound):
            deed()
    sent = send(world, author, room.id)
    with pytest.raises(NotFound):
        world.messages.show(stranger, room.id, sent.reply.id)
    with pytest.raises(NotFound):
        world.messages.cancel(stranger, room.id, sent.reply.id, now=NOW)
    assert used(world, stranger) == 0
    assert len(all_messages(world, author, room.id)) == 2


def test_of_50_messages_at_the_same_instant_exactly_the_limit_is_accepted(world: ChatWorld) -> None:
    author = world.user()
    rooms = [world.room(author).id for _ in range(3)]
    outcomes = tried_at_once(50, lambda number: send(world, author, rooms[number % 3]))
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Sent)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, LimitReached)]
    assert (len(accepted), len(refused), used(world, author)) == (5, 45, 5)
    assert sorted(sent.used for sent in accepted) == [1, 2, 3, 4, 5]
    assert sum(len(all_messages(world, author, room)) for room in rooms) == 10
    assert {(no.limit, no.used, no.resets_at) for no in refused} == {(5, 5, day_ends(NOW))}


def test_a_new_utc_day_starts_with_nothing_used(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    for _ in range(5):
        send(world, author, room.id)
    tomorrow = day_ends(NOW)
    sent = world.messages.send(author, room.id, "again", limits=LIMITS, now=tomorrow)
    assert (sent.used, used(world, author)) == (1, 5)


def test_the_plan_decides_the_limit_and_an_unknown_plan_counts_as_basic(world: ChatWorld) -> None:
    for plan, limit in (("pro", 1000), ("basic", 5), ("gone", 5)):
        author = world.user(plan)
        assert send(world, author, world.room(author).id).limit == limit


def test_the_order_of_ids_in_a_room_is_the_order_of_acceptance_whatever_the_clock_says(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author)
    first = world.messages.send(author, room.id, "late clock", limits=LIMITS, now=NOW + timedelta(hours=1))
    second = world.messages.send(author, room.id, "early clock", limits=LIMITS, now=NOW)
    assert first.message.id < first.reply.id < second.message.id < second.reply.id


def test_50_messages_at_once_in_one_room_keep_every_question_beside_its_reply(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author)
    tried_at_once(50, lambda number: send(world, author, room.id, f"q{number}"))
    stored = all_messages(world, author, room.id)
    assert len(stored) == 100
    for said, reply in zip(stored[::2], stored[1::2], strict=True):
        assert (said.role, reply.role, reply.reply_to) == (Role.USER, Role.MODEL, said.id)
    assert world.rooms.show(author, room.id).message_count == 100


# --- idempotency ------------------------------------------------------------------------------------------------------


def test_50_sends_with_one_key_at_the_same_instant_are_one_message(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    once = Once("key", b"f" * 32)
    outcomes = tried_at_once(50, lambda _: send(world, author, room.id, once=once))
    answers = [outcome for outcome in outcomes if isinstance(outcome, Sent)]
    assert len(answers) == 50
    assert Counter(sent.replayed for sent in answers) == {False: 1, True: 49}
    assert len({replace(sent, replayed=False) for sent in answers}) == 1
    assert (len(all_messages(world, author, room.id)), used(world, author)) == (2, 1)


def test_a_replay_is_answered_also_when_the_first_took_the_last_unit(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    for _ in range(4):
        send(world, author, room.id)
    once = Once("last", b"f" * 32)
    first = send(world, author, room.id, once=once)
    assert send(world, author, room.id, once=once) == replace(first, replayed=True)


def test_a_key_used_with_another_request_is_refused_and_counts_nothing(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    send(world, author, room.id, once=Once("key", b"f" * 32))
    with pytest.raises(Invalid) as refused:
        send(world, author, room.id, once=Once("key", b"g" * 32))
    assert refused.value.code == "idempotency-key-reused"
    assert used(world, author) == 1


def test_a_refused_send_leaves_its_key_free(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    for _ in range(5):
        send(world, author, room.id)
    once = Once("key", b"f" * 32)
    with pytest.raises(LimitReached):
        send(world, author, room.id, once=once)
    sent = world.messages.send(author, room.id, "hello", limits=LIMITS, now=day_ends(NOW), once=once)
    assert not sent.replayed


def test_keys_belong_to_their_user_and_end_after_a_day(world: ChatWorld) -> None:
    author, other = world.user(), world.user()
    once = Once("key", b"f" * 32)
    room = world.room(author)
    first = send(world, author, room.id, once=once)
    assert not send(world, other, world.room(other).id, once=once).replayed
    later = world.messages.send(author, room.id, "hello", limits=LIMITS, now=NOW + KEY_LIVES, once=once)
    assert not later.replayed
    assert later.message.id != first.message.id


def test_50_rooms_with_one_key_at_the_same_instant_are_one_room(world: ChatWorld) -> None:
    owner = world.user()
    wanted = world.room(owner)
    once = Once("key", b"f" * 32)

    def create(_: int) -> tuple[object, bool]:
        room = replace(wanted, id=ChatroomId(uuid7(NOW)))
        return world.rooms.create(room, max_rooms={"basic": 10}, once=once)

    outcomes = [outcome for outcome in tried_at_once(50, create) if isinstance(outcome, tuple)]
    assert Counter(replayed for _, replayed in outcomes) == {False: 1, True: 49}
    assert len({room for room, _ in outcomes}) == 1
    assert len(world.rooms.page(owner, archived=None, limit=100, after=None).items) == 2


def test_the_plan_bounds_the_rooms_also_at_the_same_instant(world: ChatWorld) -> None:
    owner = world.user()
    wanted = world.room(owner)

    def create(_: int) -> tuple[object, bool]:
        room = replace(wanted, id=ChatroomId(uuid7(NOW)))
        return world.rooms.create(room, max_rooms={"basic": 10}, once=None)

    outcomes = tried_at_once(30, create)
    assert sum(isinstance(outcome, tuple) for outcome in outcomes) == 9
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Conflict)} == {"room-limit-reached"}


# --- replies ----------------------------------------------------------------------------------------------------------


def test_of_50_workers_one_gets_the_job(world: ChatWorld) -> None:
    author = world.user()
    sent = send(world, author, world.room(author).id)
    leases = tried_at_once(50, lambda _: world.jobs.claim(JobId(sent.reply.id), lease_for=LEASE, now=NOW))
    assert sum(lease is not None for lease in leases) == 1


def test_a_reply_is_final_once_and_its_job_is_gone(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    lease = claim(world, sent)
    assert world.replies.begin(lease, history=10, reach=10_000) is not None
    outcomes = tried_at_once(50, lambda _: world.replies.finish(lease, DONE, now=NOW))
    assert sum(outcome is not None for outcome in outcomes) == 1
    reply = world.messages.show(author, room.id, sent.reply.id)
    assert (reply.status, reply.content, reply.usage, reply.model) == (
        Status.COMPLETE, "Tea.", Usage(7, 3), "gemini-test",
    )  # fmt: skip
    with pytest.raises(NotFound):
        world.jobs.show(JobId(sent.reply.id))


def test_a_late_finisher_whose_lease_was_taken_over_stores_nothing(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    late = claim(world, sent, lease_for=timedelta(0))
    successor = claim(world, sent)
    assert (late.attempt, successor.attempt) == (1, 2)
    assert world.replies.begin(late, history=10, reach=10_000) is None
    assert world.replies.finish(late, replace(FAILED, content="late"), now=NOW) is None
    assert world.replies.finish(successor, DONE, now=NOW) is not None
    assert world.messages.show(author, room.id, sent.reply.id).content == "Tea."
    assert used(world, author) == 1


def test_a_failed_reply_gives_its_unit_back_exactly_once_to_its_own_day(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    for _ in range(2):
        send(world, author, world.room(author).id)
    sent = send(world, author, room.id)
    lease = claim(world, sent)
    tried_at_once(20, lambda _: world.replies.finish(lease, FAILED, now=day_ends(NOW)))
    assert used(world, author) == 2
    reply = world.messages.show(author, room.id, sent.reply.id)
    assert (reply.status, reply.error) == (Status.FAILED, FAILED.error)


def test_one_reply_at_a_time_in_a_room_in_order_and_rooms_do_not_wait_for_each_other(world: ChatWorld) -> None:
    author = world.user()
    room, other = world.room(author), world.room(author)
    first, second = send(world, author, room.id, "one"), send(world, author, room.id, "two")
    elsewhere = send(world, author, other.id)
    assert world.jobs.claim(JobId(second.reply.id), lease_for=LEASE, now=NOW) is None
    assert set(world.jobs.due(limit=10)) == {first.reply.id, elsewhere.reply.id}
    lease = claim(world, first)
    claim(world, elsewhere)
    assert world.jobs.claim(JobId(second.reply.id), lease_for=LEASE, now=NOW) is None
    assert world.replies.finish(lease, DONE, now=NOW) == [JobId(second.reply.id)]
    assert claim(world, second).attempt == 1


def test_a_reply_that_rests_keeps_the_next_in_the_room_waiting(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    first, second = send(world, author, room.id), send(world, author, room.id)
    lease = claim(world, first)
    assert world.jobs.put_back(lease, after=timedelta(hours=1), failed=True, error="overloaded") == []
    assert world.jobs.due(limit=10) == []
    assert world.jobs.claim(JobId(second.reply.id), lease_for=LEASE, now=NOW) is None


def test_the_conversation_for_a_reply_is_what_came_before_it(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author, system_instruction="Be brief.")
    for number in range(3):
        sent = send(world, author, room.id, f"q{number}")
        world.replies.finish(claim(world, sent), replace(DONE, content=f"a{number}"), now=NOW)
    last = send(world, author, room.id, "q3")
    send(world, author, room.id, "q4")
    conversation = world.replies.begin(claim(world, last), history=4, reach=10_000)
    assert conversation is not None
    assert [turn.content for turn in conversation.turns] == ["a1", "q2", "a2", "q3"]
    assert (conversation.plan, conversation.reply.id, conversation.reply.attempt) == ("pro", last.reply.id, 1)
    assert conversation.room.system_instruction == "Be brief."
    assert world.messages.show(author, room.id, last.reply.id).status is Status.GENERATING


# --- tokens -----------------------------------------------------------------------------------------------------------


def call(user: UserId, usage: Usage, began: datetime = NOW) -> ModelCall:
    id, job = uuid7(NOW), JobId(uuid7(NOW))
    return ModelCall(id=id, job=job, user=user, model="gemini-test", began=began, told=1, usage=usage)


def test_a_call_counts_once_with_its_latest_figures_however_often_and_late_they_are_told(world: ChatWorld) -> None:
    user, day = world.user(), NOW.date()
    first = call(user, Usage(7, 12))
    later = replace(first, told=2, usage=Usage(7, 9))
    world.usage.record([first, call(user, Usage(1, 1))])
    tried_at_once(20, lambda number: world.usage.record([later if number % 2 else first]))
    assert world.usage.tokens(user, today=day, since=day).today == Usage(8, 10)


def test_tokens_count_for_the_day_on_which_their_call_began(world: ChatWorld) -> None:
    user, tomorrow = world.user(), day_ends(NOW)
    world.usage.record([call(user, Usage(7, 3)), call(user, Usage(5, 2), tomorrow), call(world.user(), Usage(1, 1))])
    totals = world.usage.tokens(user, today=tomorrow.date(), since=NOW.date())
    assert (totals.today, totals.since) == (Usage(5, 2), Usage(12, 5))


def test_whoever_closed_their_account_has_no_day_and_opens_no_room(world: ChatWorld) -> None:
    user = world.user()
    room = world.room(user)
    world.close(user)
    with pytest.raises(NotFound):
        world.usage.of_day(user, NOW.date(), now=NOW)
    with pytest.raises(NotFound):
        world.room(user)
    with pytest.raises(NotFound):
        send(world, user, room.id)


def test_what_is_told_of_somebody_who_is_gone_is_dropped_and_the_rest_counts(world: ChatWorld) -> None:
    user = world.user()
    world.usage.record([call(UserId(uuid7(NOW)), Usage(7, 3)), call(user, Usage(5, 2))])
    assert world.usage.tokens(user, today=NOW.date(), since=NOW.date()).today == Usage(5, 2)


def test_what_everybody_spent_is_added_up_by_whatever_is_asked_for(world: ChatWorld) -> None:
    ann, bob = sorted((world.user("pro"), world.user("basic")))
    tomorrow = day_ends(NOW)
    day, next_day = NOW.date(), tomorrow.date()
    small = replace(call(bob, Usage(1, 2), tomorrow), model="small")
    world.usage.record([call(ann, Usage(7, 3)), call(ann, Usage(5, 2)), call(bob, Usage(1, 1)), small])

    def sums(*by: TokensBy, since: date = day, until: date = next_day) -> list[tuple[Any, ...]]:
        return [
            (*each.of, each.calls, each.usage.prompt_tokens, each.usage.output_tokens)
            for each in world.usage.sums(by, since=since, until=until)
        ]

    assert sums("day") == [(str(day), 3, 13, 6), (str(next_day), 1, 1, 2)]
    assert sums("user") == [(str(ann), 2, 12, 5), (str(bob), 2, 2, 3)]
    assert sums("model", "day") == [
        ("gemini-test", str(day), 3, 13, 6),
        ("small", str(next_day), 1, 1, 2),
    ]
    plans = {of: figures for of, *figures in sums("plan")}
    assert sorted(plans) == ["basic", "pro"]
    assert sorted(plans.values()) == [[2, 2, 3], [2, 12, 5]]
    assert sums("day", since=next_day) == [(str(next_day), 1, 1, 2)]
    assert sums() == [(4, 14, 8)]
    assert sums("day", since=date(2020, 1, 1), until=date(2020, 1, 2)) == sums(until=date(2020, 1, 2)) == []


def test_what_a_call_cost_stays_with_the_plan_under_which_it_began(world: ChatWorld) -> None:
    user, day = world.user("pro"), NOW.date()
    first = call(user, Usage(7, 1))
    world.usage.record([first])
    world.change_plan(user, "basic")
    world.usage.record([replace(first, told=2, usage=Usage(7, 3)), call(user, Usage(1, 1))])
    sums = world.usage.sums(["plan"], since=day, until=day)
    assert [(each.of, each.usage) for each in sums] == [(("basic",), Usage(1, 1)), (("pro",), Usage(7, 3))]


# --- cancelling -------------------------------------------------------------------------------------------------------


def test_cancelling_what_nobody_works_on_is_final_at_once_and_gives_the_unit_back(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    first, second = send(world, author, room.id), send(world, author, room.id)
    reply, nudge = world.messages.cancel(author, room.id, first.reply.id, now=NOW)
    assert (reply.status, reply.completed_at, used(world, author)) == (Status.CANCELLED, NOW, 1)
    assert list(nudge) == [second.reply.id]
    with pytest.raises(Conflict) as again:
        world.messages.cancel(author, room.id, first.reply.id, now=NOW)
    assert again.value.code == "already-final"


def test_cancelling_what_a_worker_has_tells_the_worker(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    lease = claim(world, sent)
    assert world.jobs.unwanted([lease.token]) == set()
    reply, _ = world.messages.cancel(author, room.id, sent.reply.id, now=NOW)
    assert not reply.status.final
    assert world.jobs.unwanted([lease.token]) == {lease.token}


def test_what_somebody_asked_to_stop_does_not_rest_before_it_is_stopped(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    lease, job = claim(world, sent), JobId(sent.reply.id)
    world.messages.cancel(author, room.id, sent.reply.id, now=NOW)
    assert world.jobs.put_back(lease, after=timedelta(hours=1), failed=True, error="overloaded") == [job]
    assert world.jobs.due(limit=10) == [job]
    assert claim(world, sent).cancelled


def test_a_worker_whose_lease_ran_out_is_told_of_a_cancellation_and_keeps_what_was_said(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    lease = claim(world, sent, lease_for=timedelta(0))
    assert world.replies.begin(lease, history=1, reach=10_000) is not None
    reply, _ = world.messages.cancel(author, room.id, sent.reply.id, now=NOW)
    assert (reply.status, world.jobs.unwanted([lease.token])) == (Status.GENERATING, {lease.token})
    half = Answer(status=Status.CANCELLED, content="Half of an ", model="gemini-test")
    assert world.replies.finish(lease, half, now=NOW) is not None
    kept = world.messages.show(author, room.id, sent.reply.id)
    assert (kept.status, kept.content, used(world, author)) == (Status.CANCELLED, "Half of an ", 1)


def test_what_a_dead_worker_had_is_stopped_by_whoever_takes_it_over(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent, following = send(world, author, room.id), send(world, author, room.id)
    claim(world, sent, lease_for=timedelta(0))
    world.messages.cancel(author, room.id, sent.reply.id, now=NOW)
    assert world.jobs.due(limit=10) == [JobId(sent.reply.id)]
    model = ScriptedModel(["Tea."])
    assert world.answering(model).work(claim(world, sent), Stop()) == [JobId(following.reply.id)]
    assert world.messages.show(author, room.id, sent.reply.id).status is Status.CANCELLED
    assert (model.prompts, used(world, author)) == ([], 1)


def test_a_message_that_is_no_reply_cannot_be_cancelled(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    for id in (sent.message.id, MessageId(uuid7(NOW))):
        with pytest.raises(NotFound):
            world.messages.cancel(author, room.id, id, now=NOW)


def test_cancel_racing_finish_leaves_one_final_status_and_an_exact_count(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author)
    cancelled = 0
    for _ in range(10):
        sent = send(world, author, room.id)

        def race(number: int, sent: Sent = sent) -> object:
            if number % 2:
                return world.messages.cancel(author, room.id, sent.reply.id, now=NOW)
            lease = world.jobs.claim(JobId(sent.reply.id), lease_for=LEASE, now=NOW)
            return lease and world.replies.finish(lease, DONE, now=NOW)

        tried_at_once(6, race)
        cancelled += world.messages.show(author, room.id, sent.reply.id).status is Status.CANCELLED
    assert used(world, author) == 10 - cancelled


# --- rooms ------------------------------------------------------------------------------------------------------------


def test_deleting_a_room_takes_everything_along_and_gives_pending_units_back(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    done, working, waiting = (send(world, author, room.id) for _ in range(3))
    world.replies.finish(claim(world, done), DONE, now=NOW)
    lease = claim(world, working)
    assert world.replies.begin(lease, history=1, reach=10_000) is not None
    world.rooms.delete(author, room.id)
    assert world.jobs.unwanted([lease.token]) == {lease.token}
    assert world.replies.begin(lease, history=1, reach=10_000) is None
    assert world.replies.finish(lease, DONE, now=NOW) is None
    assert world.jobs.due(limit=10) == []
    assert used(world, author) == 2
    with pytest.raises(NotFound):
        world.messages.show(author, room.id, waiting.reply.id)


def test_deleting_a_room_gives_the_unit_of_a_reply_that_rests_back(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = send(world, author, room.id)
    lease = claim(world, sent)
    assert world.replies.begin(lease, history=1, reach=10_000) is not None
    world.jobs.put_back(lease, after=timedelta(hours=1), failed=True)
    world.rooms.delete(author, room.id)
    assert used(world, author) == 0


def test_deleting_a_room_keeps_the_unit_of_a_reply_whose_worker_could_not_renew_its_lease(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    lease = claim(world, send(world, author, room.id), lease_for=timedelta(0))
    assert world.replies.begin(lease, history=1, reach=10_000) is not None
    world.rooms.delete(author, room.id)
    assert used(world, author) == 1


def test_a_room_deleted_while_its_reply_is_finished_leaves_no_error_and_no_job(world: ChatWorld) -> None:
    author = world.user("pro")
    for _ in range(20):
        room = world.room(author)
        lease = claim(world, send(world, author, room.id))

        def race(number: int, room_id: ChatroomId = room.id, lease: Lease = lease) -> None:
            if number:
                world.rooms.delete(author, room_id)
            else:
                world.replies.finish(lease, DONE, now=NOW)

        assert tried_at_once(2, race) == [None, None]
    assert world.jobs.list_jobs(state=None, kind=None, limit=10, after=None).items == ()


def test_a_reply_that_is_cancelled_while_its_room_is_deleted_is_stopped_or_not_there(world: ChatWorld) -> None:
    author = world.user("pro")
    for _ in range(20):
        room = world.room(author)
        sent = send(world, author, room.id)

        def race(number: int, room_id: ChatroomId = room.id, reply: MessageId = sent.reply.id) -> None:
            if number:
                world.rooms.delete(author, room_id)
            else:
                world.messages.cancel(author, room_id, reply, now=NOW)

        cancelled, deleted = tried_at_once(2, race)
        assert cancelled is None or isinstance(cancelled, NotFound)
        assert deleted is None
    assert used(world, author) == 0


def test_rooms_are_listed_by_latest_activity_page_by_page_with_nothing_twice(world: ChatWorld) -> None:
    author = world.user("pro")
    rooms = [world.room(author, title=f"r{number}") for number in range(7)]
    world.messages.send(author, rooms[2].id, "hi", limits=LIMITS, now=NOW + timedelta(seconds=1))
    world.rooms.change(author, rooms[4].id, RoomChange(archived=True), now=NOW + timedelta(seconds=2))
    listed, after = [], None
    while True:
        page = world.rooms.page(author, archived=None, limit=3, after=after)
        listed += [room.id for room in page.items]
        if (after := page.next) is None:
            break
    assert listed[:2] == [rooms[4].id, rooms[2].id]
    assert sorted(listed) == sorted(room.id for room in rooms)
    archived = world.rooms.page(author, archived=True, limit=10, after=None).items
    assert [room.id for room in archived] == [rooms[4].id]


def test_a_change_changes_what_it_names(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author, title="Tea", system_instruction="Be brief.")
    changed = world.rooms.change(author, room.id, RoomChange(title="Coffee", pinned=True), now=NOW)
    assert (changed.title, changed.pinned, changed.system_instruction) == ("Coffee", True, "Be brief.")
    assert world.rooms.show(author, room.id) == changed


def test_messages_are_paged_forwards_and_backwards_with_nothing_twice(world: ChatWorld) -> None:
    author = world.user("pro")
    room = world.room(author)
    for number in range(5):
        send(world, author, room.id, f"q{number}")
    everything = all_messages(world, author, room.id)
    forwards = world.messages.page(author, room.id, limit=4)
    assert forwards.items == everything[:4]
    assert forwards.next == (str(everything[3].id),)
    assert world.messages.page(author, room.id, limit=10, after=everything[3].id).items == everything[4:]
    latest = world.messages.page(author, room.id, limit=4, before=everything[6].id)
    assert latest.items == everything[2:6]
    assert latest.next == (str(everything[2].id),)
    assert world.messages.page(author, room.id, limit=4, before=everything[2].id).next is None
    assert world.messages.page(author, world.room(author).id, limit=4).items == ()


# --- a crowd ----------------------------------------------------------------------------------------------------------


def test_50_authors_at_the_same_instant_get_what_each_of_them_sent(world: ChatWorld) -> None:
    rooms = [world.room(world.user()) for _ in range(50)]
    outcomes = tried_at_once(50, lambda n: send(world, rooms[n].user_id, rooms[n].id, f"from {n}"))
    for number, (room, outcome) in enumerate(zip(rooms, outcomes, strict=True)):
        assert isinstance(outcome, Sent)
        assert (outcome.message.chatroom_id, outcome.message.content, outcome.used) == (room.id, f"from {number}", 1)
        assert all_messages(world, room.user_id, room.id) == (outcome.message, outcome.reply)


def test_in_a_crowd_everybody_is_answered_for_themselves(world: ChatWorld) -> None:
    """Accepted, over the limit, not found and unfit to be stored, all at the same instant."""
    full, fine = [world.room(world.user()) for _ in range(5)], [world.room(world.user()) for _ in range(20)]
    for room in full:
        for _ in range(5):
            send(world, room.user_id, room.id)

    def deed(number: int) -> Sent:
        if number < 5:
            return send(world, full[number].user_id, full[number].id)
        if number < 10:
            return send(world, full[number - 5].user_id, fine[0].id)
        return send(world, fine[number - 10].user_id, fine[number - 10].id)

    outcomes = [type(outcome) for outcome in tried_at_once(30, deed)]
    assert outcomes == [LimitReached] * 5 + [NotFound] * 5 + [Sent] * 20
    assert [used(world, room.user_id) for room in full] == [5] * 5
