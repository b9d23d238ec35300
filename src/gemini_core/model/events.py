"""What others are told: facts that have become true, in ids and plain words."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import NewType
from uuid import UUID

from gemini_core.errors import LimitReached
from gemini_core.model.billing.subscriptions import SubscriptionStatus
from gemini_core.model.chat import Status, Usage
from gemini_core.model.ids import JobId, UserId, uuid7
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.model.replies import Answer

EventId = NewType("EventId", UUID)


class EventKind(StrEnum):
    """What can have happened."""

    MESSAGE_COMPLETED = "message.completed"
    MESSAGE_FAILED = "message.failed"
    SUBSCRIPTION_CHANGED = "subscription.changed"
    LIMIT_REACHED = "limit.reached"
    ACCOUNT_DELETED = "account.deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact about a user; its id stays the same however often it is told.

    `data` is as JSON has it: ids, numbers, stable words. What people said, who they are and how they can be reached
    is not in it: whoever may know that can ask.
    """

    id: EventId
    kind: EventKind
    at: datetime
    user_id: UserId
    data: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def promised(cls, lease: Lease) -> "Event":
        """What a job of `Audience.promises` is to tell."""
        told = lease.args
        return cls(
            id=EventId(UUID(told["id"])),
            kind=EventKind(told["type"]),
            at=datetime.fromisoformat(told["at"]),
            user_id=UserId(UUID(told["user"])),
            data=json.loads(told["data"]),
        )


@dataclass(frozen=True, slots=True)
class Audience:
    """Who listens. Where nobody does, nothing is promised."""

    listeners: tuple[str, ...] = ()

    def promises(self, event: Event | None, request_id: str = "") -> tuple[NewJob, ...]:
        """A job for each listener, so that none waits for another; to be stored with the fact."""
        if event is None:
            return ()
        args = {
            "id": str(event.id),
            "type": event.kind.value,
            "at": event.at.isoformat(),
            "user": str(event.user_id),
            "data": json.dumps(event.data),
        }
        return tuple(
            NewJob(id=JobId(uuid7(event.at)), kind=job_kind(listener), args=args, request_id=request_id)
            for listener in self.listeners
        )


NOBODY = Audience()


def job_kind(listener: str) -> str:
    """The kind of the jobs that tell this listener."""
    return f"event.{listener}"


def reply_ended(user: UserId, lease: Lease, answer: Answer, at: datetime) -> Event | None:
    """A reply is final; None for a cancelled one: whoever stopped it knows."""
    data: dict[str, object] = {"chatroom_id": str(lease.lane), "message_id": str(lease.id), "model": answer.model}
    if answer.status is Status.COMPLETE:
        usage = _tokens(answer.usage) if answer.usage else None
        data |= {"finish_reason": answer.finish_reason, "usage": usage}
        return _event(EventKind.MESSAGE_COMPLETED, user, at, data)
    if answer.error is not None:
        error = {"code": answer.error.code, "retryable": answer.error.retryable}
        return _event(EventKind.MESSAGE_FAILED, user, at, data | {"error": error})
    return None


def limit_reached(user: UserId, refusal: LimitReached, at: datetime) -> Event:
    """A message was refused because the day's limit is used up."""
    data = {"limit": refusal.limit, "resets_at": instant(refusal.resets_at)}
    return _event(EventKind.LIMIT_REACHED, user, at, data)


def subscription_changed(
    user: UserId, before: SubscriptionStatus, after: SubscriptionStatus, at: datetime
) -> Event | None:
    """The user is told something else about their plan; None if it is the same as before.

    What time alone does is not told when it happens: `valid_until` has said it.
    """
    if before == after:
        return None
    until = instant(after.valid_until) if after.valid_until else None
    return _event(EventKind.SUBSCRIPTION_CHANGED, user, at, asdict(after) | {"valid_until": until})


def account_deleted(user: UserId, at: datetime) -> Event:
    """Nothing is held about the user any more."""
    return _event(EventKind.ACCOUNT_DELETED, user, at, {})


def instant(at: datetime) -> str:
    """As in every answer of the product: RFC 3339 in UTC, with milliseconds and a Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event(kind: EventKind, user: UserId, at: datetime, data: Mapping[str, object]) -> Event:
    return Event(id=EventId(uuid7(at)), kind=kind, at=at, user_id=user, data=data)


def _tokens(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
