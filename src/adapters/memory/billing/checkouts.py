"""Attempts to buy, in the process."""

from dataclasses import dataclass, replace
from datetime import datetime

from adapters.memory.billing.tables import MemoryBilling
from gemini_core.errors import NotFound
from gemini_core.model.billing.checkouts import AlreadySubscribed, Begun, Checkout, CheckoutId, Customer, Session
from gemini_core.model.billing.records import customer_taken
from gemini_core.model.billing.subscriptions import Terms
from gemini_core.model.ids import UserId
from gemini_core.model.requests import Once


@dataclass(frozen=True, slots=True)
class MemoryCheckouts:
    """`CheckoutRepo` in the process."""

    billing: MemoryBilling

    def begin(self, draft: Checkout, terms: Terms, *, now: datetime, once: Once | None) -> Begun:
        billing, user = self.billing, draft.user_id
        with billing.store.lock:
            card = billing.card(user, now)
            if (first := billing.first(user, once, now)) is not None:
                return Begun(checkout=first, customer=card.customer, replayed=True)
            standing = billing.people.standing_of(user)
            is_pro = standing.plan != "basic" and (standing.until is None or standing.until > now)
            if is_pro or any(each.is_alive(terms) for each in card.subscriptions):
                raise AlreadySubscribed
            found = billing.open_checkout(user)
            if found is not None and found.is_stale(now):
                billing.closed.add(found.id)
                found = None
            checkout = found or draft
            billing.checkouts[checkout.id] = checkout
            return Begun(checkout=checkout, customer=card.customer)

    def opened(self, checkout: Checkout, session: Session, *, now: datetime, once: Once | None) -> Begun:
        billing, user = self.billing, checkout.user_id
        with billing.store.lock:
            card, owner = billing.cards[user], billing.card_of(session.customer_id)
            if card.customer.id not in (None, session.customer_id) or owner not in (None, card):
                raise customer_taken()
            known = replace(card.customer, id=session.customer_id)
            try:
                billing.people.standing_of(user)
            except NotFound:
                card.customer = known
                billing.promise_look(card, now, "")
                raise
            first = billing.first(user, once, now)
            card.customer = known
            stored = billing.checkouts[checkout.id]
            if stored.session_id is None:
                stored = replace(stored, session_id=session.id, url=session.url, expires_at=session.expires_at)
                billing.checkouts[checkout.id] = stored
            if first is None:
                billing.keys.keep(user, once, checkout.id, now)
            return Begun(checkout=first or stored, customer=card.customer, replayed=first is not None)

    def close(self, checkout_id: CheckoutId) -> None:
        with self.billing.store.lock:
            self.billing.closed.add(checkout_id)

    def customer(self, user: UserId) -> Customer:
        with self.billing.store.lock:
            return self.billing.card(user).customer

    def forget_customer(self, customer: Customer) -> None:
        with self.billing.store.lock:
            card = self.billing.cards[customer.user_id]
            if card.customer.generation == customer.generation:
                card.customer = replace(card.customer, id=None, generation=customer.generation + 1)
