"""Buying: who a user is to the gateway, and one attempt at a time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType
from uuid import UUID

from gemini_core.errors import Conflict
from gemini_core.model.ids import UserId

CheckoutId = NewType("CheckoutId", UUID)
# Gateways remember an idempotency key for a day; a little less is sure.
ANSWER_LIFE = timedelta(hours=23)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What is sold, and where the gateway's pages lead back to. All from the configuration, nothing from a request."""

    price: str
    success_url: str
    cancel_url: str
    return_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """One attempt to buy. Everything the gateway is asked with is stored, so that asking again is the same question.

    `id` is the idempotency key. `session_id` and `url` are there once the gateway has answered.
    """

    id: CheckoutId
    user_id: UserId
    offer: Offer
    created_at: datetime
    session_id: str | None = None
    url: str | None = None
    expires_at: datetime | None = None

    def is_stale(self, now: datetime) -> bool:
        """Its page has expired, or so much time has passed without an answer that asking again may make a double."""
        if self.session_id is None:
            return self.created_at + ANSWER_LIFE <= now
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who a user is to the gateway. `generation` counts up when the gateway's customer was deleted there.

    `known_since`: when a customer was first asked for; None if never.
    """

    user_id: UserId
    id: str | None = None
    generation: int = 0
    known_since: datetime | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The gateway's page for a checkout."""

    customer_id: str
    id: str
    url: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Awaiting:
    """A checkout that an operator has to approve."""

    session_id: str
    user_id: UserId
    asked_at: datetime


class SessionState(StrEnum):
    """What became of a checkout's page."""

    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A checkout that is under way. `replayed`: the idempotency key was used before, with the same request."""

    checkout: Checkout
    customer: Customer
    replayed: bool = False


class AlreadySubscribed(Conflict):
    """There is something to manage, and nothing to buy. `portal_url`: where, if the gateway has such a page."""

    code = "already-subscribed"

    def __init__(self, *, portal_url: str | None = None) -> None:
        super().__init__("You have a subscription already.")
        self.portal_url = portal_url
