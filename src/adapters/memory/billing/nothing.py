"""A gateway where nobody takes money."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from gemini_core.errors import Unavailable
from gemini_core.model.billing.checkouts import Checkout, Customer, Session, SessionState
from gemini_core.model.billing.events import Hint, Subject
from gemini_core.model.billing.subscriptions import Cancellation, Subscription


class NothingForSale:
    """`PaymentGateway` and `GatewayEvents` where nobody takes money."""

    def as_one_call(self) -> AbstractContextManager[None]:
        return nullcontext()

    def open_checkout(self, checkout: Checkout, customer: Customer) -> Session:
        raise _nothing_for_sale()

    def session_state(self, session_id: str) -> SessionState:
        raise _nothing_for_sale()

    def bought(self, session_id: str) -> Subscription | None:
        raise _nothing_for_sale()

    def close_checkouts(self, customer_id: str) -> None:
        raise _nothing_for_sale()

    def forget_person(self, customer_id: str) -> None:
        raise _nothing_for_sale()

    def subscriptions(self, customer_id: str) -> Sequence[Subscription]:
        raise _nothing_for_sale()

    def cancel(self, subscription_id: str, when: Cancellation) -> None:
        raise _nothing_for_sale()

    def portal(self, customer_id: str, return_url: str) -> str:
        raise _nothing_for_sale()

    def verify(self, body: bytes, signature: str | None, now: datetime) -> Hint:
        raise Unavailable("No webhook secret is configured.", retry_after=300, code="webhooks-not-configured")

    def since(self, moment: datetime) -> Iterator[Hint]:
        return iter(())

    def customer_of(self, subject: Subject) -> str | None:
        return None


def _nothing_for_sale() -> Unavailable:
    return Unavailable("Nothing is sold here.", retry_after=300, code="payments-misconfigured")
