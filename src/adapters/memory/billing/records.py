"""What is stored, to look at, and what may have been missed, in the process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from adapters.memory.billing.tables import MemoryBilling
from gemini_core.model.billing.acts import flags_cleared, linked
from gemini_core.model.billing.events import Concern, EventState
from gemini_core.model.billing.records import BillingFilter, BillingRecord, customer_taken
from gemini_core.model.billing.subscriptions import ALIVE, Subscription
from gemini_core.model.ids import UserId
from gemini_core.model.requests import Page


@dataclass(frozen=True, slots=True)
class MemoryBillingRecords:
    """`BillingRecords` and `Reconciliation` in the process."""

    billing: MemoryBilling

    def record(self, user: UserId) -> BillingRecord:
        with self.billing.store.lock:
            return self.billing.record(user)

    def list_records(self, which: BillingFilter, *, limit: int, after: tuple[str, ...] | None) -> Page[BillingRecord]:
        with self.billing.store.lock:
            users = self.billing.cards.keys() | {grant.user_id for grant in self.billing.grants.values()}
            wanted = [user for user in sorted(users) if not after or user > UUID(after[0])]
            records = [record for user in wanted if _fits(record := self.billing.record(user), which)]
        return Page(tuple(records[:limit]), (str(records[limit - 1].user_id),) if len(records) > limit else None)

    def owner(self, customer_id: str) -> UserId | None:
        with self.billing.store.lock:
            card = self.billing.card_of(customer_id)
            return card.customer.user_id if card else None

    def link(self, user: UserId, customer_id: str, *, operator: str, now: datetime) -> None:
        with self.billing.store.lock:
            owner, card = self.billing.card_of(customer_id), self.billing.card(user, now)
            if card.customer.id == customer_id:
                return
            if owner is not None or card.customer.id is not None:
                raise customer_taken()
            self.billing.audit.note(linked(user, customer_id, operator=operator, now=now))
            card.customer = replace(card.customer, id=customer_id)
            self.billing.close_checkouts(user)

    def clear_flags(self, user: UserId, *, operator: str, now: datetime) -> int:
        with self.billing.store.lock:
            card = self.billing.cards.get(user)
            cleared = len(card.flags) if card else 0
            self.billing.audit.note(flags_cleared(user, cleared, operator=operator, now=now))
            if card:
                card.flags.clear()
            return cleared

    def overdue(self, *, looked_before: datetime, now: datetime, limit: int) -> Sequence[UserId]:
        with self.billing.store.lock:
            waiting = {each.customer_id for each in self.billing.events.values() if each.state is EventState.RECEIVED}
            due = [
                card
                for card in self.billing.cards.values()
                if card.customer.id
                and (
                    card.synced_at is None
                    or (card.buried_at is None and card.synced_at < looked_before)
                    or card.customer.id in waiting
                    or any(_period_over(each, card.synced_at, now) for each in card.subscriptions)
                )
            ]
        due.sort(key=lambda card: (card.synced_at is not None, card.synced_at or now))
        return [card.customer.user_id for card in due[:limit]]

    def cursor(self) -> datetime | None:
        with self.billing.store.lock:
            return self.billing.read_up_to

    def move_cursor(self, moment: datetime) -> None:
        with self.billing.store.lock:
            self.billing.read_up_to = max(moment, self.billing.read_up_to or moment)


def _period_over(subscription: Subscription, synced_at: datetime, now: datetime) -> bool:
    end = subscription.period_end
    return subscription.status in ALIVE and end is not None and synced_at < end < now


def _fits(record: BillingRecord, which: BillingFilter) -> bool:
    before = which.stale_before
    stale = record.customer_id is not None and (record.synced_at is None or (before and record.synced_at < before))
    return bool(
        (which.status is None or any(each.status == which.status for each in record.subscriptions))
        and (before is None or stale)
        and (not which.duplicates or any(flag.concern is Concern.DUPLICATE for flag in record.flags))
        and (not which.flagged or bool(record.flags))
    )
