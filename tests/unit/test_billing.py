"""Which plan a user is on: status by price by time by grant."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from gemini_core.model.billing.records import BillingRecord
from gemini_core.model.billing.subscriptions import Grant, GrantId, Standing, Subscription, Terms, plan_for, surplus
from gemini_core.model.ids import UserId, uuid7

NOW = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OURS = "price_pro"
TERMS = Terms(prices=frozenset({OURS}))
USER = UserId(uuid7(NOW))
GIVES_PRO = {"active", "trialing"}
STATUSES = [
    "active", "trialing", "past_due", "incomplete", "incomplete_expired", "paused", "unpaid", "canceled", "invented",
]  # fmt: skip


def subscription(
    status: str = "active",
    *,
    price: str = OURS,
    ends: timedelta | None = 10 * DAY,
    cancel_at: timedelta | None = None,
    at_period_end: bool = False,
    name: str = "sub_1",
) -> Subscription:
    return Subscription(
        id=name,
        status=status,
        prices=(price,),
        created_at=NOW - 20 * DAY,
        period_end=NOW + ends if ends is not None else None,
        cancel_at=NOW + cancel_at if cancel_at is not None else None,
        cancel_at_period_end=at_period_end,
    )


def grant(until: timedelta | None = None, *, revoked: bool = False) -> Grant:
    return Grant(
        id=GrantId(uuid7(NOW)),
        user_id=USER,
        until=NOW + until if until is not None else None,
        reason="friend",
        by="operator",
        created_at=NOW - DAY,
        revoked_at=NOW if revoked else None,
    )


@pytest.mark.parametrize("status", STATUSES)
def test_what_was_sold_as_pro_stays_pro_under_another_price_of_pro(status: str) -> None:
    sold = replace(subscription(status, price="price_old"), sold_as="price_old")
    assert plan_for([sold], [], NOW, TERMS) == plan_for([subscription(status)], [], NOW, TERMS)
    changed = replace(sold, prices=("price_other",))
    assert plan_for([changed], [], NOW, TERMS) == Standing("basic")


@pytest.mark.parametrize(("status", "price"), list(product(STATUSES, [OURS, "price_other"])))
def test_the_status_and_our_price_together_decide(status: str, price: str) -> None:
    standing = plan_for([subscription(status, price=price)], [], NOW, TERMS)
    expected = "pro" if price == OURS and status in GIVES_PRO | {"past_due"} else "basic"
    assert standing.plan == expected


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("ends", [-10 * DAY, -3 * DAY, -2 * DAY, timedelta(0), DAY])
def test_only_a_failed_payment_is_bounded_by_the_period_and_its_grace(status: str, ends: timedelta) -> None:
    standing = plan_for([subscription(status, ends=ends)], [], NOW, TERMS)
    late = status == "past_due" and ends > -3 * DAY
    assert standing.plan == ("pro" if status in GIVES_PRO or late else "basic")
    assert standing.until == (NOW + ends + 3 * DAY if late else None)


@pytest.mark.parametrize("status", sorted(GIVES_PRO))
@pytest.mark.parametrize("left", [-DAY, timedelta(0), timedelta(seconds=1), DAY])
@pytest.mark.parametrize("by_date", [True, False])
def test_a_planned_cancellation_gives_pro_until_then(status: str, left: timedelta, by_date: bool) -> None:
    planned = subscription(status, ends=left, cancel_at=left if by_date else None, at_period_end=not by_date)
    assert plan_for([planned], [], NOW, TERMS) == (
        Standing("pro", NOW + left) if left > timedelta(0) else Standing("basic")
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (grant(), Standing("pro")),
        (grant(DAY), Standing("pro", NOW + DAY)),
        (grant(-DAY), Standing("basic")),
        (grant(timedelta(0)), Standing("basic")),
        (grant(revoked=True), Standing("basic")),
    ],
)
def test_a_grant_gives_pro_until_it_ends_or_is_revoked(given: Grant, expected: Standing) -> None:
    assert plan_for([], [given], NOW, TERMS) == expected


@pytest.mark.parametrize("status", STATUSES)
def test_a_grant_survives_whatever_becomes_of_the_subscription(status: str) -> None:
    assert plan_for([subscription(status)], [grant()], NOW, TERMS) == Standing("pro")


def test_a_subscription_survives_the_end_of_a_grant() -> None:
    assert plan_for([subscription()], [grant(-DAY)], NOW, TERMS) == Standing("pro")


def test_the_longest_of_several_counts() -> None:
    several = [subscription(cancel_at=DAY), subscription("canceled", name="sub_2")]
    assert plan_for(several, [grant(2 * DAY), grant(timedelta(hours=1))], NOW, TERMS) == Standing("pro", NOW + 2 * DAY)


def test_nothing_at_all_is_basic() -> None:
    assert plan_for([], [], NOW, TERMS) == Standing("basic")


def test_a_second_subscription_that_is_alive_is_surplus() -> None:
    found = [subscription(name="sub_2"), subscription(name="sub_1"), subscription("canceled", name="sub_0")]
    assert surplus(found, TERMS) == ("sub_2",)


def record(*subscriptions: Subscription, grants: tuple[Grant, ...] = ()) -> BillingRecord:
    return BillingRecord(
        user_id=USER,
        customer_id="cus_1",
        synced_at=NOW,
        standing=Standing("basic"),
        subscriptions=subscriptions,
        grants=grants,
    )


def test_a_user_without_anything_is_told_none() -> None:
    told = record().status(NOW, TERMS)
    assert (told.plan, told.status, told.active, told.valid_until) == ("basic", "none", False, None)


def test_a_running_subscription_is_valid_until_its_period_ends() -> None:
    told = record(subscription()).status(NOW, TERMS)
    assert (told.plan, told.status, told.valid_until) == ("pro", "active", NOW + 10 * DAY)
    assert not told.cancel_at_period_end


def test_a_planned_cancellation_is_told() -> None:
    told = record(subscription(cancel_at=5 * DAY)).status(NOW, TERMS)
    assert (told.plan, told.valid_until, told.cancel_at_period_end) == ("pro", NOW + 5 * DAY, True)


def test_a_grant_is_told_as_granted_with_its_end() -> None:
    told = record(subscription("canceled"), grants=(grant(DAY),)).status(NOW, TERMS)
    assert (told.plan, told.status, told.valid_until) == ("pro", "granted", NOW + DAY)


def test_a_subscription_to_something_else_is_not_told() -> None:
    assert record(subscription(price="price_other")).status(NOW, TERMS).status == "none"
