"""A cancellation is carried out elsewhere, so it is in the audit log before the gateway is asked."""

from dataclasses import dataclass, field, replace

import pytest
from tests.contracts.billing_worlds import NOW, PRICE, TERMS, BillingWorld, memory_world
from tests.fakes.clock import StandingClock

from adapters.memory.billing.nothing import NothingForSale
from gemini_core.errors import Conflict, Unavailable
from gemini_core.model.billing.subscriptions import Cancellation, Subscription
from gemini_core.use_cases.billing.subscriptions import ChangeCancellation
from gemini_core.use_cases.billing.syncing import EndBilling, SyncCustomer


@dataclass
class Gateway(NothingForSale):
    """It has one subscription, does as it is told, or is away."""

    running: list[Subscription] = field(default_factory=list)
    away: bool = False

    def subscriptions(self, customer_id: str) -> list[Subscription]:
        return self.running

    def close_checkouts(self, customer_id: str) -> None:
        """There are none."""

    def forget_person(self, customer_id: str) -> None:
        """No address is known."""

    def cancel(self, subscription_id: str, when: Cancellation) -> None:
        if self.away:
            raise Unavailable("No answer.")
        self.running = [each.changed(when) for each in self.running]


@pytest.fixture
def world() -> BillingWorld:
    return memory_world()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway([Subscription(id="sub_1", status="active", prices=(PRICE,), created_at=NOW, period_end=NOW)])


def change(world: BillingWorld, gateway: Gateway) -> ChangeCancellation:
    sync = SyncCustomer(world.subscriptions, gateway, TERMS, StandingClock(NOW))
    return ChangeCancellation(world.records, gateway, sync, world.audit, StandingClock(NOW))


@pytest.mark.parametrize("operator", ["ada", None])
def test_who_asked_for_what_is_on_record(world: BillingWorld, gateway: Gateway, operator: str | None) -> None:
    user, _ = world.customer()
    told = change(world, gateway)(user, Cancellation.NOW, operator=operator)
    assert told.plan == "basic"
    (noted,) = world.audit.page(user=user, limit=10).items
    assert (noted.event, noted.operator) == ("subscription.change_asked", operator)
    assert noted.detail == {"subscription": "sub_1", "when": "now"}


def test_what_was_asked_for_in_vain_is_on_record_too(world: BillingWorld, gateway: Gateway) -> None:
    user, _ = world.customer()
    gateway.away = True
    with pytest.raises(Unavailable):
        change(world, gateway)(user, Cancellation.NOW, operator="ada")
    assert len(world.audit.page(user=user, limit=10).items) == 1


def test_what_cannot_be_noted_is_not_asked_for(world: BillingWorld, gateway: Gateway) -> None:
    user, _ = world.customer()
    world.full_log()
    with pytest.raises(Unavailable):
        change(world, gateway)(user, Cancellation.NOW, operator="ada")
    assert [each.status for each in gateway.running] == ["active"]


@pytest.mark.parametrize("when", Cancellation)
def test_what_is_foreseen_is_what_happens(world: BillingWorld, gateway: Gateway, when: Cancellation) -> None:
    user, _ = world.customer()
    if when is Cancellation.NOT_AT_ALL:
        gateway.running = [replace(gateway.running[0], cancel_at=NOW)]
    foreseen = change(world, gateway).foresee(user, when)
    assert world.audit.page(user=user, limit=10).items == ()
    assert change(world, gateway)(user, when) == foreseen


def test_what_nobody_has_told_of_is_cancelled_too(world: BillingWorld, gateway: Gateway) -> None:
    user, _ = world.customer()
    SyncCustomer(world.subscriptions, gateway, TERMS, StandingClock(NOW))(user)
    gateway.running += [replace(gateway.running[0], id="sub_2")]
    assert change(world, gateway)(user, Cancellation.AT_PERIOD_END).cancel_at_period_end
    assert [each.ends_at is not None for each in gateway.running] == [True, True]


@pytest.mark.parametrize("status", ["active", "incomplete", "past_due", "paused", "of_tomorrow"])
def test_nothing_of_an_account_that_is_gone_goes_on(world: BillingWorld, gateway: Gateway, status: str) -> None:
    user, _ = world.customer()
    gateway.running = [replace(gateway.running[0], status=status)]
    sync = SyncCustomer(world.subscriptions, gateway, TERMS, StandingClock(NOW))
    sync(user)
    EndBilling(world.subscriptions, sync, StandingClock(NOW))(user)
    assert [each.status for each in gateway.running] == ["canceled"]
    record = world.records.record(user)
    assert [each.status for each in record.subscriptions] == ["canceled"]
    assert record.flags == ()


def test_where_nothing_runs_there_is_nothing_to_change(world: BillingWorld, gateway: Gateway) -> None:
    user, _ = world.customer()
    gateway.running = []
    for deed in (change(world, gateway).foresee, change(world, gateway)):
        with pytest.raises(Conflict):
            deed(user, Cancellation.NOW)
