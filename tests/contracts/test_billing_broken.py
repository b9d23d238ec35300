"""The billing exams catch what they are there for: each of these variants is wrong in one known way, and fails."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from tests.contracts import test_billing as exam
from tests.contracts.billing_worlds import NOW, PRICE, TERMS, BillingWorld, memory_world
from tests.fakes.clock import StandingClock

from adapters.local.stripe_sandbox.deliveries import signature
from adapters.memory.billing.events import MemoryBillingEvents
from adapters.memory.billing.subscriptions import MemorySubscriptions
from adapters.stripe.webhooks import Webhooks, hint_of
from gemini_core.errors import Refused
from gemini_core.model.billing.acts import granted
from gemini_core.model.billing.checkouts import Checkout, Customer, Session, SessionState
from gemini_core.model.billing.events import EventState, Hint, Received, Subject, Sync
from gemini_core.model.billing.records import BillingFilter
from gemini_core.model.billing.subscriptions import Cancellation, Grant, Standing, Subscription, Terms, plan_for
from gemini_core.model.ids import JobId
from gemini_core.use_cases.billing.events import ReceiveWebhook
from gemini_core.use_cases.billing.syncing import SyncCustomer

CAUGHT = (AssertionError, pytest.fail.Exception)
SECRET = "whsec_x"


@pytest.fixture
def world() -> BillingWorld:
    return memory_world()


# --- no sequence guard ------------------------------------------------------------------------------------------------


class LastWriterWins(MemorySubscriptions):
    def apply(
        self, sync: Sync, subscriptions: Sequence[Subscription], terms: Terms, *, now: datetime, **about: Any
    ) -> Standing | None:
        self.billing.cards[sync.user_id].applied = 0
        return super().apply(sync, subscriptions, terms, now=now, **about)


def test_a_store_without_the_sequence_guard_is_caught(world: BillingWorld) -> None:
    assert isinstance(world.subscriptions, MemorySubscriptions)
    broken = replace(world, subscriptions=LastWriterWins(world.subscriptions.billing))
    with pytest.raises(CAUGHT):
        exam.test_a_look_that_began_earlier_never_wins(broken)


# --- noted afterwards -------------------------------------------------------------------------------------------------


class NotedAfterwards(MemorySubscriptions):
    def grant(self, grant: Grant, terms: Terms, *, now: datetime, **about: Any) -> Standing:
        with self.billing.store.lock:
            self.billing.grants[grant.id] = grant
            standing = self.billing.settle(grant.user_id, terms, now)
        self.billing.audit.note(granted(grant))
        return standing


def test_a_store_that_notes_an_act_afterwards_is_caught(world: BillingWorld) -> None:
    assert isinstance(world.subscriptions, MemorySubscriptions)
    broken = replace(world, subscriptions=NotedAfterwards(world.subscriptions.billing))
    with pytest.raises(CAUGHT):
        exam.test_an_act_that_cannot_be_noted_is_not_done(broken, "subscription.granted")


# --- done before its effect -------------------------------------------------------------------------------------------


class DoneOnArrival(MemoryBillingEvents):
    def receive(self, hint: Hint, *, now: datetime, promise: bool = True, request_id: str = "") -> Received:
        received = super().receive(hint, now=now, promise=promise, request_id=request_id)
        event = self.billing.events[hint.event_id]
        self.billing.events[hint.event_id] = replace(event, state=EventState.DONE)
        return received


@pytest.mark.parametrize(
    "caught_by",
    [
        exam.test_an_event_whose_look_failed_is_promised_anew,
        exam.test_an_event_is_done_when_a_look_that_began_after_it_is_written,
    ],
)
def test_a_store_that_marks_events_done_before_their_effect_is_caught(
    world: BillingWorld, caught_by: Callable[[BillingWorld], None]
) -> None:
    assert isinstance(world.events, MemoryBillingEvents)
    broken = replace(world, events=DoneOnArrival(world.events.billing))
    with pytest.raises(CAUGHT):
        caught_by(broken)


# --- the payload believed ---------------------------------------------------------------------------------------------


class OneCustomer:
    """A gateway that knows the truth, and the verifier of what is said in its name."""

    def __init__(self) -> None:
        self.truth = Subscription(id="sub_1", status="active", prices=(PRICE,), created_at=NOW)
        self._webhooks = Webhooks((SECRET,), live=False)

    def subscriptions(self, customer_id: str) -> Sequence[Subscription]:
        return [self.truth]

    def verify(self, body: bytes, signature: str | None, now: datetime) -> Hint:
        return self._webhooks.verify(body, signature, now)

    def since(self, moment: datetime) -> Iterator[Hint]:
        return iter(())

    def customer_of(self, subject: Subject) -> str | None:
        return None

    def as_one_call(self) -> AbstractContextManager[None]:
        return nullcontext()

    def open_checkout(self, checkout: Checkout, customer: Customer) -> Session:
        raise AssertionError("this exam only listens to webhooks")

    def session_state(self, session_id: str) -> SessionState:
        raise AssertionError("this exam only listens to webhooks")

    def bought(self, session_id: str) -> Subscription | None:
        raise AssertionError("this exam only listens to webhooks")

    def close_checkouts(self, customer_id: str) -> None:
        raise AssertionError("this exam only listens to webhooks")

    def forget_person(self, customer_id: str) -> None:
        raise AssertionError("this exam only listens to webhooks")

    def cancel(self, subscription_id: str, when: Cancellation) -> None:
        raise AssertionError("this exam only listens to webhooks")

    def portal(self, customer_id: str, return_url: str) -> str:
        raise AssertionError("this exam only listens to webhooks")


class Nobody:
    def nudge(self, *jobs: JobId) -> None:
        """The exam does the jobs itself."""


Receive = Callable[[bytes, str], object]


def only_the_gateway_is_believed(world: BillingWorld, gateway: OneCustomer, receive: Receive) -> None:
    """What is said in a payload and what is true differ, both ways."""
    user, customer = world.customer()
    sync = SyncCustomer(world.subscriptions, gateway, TERMS, StandingClock(NOW))
    sync(user)
    for said, true, plan in (("canceled", "active", "pro"), ("active", "canceled", "basic")):
        gateway.truth = replace(gateway.truth, status=true)
        about = {"object": "subscription", "id": "sub_1", "customer": customer, "status": said}
        told = {"id": f"evt_{said}", "type": "customer.subscription.updated", "data": {"object": about}}
        body = json.dumps(told).encode()
        receive(body, signature(body, SECRET, int(NOW.timestamp())))
        if world.jobs.list_jobs(state=None, kind=None, limit=1, after=None).items:
            sync(user)
        assert world.plan(user).plan == plan


def test_webhooks_pass_the_exam_of_truth(world: BillingWorld) -> None:
    gateway = OneCustomer()
    only_the_gateway_is_believed(world, gateway, ReceiveWebhook(gateway, world.events, Nobody(), StandingClock(NOW)))


def test_a_webhook_that_believes_its_payload_is_caught(world: BillingWorld) -> None:
    gateway = OneCustomer()

    def believing(body: bytes, signature: str) -> None:
        hint = gateway.verify(body, signature, NOW)
        status = json.loads(body)["data"]["object"]["status"]
        record = next(iter(world.records.list_records(BillingFilter(), limit=1, after=None).items))
        said = replace(gateway.truth, status=status)
        exam.sync(world, record.user_id, said)
        world.events.receive(replace(hint, matters=False), now=NOW)

    with pytest.raises(CAUGHT):
        only_the_gateway_is_believed(world, gateway, believing)


# --- one exception caught ---------------------------------------------------------------------------------------------


class TheTutorials:
    """As in most tutorials."""

    def verify(self, body: bytes, signature: str | None, now: datetime) -> Hint:
        try:
            event = stripe.Webhook.construct_event(body, signature, SECRET, api_key="sk_test_x")
        except stripe.SignatureVerificationError:
            raise Refused("no") from None
        return hint_of(event.to_dict(), live=False, now=now)


NOW_HEADER = f"t={int(datetime.now(UTC).timestamp())},v1=\xe4"


@pytest.mark.parametrize(("body", "header"), [(b"\xff", "t=1,v1=0"), (b"{}", NOW_HEADER)], ids=["body", "header"])
def test_catching_only_the_packages_error_is_caught(body: bytes, header: str) -> None:
    def refused(verifier: "TheTutorials | Webhooks") -> None:
        with pytest.raises(Refused):
            verifier.verify(body, header, datetime.now(UTC))

    refused(Webhooks((SECRET,), live=False))
    with pytest.raises((ValueError, TypeError)):
        refused(TheTutorials())


# --- no price filter --------------------------------------------------------------------------------------------------


class Every(frozenset[str]):
    """A set that shares something with every other."""

    def isdisjoint(self, other: object) -> bool:
        return False


def only_our_price_counts(terms: Terms) -> None:
    other = Subscription(id="sub_1", status="active", prices=("price_other",), created_at=NOW)
    assert plan_for([other], [], NOW, terms) == Standing("basic")


def test_terms_that_ask_for_no_price_are_caught() -> None:
    only_our_price_counts(TERMS)
    with pytest.raises(CAUGHT):
        only_our_price_counts(Terms(prices=Every()))
