"""What operators are told before they act is what comes of the act, also where the account is gone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from tests.contracts.billing_worlds import NOW, PRICE, TERMS, BillingWorld, memory_world
from tests.fakes.clock import StandingClock

from adapters.memory.billing.nothing import NothingForSale
from gemini_core.errors import Conflict, Invalid, NotFound
from gemini_core.model.billing.checkouts import Awaiting
from gemini_core.model.billing.subscriptions import Cancellation, Subscription
from gemini_core.model.ids import UserId
from gemini_core.use_cases.billing.operating import ApproveCheckout, GrantPro, LinkCustomer, RevokeGrants
from gemini_core.use_cases.billing.subscriptions import ChangeCancellation
from gemini_core.use_cases.billing.syncing import SyncCustomer

MONTH = timedelta(days=30)


@dataclass
class Till(NothingForSale):
    """An operator takes the money of one customer, session by session."""

    user: UserId
    price: str = PRICE
    sold: dict[str, Subscription] = field(default_factory=dict)

    def subscriptions(self, customer_id: str) -> list[Subscription]:
        return list(self.sold.values())

    def close_checkouts(self, customer_id: str) -> None:
        """There are none."""

    def forget_person(self, customer_id: str) -> None:
        """No address is known."""

    def cancel(self, subscription_id: str, when: Cancellation) -> None:
        self.sold[subscription_id] = self.sold[subscription_id].changed(when)

    def waiting(self) -> list[Awaiting]:
        return []

    def preview(self, session_id: str) -> tuple[UserId, Subscription]:
        return self.user, Subscription(
            id=session_id, status="active", prices=(self.price,), created_at=NOW, period_end=NOW + MONTH
        )

    def approve(self, session_id: str, *, operator: str) -> UserId:
        user, self.sold[session_id] = self.preview(session_id)
        return user


@dataclass
class Office:
    """An operator, a customer, and what may be done."""

    world: BillingWorld = field(default_factory=memory_world)

    def __post_init__(self) -> None:
        self.user, self.customer = self.world.customer()
        self.till = Till(self.user)
        self.sync = SyncCustomer(self.world.subscriptions, self.till, TERMS, StandingClock(NOW))
        self.approve = ApproveCheckout(self.till, self.world.records, self.sync)

    def close_account(self) -> None:
        self.world.subscriptions.bury(self.user, now=NOW)
        self.world.close(self.user)


@pytest.fixture
def office() -> Office:
    return Office()


def grant(office: Office) -> tuple[Callable[[], object], Callable[[], object]]:
    verb = GrantPro(office.world.subscriptions, office.world.records, TERMS, StandingClock(NOW))
    user = office.user
    return (
        lambda: verb.foresee(user, until=None, reason="friend", operator="ada"),
        lambda: verb(user, until=None, reason="friend", operator="ada"),
    )


def revoke(office: Office) -> tuple[Callable[[], object], Callable[[], object]]:
    verb = RevokeGrants(office.world.subscriptions, office.world.records, TERMS, StandingClock(NOW))
    return lambda: verb.foresee(office.user), lambda: verb(office.user, operator="ada")


def link(office: Office) -> tuple[Callable[[], object], Callable[[], object]]:
    verb = LinkCustomer(office.world.records, office.till, office.sync, StandingClock(NOW))
    user, customer = office.user, office.customer
    return lambda: verb.foresee(user, customer), lambda: verb(user, customer, operator="ada")


def test_a_grant_wants_a_reason_when_it_is_foreseen_too(office: Office) -> None:
    verb = GrantPro(office.world.subscriptions, office.world.records, TERMS, StandingClock(NOW))
    for deed in (verb.foresee, verb):
        with pytest.raises(Invalid, match="blank"):
            deed(office.user, until=None, reason=" ", operator="ada")


@pytest.mark.parametrize("act", [grant, revoke, link])
def test_nothing_is_done_for_an_account_that_is_gone_nor_foreseen(
    office: Office, act: Callable[[Office], tuple[Callable[[], object], Callable[[], object]]]
) -> None:
    office.close_account()
    for deed in act(office):
        with pytest.raises(NotFound):
            deed()


def test_a_look_at_an_account_that_is_gone_is_foreseen_to_end_what_runs(office: Office) -> None:
    office.till.approve("cs_1", operator="ada")
    office.sync(office.user)
    office.close_account()
    foreseen = office.sync.foresee(office.world.records.record(office.user))
    assert [each.status for each in office.till.sold.values()] == ["active"]
    office.sync(office.user)
    assert [each.status for each in foreseen.subscriptions] == ["canceled"]
    assert foreseen.subscriptions == office.world.records.record(office.user).subscriptions


def test_what_a_look_will_end_is_nothing_to_cancel(office: Office) -> None:
    office.till.approve("cs_1", operator="ada")
    office.close_account()
    change = ChangeCancellation(office.world.records, office.till, office.sync, office.world.audit, StandingClock(NOW))
    for deed in (change.foresee, change):
        with pytest.raises(Conflict):
            deed(office.user, Cancellation.NOW)


@pytest.mark.parametrize(
    ("price", "gone", "becomes"),
    [
        (PRICE, False, ("pro", "active", NOW + MONTH)),
        ("another", False, ("basic", "none", None)),
        (PRICE, True, ("basic", "canceled", None)),
    ],
)
def test_an_approval_becomes_what_was_foreseen(
    office: Office, price: str, gone: bool, becomes: tuple[str, str, datetime | None]
) -> None:
    office.till.price = price
    if gone:
        office.close_account()
    user, foreseen = office.approve.foresee("cs_1")
    assert (foreseen.plan, foreseen.status, foreseen.valid_until) == becomes
    assert office.till.sold == {}
    assert office.approve("cs_1", operator="ada") == user
    assert office.world.records.record(user).status(NOW, TERMS) == foreseen
