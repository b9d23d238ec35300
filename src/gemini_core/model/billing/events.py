"""Hearing from the gateway: an event is only a hint to look there."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from gemini_core.model.ids import JobId, UserId, uuid7
from gemini_core.model.jobs import NewJob

SYNC_JOB = "billing_sync"
EVENT_JOB = "billing_event"
RECONCILE_JOB = "billing_reconcile"
RECONCILE_ALL_JOB = "billing_reconcile_all"
# However many events come for a customer, they are looked at once in this time.
LOOK_EVERY = timedelta(seconds=1)
# A promised look that has not begun by then is taken for lost.
PROMISE_LIFE = timedelta(minutes=5)


def look_job(
    user: UserId,
    *,
    requested_at: datetime | None,
    began_at: datetime | None,
    now: datetime,
    request_id: str = "",
) -> NewJob | None:
    """The promise to look at a customer; None if a look that has not begun yet is promised already."""
    if requested_at is not None and now - requested_at < PROMISE_LIFE:
        return None
    pause = began_at + LOOK_EVERY - now if began_at else timedelta(0)
    after = min(max(pause, timedelta(0)), LOOK_EVERY)
    return NewJob(id=JobId(uuid7(now)), kind=SYNC_JOB, args={"user": str(user)}, after=after, request_id=request_id)


def event_job(event_id: str, now: datetime, request_id: str = "") -> NewJob:
    """The promise to find out whom an event is about."""
    return NewJob(id=JobId(uuid7(now)), kind=EVENT_JOB, args={"event": event_id}, request_id=request_id)


class Concern(StrEnum):
    """Why an operator should look at a customer."""

    REFUND = "refund"
    DISPUTE = "dispute"
    DUPLICATE = "duplicate"
    LATE_PAYMENT = "late_payment"


@dataclass(frozen=True, slots=True)
class Subject:
    """Something at the gateway: `kind` is the gateway's word (`charge`)."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """The gateway says "look there". Nothing else of what it sent is kept, let alone believed.

    `matters` is false for events of another mode and of kinds that tell nothing about subscriptions. Where
    `customer_id` is None, the `subject` leads to the customer.
    """

    event_id: str
    kind: str
    happened_at: datetime
    matters: bool
    customer_id: str | None = None
    subject: Subject | None = None
    concern: Concern | None = None


class EventState(StrEnum):
    """`received` until its effect is stored; `ignored` if it has none."""

    RECEIVED = "received"
    DONE = "done"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """An event as an operator sees it."""

    id: str
    kind: str
    state: EventState
    customer_id: str | None
    subject: Subject | None
    concern: Concern | None
    happened_at: datetime
    received_at: datetime
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Received:
    """What was made of a hint: `job` is worth a nudge, if there is one."""

    state: EventState
    job: JobId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """A look at a customer that is about to be taken. `number` is higher than any that began before.

    `buried`: the account is gone, and nothing may go on for it at the gateway.
    """

    user_id: UserId
    customer_id: str
    number: int
    buried: bool
