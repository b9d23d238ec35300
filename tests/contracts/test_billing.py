"""The exam for what keeps checkouts, subscriptions, grants and events; sat by memory and by PostgreSQL."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError
from tests.contracts.billing_worlds import NOW, PRICE, TERMS, BillingWorld, memory_world, postgres_world
from tests.crowd import at_once, tried_at_once

from gemini_core.errors import Conflict, Failure, Invalid, NotFound
from gemini_core.model.billing.checkouts import ANSWER_LIFE, AlreadySubscribed
from gemini_core.model.billing.events import SYNC_JOB, Concern, EventState, Hint, Received, Subject
from gemini_core.model.billing.records import BillingFilter
from gemini_core.model.billing.subscriptions import Grant, GrantId, Standing, Subscription
from gemini_core.model.ids import UserId, uuid7
from gemini_core.model.requests import KEY_LIVES, Once

T = TypeVar("T")
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> BillingWorld:
    return memory_world() if request.param == "memory" else postgres_world(request.getfixturevalue("engine"))


def subscription(name: str = "sub_1", status: str = "active", *, price: str = PRICE, age: int = 1) -> Subscription:
    began, end = NOW - age * DAY, NOW + 10 * DAY
    return Subscription(id=name, status=status, prices=(price,), created_at=began, period_end=end, sold_as=PRICE)


def sync(world: BillingWorld, user: UserId, *found: Subscription, now: datetime = NOW) -> Standing | None:
    begun = world.subscriptions.begin_sync(user, now=now)
    assert begun is not None
    return world.subscriptions.apply(begun, found, TERMS, now=now)


def hint(customer: str | None, *, matters: bool = True, concern: Concern | None = None) -> Hint:
    return Hint(
        event_id=f"evt_{uuid4().hex}",
        kind="customer.subscription.updated",
        happened_at=NOW,
        matters=matters,
        customer_id=customer,
        subject=Subject("dispute", "du_1") if concern or customer is None else None,
        concern=concern,
    )


def once(key: str = "key", **asked: str) -> Once:
    made = Once.of(key, "subscribe", **asked)
    assert made is not None
    return made


# --- checkouts --------------------------------------------------------------------------------------------------------


def test_twenty_attempts_at_once_are_one_checkout(world: BillingWorld) -> None:
    user = world.user()
    begun = at_once(20, lambda _: world.begin(user))
    assert len(begun) == 20
    assert len({each.checkout.id for each in begun}) == 1
    assert begun[0].customer.id is None
    assert begun[0].customer.email == "a@b.example"


def test_the_first_answer_of_the_gateway_is_kept(world: BillingWorld) -> None:
    user = world.user()
    first = world.opened(world.begin(user))
    again = world.begin(user)
    assert again.checkout == first.checkout
    assert again.checkout.url
    assert again.customer.id == f"cus_{user}"


def test_an_expired_page_makes_way(world: BillingWorld) -> None:
    user = world.user()
    unanswered = world.begin(user)
    assert world.begin(user, now=NOW + ANSWER_LIFE - SECOND).checkout.id == unanswered.checkout.id
    assert world.begin(user, now=NOW + ANSWER_LIFE).checkout.id != unanswered.checkout.id


def test_a_closed_checkout_makes_way(world: BillingWorld) -> None:
    user = world.user()
    first = world.opened(world.begin(user))
    world.checkouts.close(first.checkout.id)
    assert world.begin(user).checkout.id != first.checkout.id


@pytest.mark.parametrize("status", ["active", "trialing", "past_due", "unpaid", "paused"])
def test_whoever_has_something_alive_buys_nothing(world: BillingWorld, status: str) -> None:
    user, _ = world.customer()
    sync(world, user, subscription(status=status))
    with pytest.raises(AlreadySubscribed):
        world.begin(user)


def test_a_granted_user_buys_nothing(world: BillingWorld) -> None:
    user = world.user()
    give(world, user)
    with pytest.raises(AlreadySubscribed):
        world.begin(user)


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
def test_what_has_ended_may_be_bought_anew(world: BillingWorld, status: str) -> None:
    user, _ = world.customer()
    sync(world, user, subscription(status=status))
    assert world.begin(user).checkout.url is not None


def test_nobody_buys_for_a_user_who_is_not_there(world: BillingWorld) -> None:
    with pytest.raises(NotFound):
        world.begin(UserId(uuid7(NOW)))


def test_a_key_leads_to_its_checkout_again_for_a_day(world: BillingWorld) -> None:
    user = world.user()
    first = world.opened(world.begin(user, once=once()), once=once())
    assert not first.replayed
    sync(world, user, subscription())
    again = world.begin(user, once=once())
    assert again.replayed
    assert again.checkout == first.checkout
    with pytest.raises(AlreadySubscribed):
        world.begin(user, now=NOW + KEY_LIVES, once=once())


def test_a_key_is_not_good_for_another_request(world: BillingWorld) -> None:
    user = world.user()
    world.opened(world.begin(user, once=once()), once=once())
    with pytest.raises(Invalid) as refused:
        world.begin(user, once=once(other="yes"))
    assert refused.value.code == "idempotency-key-reused"


def test_the_same_key_at_the_same_instant_has_one_first(world: BillingWorld) -> None:
    user = world.user()
    begun = world.begin(user, once=once())
    answers = at_once(20, lambda _: world.opened(begun, once=once()))
    assert len(answers) == 20
    assert [each.replayed for each in answers].count(False) == 1
    assert len({each.checkout.url for each in answers}) == 1


def test_nobody_is_shown_a_page_for_an_account_that_went_meanwhile(world: BillingWorld) -> None:
    begun = world.begin(world.user())
    world.close(begun.checkout.user_id)
    with pytest.raises(NotFound):
        world.opened(begun)


def test_what_was_opened_for_an_account_that_went_meanwhile_is_known_and_looked_at(world: BillingWorld) -> None:
    begun = world.begin(world.user())
    user = begun.checkout.user_id
    world.close(user)
    world.subscriptions.bury(user, now=NOW)
    for _ in range(2):
        with pytest.raises(NotFound):
            world.opened(begun, once=once())
    assert world.records.owner(f"cus_{user}") == user
    (promised,) = world.jobs.list_jobs(state=None, kind=SYNC_JOB, limit=9, after=None).items
    assert promised.args == {"user": str(user)}
    look = world.subscriptions.begin_sync(user, now=NOW)
    assert look is not None
    assert look.buried


def test_nobody_is_shown_the_page_of_another_customer_than_they_were_linked_to(world: BillingWorld) -> None:
    user = world.user()
    begun = world.begin(user)
    world.records.link(user, "cus_other", operator="op", now=NOW)
    with pytest.raises(Conflict):
        world.opened(begun)
    assert world.checkouts.customer(user).id == "cus_other"
    assert world.begin(user).checkout.id != begun.checkout.id


def test_nobody_is_shown_the_page_of_a_customer_who_is_somebody_else(world: BillingWorld) -> None:
    user, other = world.user(), world.user()
    begun = world.begin(user)
    world.records.link(other, f"cus_{user}", operator="op", now=NOW)
    with pytest.raises(Conflict):
        world.opened(begun)
    assert world.checkouts.customer(user).id is None


def test_a_customer_deleted_at_the_gateway_is_followed_by_another(world: BillingWorld) -> None:
    user, _ = world.customer()
    before = world.checkouts.customer(user)
    world.checkouts.forget_customer(before)
    world.checkouts.forget_customer(before)
    after = world.checkouts.customer(user)
    assert (after.id, after.generation) == (None, before.generation + 1)


# --- syncing ----------------------------------------------------------------------------------------------------------


def test_a_look_that_began_earlier_never_wins(world: BillingWorld) -> None:
    user, _ = world.customer()
    slow = world.subscriptions.begin_sync(user, now=NOW)
    quick = world.subscriptions.begin_sync(user, now=NOW)
    assert slow is not None
    assert quick is not None
    cancelled, active = [subscription(status="canceled")], [subscription()]
    assert world.subscriptions.apply(quick, cancelled, TERMS, now=NOW) == Standing("basic")
    assert world.subscriptions.apply(slow, active, TERMS, now=NOW) is None
    assert world.plan(user) == Standing("basic")


def test_looks_at_the_same_instant_have_different_numbers(world: BillingWorld) -> None:
    user, _ = world.customer()
    begun = at_once(20, lambda _: world.subscriptions.begin_sync(user, now=NOW))
    numbers = [each.number for each in begun if each is not None]
    assert sorted(numbers) == list(range(1, 21))


def test_of_looks_applied_at_the_same_instant_the_last_begun_stays(world: BillingWorld) -> None:
    user, _ = world.customer()
    looks = [world.subscriptions.begin_sync(user, now=NOW) for _ in range(10)]
    last = looks[-1]

    def apply(_: int) -> None:
        look = looks.pop()
        assert look is not None
        found = [subscription()] if look is last else [subscription(status="canceled")]
        world.subscriptions.apply(look, found, TERMS, now=NOW)

    at_once(10, apply)
    assert world.plan(user) == Standing("pro")
    assert [each.status for each in world.records.record(user).subscriptions] == ["active"]


def test_the_whole_state_is_written_and_the_plan_with_it(world: BillingWorld) -> None:
    user, customer = world.customer()
    found = subscription()
    assert sync(world, user, found, subscription("sub_0", "canceled", age=9)) == Standing("pro")
    record = world.records.record(user)
    assert record.customer_id == customer
    assert record.synced_at == NOW
    assert record.standing == world.plan(user) == Standing("pro")
    assert record.subscriptions == (subscription("sub_0", "canceled", age=9), found)
    assert sync(world, user) == Standing("basic")
    assert world.records.record(user).subscriptions == ()


def test_a_subscription_to_something_else_gives_nothing(world: BillingWorld) -> None:
    user, _ = world.customer()
    assert sync(world, user, subscription(price="price_other")) == Standing("basic")


def test_a_second_alive_subscription_is_flagged_until_it_is_gone(world: BillingWorld) -> None:
    user, _ = world.customer()
    sync(world, user, subscription(), subscription("sub_2", age=0))
    assert [(flag.concern, flag.about) for flag in world.records.record(user).flags] == [(Concern.DUPLICATE, "sub_2")]
    page = world.records.list_records(BillingFilter(duplicates=True), limit=10, after=None)
    assert [record.user_id for record in page.items] == [user]
    sync(world, user, subscription(), subscription("sub_2", "canceled", age=0))
    assert world.records.record(user).flags == ()


def test_a_paid_checkout_is_closed(world: BillingWorld) -> None:
    user, _ = world.customer()
    before = world.begin(user).checkout.id
    sync(world, user, subscription())
    sync(world, user, subscription(status="canceled"))
    assert world.begin(user).checkout.id != before


def test_who_never_was_a_customer_is_not_looked_at(world: BillingWorld) -> None:
    user = world.user()
    assert world.subscriptions.begin_sync(user, now=NOW) is None
    assert world.events.request_sync(user, now=NOW) is None
    world.begin(user)
    assert world.subscriptions.begin_sync(user, now=NOW) is None


def test_a_buried_customer_is_found_by_late_events(world: BillingWorld) -> None:
    user, customer = world.customer()
    world.subscriptions.bury(user, now=NOW)
    world.subscriptions.bury(user, now=NOW)
    assert world.events.receive(hint(customer), now=NOW).state is EventState.RECEIVED
    begun = world.subscriptions.begin_sync(user, now=NOW)
    assert begun is not None
    assert begun.buried


def test_what_was_known_when_the_account_went_is_nothing_to_flag(world: BillingWorld) -> None:
    user, _ = world.customer()
    sync(world, user, subscription())
    world.subscriptions.bury(user, now=NOW)
    sync(world, user, subscription(status="canceled"))
    assert world.records.record(user).flags == ()


@pytest.mark.parametrize(("status", "flagged"), [("active", True), ("canceled", False), ("incomplete_expired", False)])
def test_what_was_unpaid_when_the_account_went_is_flagged_once_it_is_paid(
    world: BillingWorld, status: str, flagged: bool
) -> None:
    user, _ = world.customer()
    sync(world, user, subscription(status="incomplete"))
    world.subscriptions.bury(user, now=NOW)
    for now_it_is in ("incomplete", status, "canceled"):
        sync(world, user, subscription(status=now_it_is))
    flags = [(flag.concern, flag.about) for flag in world.records.record(user).flags]
    assert flags == ([(Concern.LATE_PAYMENT, "sub_1")] if flagged else [])


@pytest.mark.parametrize(("status", "flagged"), [("canceled", True), ("active", True), ("incomplete_expired", False)])
def test_whoever_paid_for_an_account_that_is_gone_is_flagged(world: BillingWorld, status: str, flagged: bool) -> None:
    user, _ = world.customer()
    world.subscriptions.bury(user, now=NOW)
    for _ in range(2):
        sync(world, user, subscription(status=status))
    flags = [(flag.concern, flag.about) for flag in world.records.record(user).flags]
    assert flags == ([(Concern.LATE_PAYMENT, "sub_1")] if flagged else [])


# --- grants -----------------------------------------------------------------------------------------------------------


def give(world: BillingWorld, user: UserId, until: datetime | None = None) -> Standing:
    grant = Grant(id=GrantId(uuid7(NOW)), user_id=user, until=until, reason="friend", by="op", created_at=NOW)
    return world.subscriptions.grant(grant, TERMS, now=NOW)


def test_a_grant_survives_a_cancellation_and_a_subscription_survives_a_grant(world: BillingWorld) -> None:
    user, _ = world.customer()
    assert give(world, user, NOW + DAY) == Standing("pro", NOW + DAY)
    assert sync(world, user, subscription(status="canceled")) == Standing("pro", NOW + DAY)
    assert sync(world, user, subscription()) == Standing("pro")
    assert len(world.subscriptions.revoke(user, TERMS, operator="op", now=NOW)) == 1
    assert world.plan(user) == Standing("pro")
    assert world.subscriptions.revoke(user, TERMS, operator="op", now=NOW) == []


def test_grants_and_looks_at_the_same_instant_both_count(world: BillingWorld) -> None:
    for _ in range(5):
        user, _ = world.customer()
        begun = world.subscriptions.begin_sync(user, now=NOW)
        assert begun is not None
        cancelled = [subscription(f"sub_{user}", "canceled")]
        deeds = [
            lambda u=user: give(world, u),
            lambda b=begun, c=cancelled: world.subscriptions.apply(b, c, TERMS, now=NOW),
        ]
        at_once(2, lambda _, d=deeds: d.pop()())  # type: ignore[misc]
        assert world.plan(user) == Standing("pro")


def test_nothing_is_granted_to_nobody(world: BillingWorld) -> None:
    nobody = UserId(uuid7(NOW))
    with pytest.raises(NotFound):
        give(world, nobody)
    with pytest.raises(NotFound):
        world.subscriptions.revoke(nobody, TERMS, operator="op", now=NOW)


# --- operators' acts are noted by the transaction that stores them ----------------------------------------------------

ACTS: dict[str, Callable[[BillingWorld, UserId], object]] = {
    "subscription.granted": give,
    "subscription.revoked": lambda world, user: world.subscriptions.revoke(user, TERMS, operator="op", now=NOW),
    "subscription.linked": lambda world, user: world.records.link(user, "cus_found", operator="op", now=NOW),
    "subscription.flags_cleared": lambda world, user: world.records.clear_flags(user, operator="op", now=NOW),
}


def somebody(world: BillingWorld, act: str) -> UserId:
    """A user to whom the act makes a difference."""
    if act == "subscription.linked":
        return world.user()
    user, customer = world.customer()
    world.events.receive(hint(customer, concern=Concern.REFUND), now=NOW)
    if act == "subscription.revoked":
        give(world, user)
    return user


@pytest.mark.parametrize("act", ACTS)
def test_an_operators_act_is_in_the_audit_log(world: BillingWorld, act: str) -> None:
    user = somebody(world, act)
    ACTS[act](world, user)
    (noted,) = world.audit.page(user=user, event=act, limit=10).items
    assert (noted.operator, noted.at) == ("op", NOW)


@pytest.mark.parametrize("act", ACTS)
def test_an_act_that_cannot_be_noted_is_not_done(world: BillingWorld, act: str) -> None:
    user = somebody(world, act)
    before = world.records.record(user)
    world.full_log()
    with pytest.raises((Failure, IntegrityError)):
        ACTS[act](world, user)
    assert world.records.record(user) == before


# --- events -----------------------------------------------------------------------------------------------------------


def test_fifty_copies_of_an_event_promise_one_look(world: BillingWorld) -> None:
    _, customer = world.customer()
    event = hint(customer)
    answers = at_once(50, lambda _: world.events.receive(event, now=NOW))
    assert len(answers) == 50
    assert len([each for each in answers if each.job]) == 1
    assert len(world.jobs.list_jobs(state=None, kind=SYNC_JOB, limit=100, after=None).items) == 1


def test_a_thousand_events_of_a_customer_promise_one_look_before_it_begins(world: BillingWorld) -> None:
    user, customer = world.customer()
    jobs = [world.events.receive(hint(customer), now=NOW).job for _ in range(100)]
    assert len([job for job in jobs if job]) == 1
    assert world.subscriptions.begin_sync(user, now=NOW) is not None
    assert world.events.receive(hint(customer), now=NOW).job is not None
    jobs_written = world.jobs.list_jobs(state=None, kind=SYNC_JOB, limit=100, after=None).items
    assert sorted(job.due_at - job.created_at > SECOND / 2 for job in jobs_written) == [False, True]


def test_an_event_is_done_when_a_look_that_began_after_it_is_written(world: BillingWorld) -> None:
    user, customer = world.customer()
    before, after = hint(customer), hint(customer)
    world.events.receive(before, now=NOW)
    look = world.subscriptions.begin_sync(user, now=NOW)
    assert look is not None
    world.events.receive(after, now=NOW)
    assert world.events.show(before.event_id).state is EventState.RECEIVED
    world.subscriptions.apply(look, [], TERMS, now=NOW)
    assert world.events.show(before.event_id).state is EventState.DONE
    assert world.events.show(after.event_id).state is EventState.RECEIVED


def test_an_event_that_is_done_promises_nothing_more(world: BillingWorld) -> None:
    user, customer = world.customer()
    event = hint(customer)
    world.events.receive(event, now=NOW)
    sync(world, user)
    assert world.events.receive(event, now=NOW) == Received(EventState.DONE)


def test_an_event_whose_look_failed_is_promised_anew(world: BillingWorld) -> None:
    user, customer = world.customer()
    event = hint(customer)
    world.events.receive(event, now=NOW)
    assert world.subscriptions.begin_sync(user, now=NOW) is not None  # and then the gateway did not answer
    again = world.events.receive(event, now=NOW + SECOND)
    assert again.state is EventState.RECEIVED
    assert again.job is not None


def test_redeliveries_and_looks_at_the_same_instant_do_not_block_each_other(world: BillingWorld) -> None:
    user, customer = world.customer()
    events = [hint(customer) for _ in range(5)]
    deeds: list[Callable[[], object]] = []
    for event in events * 6:
        deeds += [
            lambda e=event: world.events.receive(e, now=NOW),  # type: ignore[misc]
            lambda e=event: world.events.resolve(e.event_id, customer, now=NOW),  # type: ignore[misc]
            lambda: world.subscriptions.begin_sync(user, now=NOW),
        ]

    def next_one(number: int) -> object:
        return deeds[number]()

    at_once(len(deeds), next_one)
    sync(world, user)
    assert {world.events.show(event.event_id).state for event in events} == {EventState.DONE}


@pytest.mark.parametrize("matters", [True, False])
def test_events_of_strangers_and_of_no_matter_are_kept_as_ignored(world: BillingWorld, matters: bool) -> None:
    _, customer = world.customer()
    event = hint("cus_stranger" if matters else customer, matters=matters)
    assert world.events.receive(event, now=NOW) == Received(EventState.IGNORED)
    assert world.events.show(event.event_id).state is EventState.IGNORED


def test_an_event_that_names_nobody_is_resolved(world: BillingWorld) -> None:
    user, customer = world.customer()
    about_ours, about_nobody = hint(None, concern=Concern.DISPUTE), hint(None)
    assert world.events.receive(about_ours, now=NOW).job is not None
    assert world.events.receive(about_nobody, now=NOW).job is not None
    assert world.events.resolve(about_ours.event_id, customer, now=NOW) is not None
    assert world.events.resolve(about_nobody.event_id, None, now=NOW) is None
    assert world.events.show(about_ours.event_id).customer_id == customer
    assert world.events.show(about_nobody.event_id).state is EventState.IGNORED
    assert [(flag.concern, flag.about) for flag in world.records.record(user).flags] == [(Concern.DISPUTE, "du_1")]


def test_flags_stay_until_the_operator_has_looked(world: BillingWorld) -> None:
    user, customer = world.customer()
    world.events.receive(hint(customer, concern=Concern.REFUND), now=NOW)
    sync(world, user, subscription())
    page = world.records.list_records(BillingFilter(flagged=True), limit=10, after=None)
    assert [record.user_id for record in page.items] == [user]
    assert world.records.clear_flags(user, operator="op", now=NOW) == 1
    assert world.records.list_records(BillingFilter(flagged=True), limit=10, after=None).items == ()


def test_events_are_listed_latest_first_page_by_page(world: BillingWorld) -> None:
    user, customer = world.customer()
    made = [hint(customer) for _ in range(5)]
    for number, event in enumerate(made):
        world.events.receive(event, now=NOW + number * SECOND)
    world.events.receive(hint("cus_stranger"), now=NOW)
    found: list[str] = []
    after: tuple[str, ...] | None = None
    while True:
        page = world.events.list_events(state=EventState.RECEIVED, user=user, limit=2, after=after)
        found += [event.id for event in page.items]
        if (after := page.next) is None:
            break
    assert found == [event.event_id for event in reversed(made)]


# --- looking and reconciling ------------------------------------------------------------------------------------------


def test_users_are_listed_by_what_is_asked(world: BillingWorld) -> None:
    first, second = world.customer()[0], world.customer()[0]
    granted = world.user()
    give(world, granted)
    sync(world, first, subscription("sub_a"))
    sync(world, second, subscription("sub_b", "past_due"), now=NOW - DAY)

    def listed(**which: object) -> set[UserId]:
        page = world.records.list_records(BillingFilter(**which), limit=10, after=None)  # type: ignore[arg-type]
        return {record.user_id for record in page.items}

    assert listed() == {first, second, granted}
    assert listed(status="past_due") == {second}
    assert listed(stale_before=NOW) == {second}
    page = world.records.list_records(BillingFilter(), limit=2, after=None)
    rest = world.records.list_records(BillingFilter(), limit=2, after=page.next)
    assert [record.user_id for record in (*page.items, *rest.items)] == sorted({first, second, granted})
    assert rest.next is None


def test_customers_worth_a_look_are_found(world: BillingWorld) -> None:
    def overdue(now: datetime = NOW) -> set[UserId]:
        return set(world.reconciliation.overdue(looked_before=NOW - DAY, now=now, limit=10))

    user, customer = world.customer()
    assert overdue() == {user}  # never looked at
    sync(world, user, subscription())
    assert overdue() == set()
    assert overdue(now=NOW + 11 * DAY) == {user}  # the period is over
    world.events.receive(hint(customer), now=NOW)
    assert overdue() == {user}  # an event is not done
    sync(world, user, subscription(), now=NOW - 2 * DAY)
    assert overdue() == {user}  # not looked at for long


def test_the_cursor_never_moves_back(world: BillingWorld) -> None:
    assert world.reconciliation.cursor() is None
    world.reconciliation.move_cursor(NOW)
    world.reconciliation.move_cursor(NOW - DAY)
    assert world.reconciliation.cursor() == NOW


def test_a_customer_is_linked_to_one_user_only(world: BillingWorld) -> None:
    user, taken = world.customer()
    other = world.user()
    world.records.link(other, "cus_found", operator="op", now=NOW)
    world.records.link(other, "cus_found", operator="op", now=NOW)
    assert world.records.record(other).customer_id == "cus_found"
    with pytest.raises(Conflict):
        world.records.link(other, taken, operator="op", now=NOW)
    with pytest.raises(Conflict):
        world.records.link(user, "cus_another", operator="op", now=NOW)
    with pytest.raises(NotFound):
        world.records.link(UserId(uuid7(NOW)), "cus_third", operator="op", now=NOW)
    assert world.records.owner("cus_found") == other
    assert world.records.owner("cus_never") is None


def test_a_customer_who_is_linked_to_twenty_at_once_is_one_of_them(world: BillingWorld) -> None:
    users = [world.user() for _ in range(20)]
    told = tried_at_once(20, lambda n: world.records.link(users[n], "cus_found", operator="op", now=NOW))
    assert [failure.code for failure in told if failure] == ["customer-taken"] * 19
    assert [world.records.record(user).customer_id for user in users].count("cus_found") == 1


def test_a_closed_account_is_nobodys_customer_and_becomes_none(world: BillingWorld) -> None:
    user, stranger = world.customer()[0], world.user()
    for closed in (user, stranger):
        world.close(closed)
        with pytest.raises(NotFound):
            world.checkouts.customer(closed)
        with pytest.raises(NotFound):
            world.records.link(closed, "cus_found", operator="op", now=NOW)
    assert world.records.owner("cus_found") is None
    with pytest.raises(NotFound):
        world.records.record(stranger)


def test_whoever_is_linked_while_the_account_goes_is_buried_or_not_linked(world: BillingWorld) -> None:
    for number in range(20):
        user, customer = world.user(), f"cus_{number}"

        def race(deed: int, user: UserId = user, customer: str = customer) -> None:
            if deed == 0:
                world.records.link(user, customer, operator="op", now=NOW)
            else:
                world.close(user)
                world.subscriptions.bury(user, now=NOW)

        tried_at_once(2, race)
        begun = world.subscriptions.begin_sync(user, now=NOW)
        assert begun is None or begun.buried


def test_a_tombstone_can_still_be_looked_at_and_its_flags_cleared(world: BillingWorld) -> None:
    user, customer = world.customer()
    world.events.receive(hint(customer, concern=Concern.DISPUTE), now=NOW)
    world.subscriptions.bury(user, now=NOW)
    assert not world.records.record(user).gone
    world.close(user)
    record = world.records.record(user)
    assert (record.customer_id, record.standing, len(record.flags)) == (customer, Standing("basic"), 1)
    assert record.gone
    assert world.records.clear_flags(user, operator="op", now=NOW) == 1
    with pytest.raises(NotFound):
        world.records.record(UserId(uuid7(NOW)))
