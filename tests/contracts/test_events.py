"""The exam for the promise to tell: it is stored with the fact, once, and without it the fact is not stored either."""

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import IntegrityError
from tests.contracts import account_worlds, billing_worlds
from tests.contracts.account_worlds import AccountWorld
from tests.contracts.billing_worlds import TERMS, BillingWorld
from tests.contracts.chat_worlds import LIMITS, NOW, ChatWorld, memory_world, postgres_world

from adapters.persistence.accounts.users import SqlUsers
from adapters.persistence.chat.usage import SqlUsage
from adapters.persistence.jobs import SqlJobs
from adapters.persistence.replies import SqlReplies
from adapters.persistence.tables import daily_usage, users
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.billing.subscriptions import Grant, GrantId, Subscription
from gemini_core.model.chat import Message, Status
from gemini_core.model.events import Audience, account_deleted
from gemini_core.model.ids import JobId, UserId, uuid7
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.model.replies import Answer
from gemini_core.ports.accounts.people import Users

LEASE = timedelta(seconds=30)
KIND = "event.webhook"
COMPLETE = Answer(status=Status.COMPLETE, content="Tea.", finish_reason="stop")


def news() -> tuple[NewJob, ...]:
    return Audience(("webhook",)).promises(account_deleted(UserId(uuid7(NOW)), NOW))


def owed(world: ChatWorld | AccountWorld) -> list[JobId]:
    return [job.id for job in world.jobs.list_jobs(state=None, kind=KIND, limit=100, after=None).items]


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> ChatWorld:
    return memory_world() if request.param == "memory" else postgres_world(request.getfixturevalue("engine"))


@pytest.fixture(params=["memory", "postgres"])
def accounts(request: pytest.FixtureRequest) -> AccountWorld:
    if request.param == "memory":
        return account_worlds.memory_world()
    return account_worlds.postgres_world(request.getfixturevalue("engine"))


# --- a reply ----------------------------------------------------------------------------------------------------------


def claimed(world: ChatWorld) -> tuple[Lease, Callable[[], Message]]:
    """A reply that is being made, and a look at it."""
    author = world.user()
    room = world.room(author)
    sent = world.messages.send(author, room.id, "hello", limits=LIMITS, now=NOW)
    lease = world.jobs.claim(JobId(sent.reply.id), lease_for=LEASE, now=NOW)
    assert lease is not None
    return lease, lambda: world.messages.show(author, room.id, sent.reply.id)


def test_what_became_of_a_reply_is_promised_to_be_told_with_the_reply_and_only_by_whoever_holds_the_lease(
    world: ChatWorld,
) -> None:
    lease, _ = claimed(world)
    (late,) = news()
    assert world.replies.finish(replace(lease, token=uuid7(NOW)), COMPLETE, now=NOW, then=[late]) is None
    assert owed(world) == []
    (told,) = news()
    assert world.replies.finish(lease, COMPLETE, now=NOW, then=[told]) == [told.id]
    assert owed(world) == [told.id]


def test_whose_reply_it_is_can_be_asked_for_as_long_as_it_is_there(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    sent = world.messages.send(author, room.id, "hello", limits=LIMITS, now=NOW)
    lease = world.jobs.claim(JobId(sent.reply.id), lease_for=LEASE, now=NOW)
    assert lease is not None
    assert world.replies.owner(lease) == author
    world.rooms.delete(author, room.id)
    assert world.replies.owner(lease) is None


def test_a_reply_whose_telling_cannot_be_promised_is_not_final(engine: Engine) -> None:
    check_no_reply_without_its_promise(postgres_world(engine), engine)


def check_no_reply_without_its_promise(world: ChatWorld, engine: Engine) -> None:
    lease, reply = claimed(world)
    refuse_promises(engine)
    with pytest.raises(IntegrityError):
        world.replies.finish(lease, COMPLETE, now=NOW, then=news())
    assert reply().status is Status.PENDING


# --- a limit ----------------------------------------------------------------------------------------------------------


def test_a_limit_is_told_once_a_day_however_many_are_refused_at_the_same_instant(world: ChatWorld) -> None:
    check_once_a_day(world)


def check_once_a_day(world: ChatWorld) -> None:
    user, other, day = world.user(), world.user(), NOW.date()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: world.usage.refused(user, day, then=news()), range(20)))
    assert len(owed(world)) == 1
    world.usage.refused(user, day + timedelta(days=1), then=news())
    world.usage.refused(other, day, then=news())
    assert len(owed(world)) == 3


def test_a_limit_that_was_told_is_not_told_again_when_the_promise_is_kept(world: ChatWorld) -> None:
    user, (told,) = world.user(), news()
    world.usage.refused(user, NOW.date(), then=[told])
    lease = world.jobs.claim(told.id, lease_for=LEASE, now=NOW)
    assert lease is not None
    world.jobs.finish(lease)
    world.usage.refused(user, NOW.date(), then=news())
    assert owed(world) == []


def test_a_refusal_changes_no_count(world: ChatWorld) -> None:
    author = world.user()
    room = world.room(author)
    world.messages.send(author, room.id, "hello", limits=LIMITS, now=NOW)
    world.usage.refused(author, NOW.date(), then=news())
    assert world.usage.of_day(author, NOW.date(), now=NOW).used == 1
    world.messages.send(author, room.id, "hello", limits=LIMITS, now=NOW)
    assert world.usage.of_day(author, NOW.date(), now=NOW).used == 2


def test_a_limit_whose_telling_cannot_be_promised_is_told_at_the_next_refusal(engine: Engine) -> None:
    check_no_refusal_without_its_promise(postgres_world(engine), engine)


def check_no_refusal_without_its_promise(world: ChatWorld, engine: Engine) -> None:
    user = world.user()
    refuse_promises(engine)
    with pytest.raises(IntegrityError):
        world.usage.refused(user, NOW.date(), then=news())
    allow_promises(engine)
    world.usage.refused(user, NOW.date(), then=news())
    assert len(owed(world)) == 1


# --- an account -------------------------------------------------------------------------------------------------------


def test_an_account_that_is_erased_is_told_once_and_one_that_is_not_closed_never(accounts: AccountWorld) -> None:
    owner = accounts.sign_in()
    accounts.users.erase(owner.user.id, then=news())
    assert owed(accounts) == []
    close(accounts.users, owner.user.id)
    for _ in range(2):
        accounts.users.erase(owner.user.id, then=news())
    assert len(owed(accounts)) == 1


def test_an_account_whose_end_cannot_be_promised_to_be_told_is_still_there(engine: Engine) -> None:
    check_no_end_without_its_promise(account_worlds.postgres_world(engine), engine)


def check_no_end_without_its_promise(accounts: AccountWorld, engine: Engine) -> None:
    owner = accounts.sign_in()
    close(accounts.users, owner.user.id)
    refuse_promises(engine)
    with pytest.raises(IntegrityError):
        accounts.users.erase(owner.user.id, then=news())
    with engine.connect() as connection:
        assert connection.execute(select(users.c.status)).scalars().all() == ["erasing"]


# --- a subscription ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "postgres"])
def billing(request: pytest.FixtureRequest) -> BillingWorld:
    if request.param == "memory":
        return billing_worlds.memory_world()
    return billing_worlds.postgres_world(request.getfixturevalue("engine"))


AUDIENCE = Audience(("webhook",))
MONTH = timedelta(days=30)


def told(world: BillingWorld) -> list[dict[str, Any]]:
    jobs = world.jobs.list_jobs(state=None, kind=KIND, limit=100, after=None).items
    return [json.loads(job.args["data"]) for job in jobs]


def look(world: BillingWorld, user: UserId, **found: Any) -> None:
    """What the gateway has is applied."""
    begun = world.subscriptions.begin_sync(user, now=NOW)
    assert begun is not None
    about = {"id": "sub_1", "status": "active", "period_end": NOW + MONTH, **found}
    subscription = Subscription(prices=(billing_worlds.PRICE,), created_at=NOW, **about)
    world.subscriptions.apply(begun, [subscription], TERMS, now=NOW, audience=AUDIENCE)


def grant(world: BillingWorld, user: UserId, until: datetime | None = None) -> None:
    made = Grant(id=GrantId(uuid7(NOW)), user_id=user, until=until, reason="r", by="op", created_at=NOW)
    world.subscriptions.grant(made, TERMS, now=NOW, audience=AUDIENCE)


def test_a_subscription_that_changes_is_told_as_its_user_is_told_it_and_one_that_is_as_before_is_not(
    billing: BillingWorld,
) -> None:
    user, _ = billing.customer()
    for _ in range(2):
        look(billing, user)
    pro = {"plan": "pro", "status": "active", "active": True, "cancel_at_period_end": False}
    assert told(billing) == [pro | {"valid_until": "2026-06-16T12:00:00.000Z"}]
    look(billing, user, cancel_at_period_end=True)
    look(billing, user, status="canceled")
    kinds = sorted((each["plan"], each["status"], each["cancel_at_period_end"]) for each in told(billing))
    assert kinds == [("basic", "canceled", False), ("pro", "active", False), ("pro", "active", True)]


def test_what_operators_grant_and_take_back_is_told(billing: BillingWorld) -> None:
    user, _ = billing.customer()
    grant(billing, user)
    grant(billing, user)
    billing.subscriptions.revoke(user, TERMS, operator="op", now=NOW, audience=AUDIENCE)
    billing.subscriptions.revoke(user, TERMS, operator="op", now=NOW, audience=AUDIENCE)
    kinds = sorted((each["plan"], each["status"], each["valid_until"]) for each in told(billing))
    assert kinds == [("basic", "none", None), ("pro", "granted", None)]


def test_of_an_account_that_is_closed_no_subscription_is_told(billing: BillingWorld) -> None:
    user, _ = billing.customer()
    billing.close(user)
    look(billing, user)
    assert told(billing) == []


def test_a_plan_whose_telling_cannot_be_promised_is_not_changed(engine: Engine) -> None:
    world = billing_worlds.postgres_world(engine)
    user, _ = world.customer()
    refuse_promises(engine)
    with pytest.raises(IntegrityError):
        look(world, user)
    with pytest.raises(IntegrityError):
        grant(world, user)
    assert world.records.record(user).status(NOW, TERMS).plan == "basic"


def close(repo: Users, user: UserId) -> None:
    repo.close(user, session=None, ip="", job=JobId(uuid7(NOW)), request_id="r", now=NOW)


def refuse_promises(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text(f"ALTER TABLE jobs ADD CONSTRAINT broken CHECK (kind <> '{KIND}')"))


def allow_promises(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("ALTER TABLE jobs DROP CONSTRAINT broken"))


# --- the exam itself: each of these promises beside the fact instead of with it, and fails ----------------------------

CAUGHT = (AssertionError, pytest.fail.Exception)


class FinishesThenPromises(SqlReplies):
    def finish(
        self, lease: Lease, answer: Answer, *, now: datetime, then: Iterable[NewJob] = ()
    ) -> Sequence[JobId] | None:
        nudge = SqlReplies.finish(self, lease, answer, now=now)
        promise_alone(self.engine, then)
        return nudge


class RefusesThenPromises(SqlUsage):
    def refused(self, user: UserId, day: date, *, then: Iterable[NewJob]) -> None:
        told = select(daily_usage.c.refused).where(daily_usage.c.user_id == user, daily_usage.c.day == day)
        with self.engine.connect() as connection:
            first = not connection.execute(told).scalar()
        SqlUsage.refused(self, user, day, then=())
        if first:
            promise_alone(self.engine, then)


class ErasesThenPromises(SqlUsers):
    def erase(self, user: UserId, *, then: Iterable[NewJob] = ()) -> None:
        SqlUsers.erase(self, user)
        promise_alone(self.engine, then)


def promise_alone(engine: Engine, then: Iterable[NewJob]) -> None:
    for job in then:
        SqlJobs(engine).add(job)


@pytest.mark.parametrize(
    ("broken", "exam"),
    [
        (lambda engine: {"replies": FinishesThenPromises(engine)}, check_no_reply_without_its_promise),
        (lambda engine: {"usage": RefusesThenPromises(engine)}, check_no_refusal_without_its_promise),
    ],
)
def test_a_promise_beside_the_fact_is_caught(broken: Callable[[Engine], Any], exam: Any, engine: Engine) -> None:
    with pytest.raises(CAUGHT):
        exam(replace(postgres_world(engine), **broken(engine)), engine)


def test_a_promise_beside_the_end_of_an_account_is_caught(engine: Engine) -> None:
    broken = replace(account_worlds.postgres_world(engine), users=ErasesThenPromises(engine, AccountPolicy()))
    with pytest.raises(CAUGHT):
        check_no_end_without_its_promise(broken, engine)


class TellsWheneverARowIsThere(SqlUsage):
    """Forgets that it has told."""

    def refused(self, user: UserId, day: date, *, then: Iterable[NewJob]) -> None:
        promise_alone(self.engine, then)


def test_a_limit_that_is_told_with_every_refusal_is_caught(engine: Engine) -> None:
    with pytest.raises(CAUGHT):
        check_once_a_day(replace(postgres_world(engine), usage=TellsWheneverARowIsThere(engine)))
