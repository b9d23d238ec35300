"""Nobody is sold a second subscription while the first is paid, about to be, or not seen yet."""

from dataclasses import dataclass, field, replace

import pytest
from tests.contracts.billing_worlds import NOW, OFFER, PRICE, TERMS, BillingWorld, memory_world
from tests.fakes.clock import StandingClock

from adapters.memory.billing.nothing import NothingForSale
from gemini_core.errors import NotFound, Unavailable
from gemini_core.model.billing.checkouts import AlreadySubscribed, Checkout, Customer, Offer, Session, SessionState
from gemini_core.model.billing.subscriptions import Subscription
from gemini_core.use_cases.billing.buying import SubscribePro
from gemini_core.use_cases.billing.syncing import SyncCustomer


@dataclass
class Gateway(NothingForSale):
    """Whose list of subscriptions lags behind: it is empty."""

    world: BillingWorld
    linked_meanwhile: bool = False
    gone_meanwhile: bool = False
    states: dict[str, SessionState] = field(default_factory=dict)
    sold: Subscription | None = None
    forgotten: str = ""

    def open_checkout(self, checkout: Checkout, customer: Customer) -> Session:
        made = Session(
            customer_id=customer.id or "cus_1", id=f"cs_{checkout.id}", url=f"https://pay.example/{checkout.id}"
        )
        self.states.setdefault(made.id, SessionState.OPEN)
        if self.linked_meanwhile:
            self.linked_meanwhile = False
            self.world.records.link(checkout.user_id, "cus_other", operator="op", now=NOW)
        if self.gone_meanwhile:
            self.world.close(checkout.user_id)
            self.world.subscriptions.bury(checkout.user_id, now=NOW)
        return made

    def session_state(self, session_id: str) -> SessionState:
        return self.states[session_id]

    def bought(self, session_id: str) -> Subscription | None:
        return self.sold

    def close_checkouts(self, customer_id: str) -> None:
        open_ones = [each for each, state in self.states.items() if state is SessionState.OPEN]
        self.states |= dict.fromkeys(open_ones, SessionState.EXPIRED)

    def forget_person(self, customer_id: str) -> None:
        self.forgotten = customer_id

    def subscriptions(self, customer_id: str) -> list[Subscription]:
        return []

    def portal(self, customer_id: str, return_url: str) -> str:
        return f"https://portal.example/{customer_id}"


@pytest.fixture
def gateway() -> Gateway:
    return Gateway(memory_world())


def shop(gateway: Gateway, offer: Offer = OFFER) -> SubscribePro:
    world = gateway.world
    sync = SyncCustomer(world.subscriptions, gateway, TERMS, StandingClock(NOW))
    return SubscribePro(world.checkouts, gateway, sync, offer, StandingClock(NOW))


def sold(status: str) -> Subscription:
    return Subscription(id="sub_1", status=status, prices=(PRICE,), created_at=NOW)


def complete(gateway: Gateway) -> None:
    gateway.states = dict.fromkeys(gateway.states, SessionState.COMPLETE)


@pytest.mark.parametrize("status", ["active", "incomplete", "past_due", "unpaid"])
def test_what_was_bought_and_is_not_listed_yet_is_not_sold_again(gateway: Gateway, status: str) -> None:
    user, buy = gateway.world.user(), shop(gateway)
    buy(user)
    complete(gateway)
    gateway.sold = sold(status)
    with pytest.raises(AlreadySubscribed):
        buy(user)
    with pytest.raises(AlreadySubscribed) as refused:
        buy(user)
    assert refused.value.portal_url == "https://portal.example/cus_1"
    assert len(gateway.states) == 1


def test_a_paid_page_of_which_nothing_is_known_yet_sells_nothing_more(gateway: Gateway) -> None:
    user, buy = gateway.world.user(), shop(gateway)
    buy(user)
    complete(gateway)
    with pytest.raises(Unavailable) as refused:
        buy(user)
    assert refused.value.code == "payments-unavailable"


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
def test_what_has_ended_is_sold_again(gateway: Gateway, status: str) -> None:
    user, buy = gateway.world.user(), shop(gateway)
    first = buy(user)
    complete(gateway)
    gateway.sold = sold(status)
    assert buy(user).checkout.id != first.checkout.id


def test_a_page_that_sells_something_else_than_is_sold_now_is_closed(gateway: Gateway) -> None:
    user = gateway.world.user()
    old = shop(gateway)(user).checkout
    dearer = replace(OFFER, price="price_dearer")
    new = shop(gateway, dearer)(user).checkout
    assert new.offer == dearer
    assert old.session_id
    assert gateway.states[old.session_id] is SessionState.EXPIRED
    assert shop(gateway, dearer)(user).checkout == new


def test_a_page_that_was_paid_before_the_offer_changed_is_no_reason_to_sell_another(gateway: Gateway) -> None:
    user = gateway.world.user()
    shop(gateway)(user)
    complete(gateway)
    gateway.sold = sold("active")
    with pytest.raises(AlreadySubscribed):
        shop(gateway, replace(OFFER, price="price_dearer"))(user)


def test_the_page_of_another_customer_than_the_user_was_linked_to_meanwhile_is_closed(gateway: Gateway) -> None:
    user, buy = gateway.world.user(), shop(gateway)
    gateway.linked_meanwhile = True
    with pytest.raises(Unavailable):
        buy(user)
    assert list(gateway.states.values()) == [SessionState.EXPIRED]
    assert buy(user).customer.id == "cus_other"


def test_the_page_for_an_account_that_went_meanwhile_is_closed_before_anybody_is_answered(gateway: Gateway) -> None:
    user, buy = gateway.world.user(), shop(gateway)
    gateway.gone_meanwhile = True
    with pytest.raises(NotFound):
        buy(user)
    assert (list(gateway.states.values()), gateway.forgotten) == ([SessionState.EXPIRED], "cus_1")
