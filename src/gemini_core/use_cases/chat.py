"""Rooms, and what people say in them."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from gemini_core.errors import FieldError, Forbidden, Invalid
from gemini_core.model.billing import Plan, Plans
from gemini_core.model.chat import Chatroom, DayUsage, Message, RoomChange, Sent, TokenTotals, day_ends
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId, uuid7
from gemini_core.model.requests import Once, Page
from gemini_core.ports.chat import MessageRepo, ReplyFeed, RoomListCache, RoomRepo, UsageRepo
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue

MAX_TITLE = 200
MAX_SYSTEM_INSTRUCTION = 8_000
MAX_MODEL = 100
MAX_CONTENT = 32_000
# No message has a greater id.
NEWEST = MessageId(UUID(int=(1 << 128) - 1))


@dataclass(frozen=True, slots=True)
class CreateRoom:
    """A user opens a chatroom, within what the plan allows; once per idempotency key."""

    rooms: RoomRepo
    usage: UsageRepo
    cache: RoomListCache
    plans: Plans
    default_model: str
    clock: Clock

    def __call__(
        self,
        owner: UserId,
        *,
        title: str = "",
        system_instruction: str = "",
        model: str | None = None,
        key: str | None = None,
    ) -> tuple[Chatroom, bool]:
        """The room, and whether this was a replay. Raises `Invalid`, `Forbidden`, `Conflict`, `Unavailable`."""
        now = self.clock.now()
        once = Once.of(key, "create_room", title=title, system_instruction=system_instruction, model=model)
        title = _checked("title", title, MAX_TITLE)
        system_instruction = _checked("system_instruction", system_instruction, MAX_SYSTEM_INSTRUCTION)
        if model is not None:
            model = _model_of_plan(model, self.plans.named(self.usage.of_day(owner, now.date(), now=now).plan), self.plans)
        room = Chatroom(
            id=ChatroomId(uuid7(now)),
            user_id=owner,
            title=title,
            system_instruction=system_instruction,
            model=model or self.default_model,
            created_at=now,
            updated_at=now,
        )
        limits = {plan.name: plan.max_rooms for plan in self.plans.values()}
        stored, replayed = self.rooms.create(room, max_rooms=limits, once=once)
        self.cache.changed(owner)
        return stored, replayed


@dataclass(frozen=True, slots=True)
class ListRooms:
    """A user's rooms, latest activity first; what the user changed is in the very next list."""

    rooms: RoomRepo
    cache: RoomListCache

    def __call__(
        self, owner: UserId, *, limit: int = 20, after: tuple[str, ...] | None = None, archived: bool | None = None
    ) -> Page[Chatroom]:
        """A page. Raises `Unavailable`."""
        key = f"{limit}:{archived}:{after}"
        return self.cache.fetch(
            owner, key, lambda: self.rooms.page(owner, archived=archived, limit=limit, after=after)
        )


@dataclass(frozen=True, slots=True)
class ShowRoom:
    """A room with its latest messages, oldest first."""

    rooms: RoomRepo
    messages: MessageRepo

    def __call__(self, owner: UserId, room: ChatroomId, *, latest: int = 20) -> tuple[Chatroom, tuple[Message, ...]]:
        """Raises `NotFound`, `Unavailable`."""
        found = self.rooms.show(owner, room)
        return found, self.messages.page(owner, room, limit=latest, before=NEWEST).items


@dataclass(frozen=True, slots=True)
class ChangeRoom:
    """The owner renames, instructs, pins or archives a room, or chooses a model that the plan has."""

    rooms: RoomRepo
    usage: UsageRepo
    cache: RoomListCache
    plans: Plans
    clock: Clock

    def __call__(self, owner: UserId, room: ChatroomId, change: RoomChange) -> Chatroom:
        """The room as it is now. Raises `Invalid`, `Forbidden`, `NotFound`, `Unavailable`."""
        now = self.clock.now()
        named: dict[str, Any] = {"pinned": change.pinned, "archived": change.archived}
        if change.title is not None:
            named["title"] = _checked("title", change.title, MAX_TITLE)
        if change.system_instruction is not None:
            named["system_instruction"] = _checked(
                "system_instruction", change.system_instruction, MAX_SYSTEM_INSTRUCTION
            )
        if change.model is not None:
            plan = self.plans.named(self.usage.of_day(owner, now.date(), now=now).plan)
            named["model"] = _model_of_plan(change.model, plan, self.plans)
        changed = self.rooms.change(owner, room, RoomChange(**named), now=now)
        self.cache.changed(owner)
        return changed


@dataclass(frozen=True, slots=True)
class DeleteRoom:
    """A room goes with everything in it; a reply under way for it is stopped."""

    rooms: RoomRepo
    cache: RoomListCache

    def __call__(self, owner: UserId, room: ChatroomId) -> None:
        """Raises `NotFound`, `Unavailable`."""
        self.rooms.delete(owner, room)
        self.cache.changed(owner)


@dataclass(frozen=True, slots=True)
class SendMessage:
    """A message is accepted with everything it promises (its place, its unit of the day, its reply) or not at all."""

    messages: MessageRepo
    queue: JobQueue
    cache: RoomListCache
    plans: Plans
    clock: Clock

    def __call__(
        self, author: UserId, room: ChatroomId, content: str, *, key: str | None = None, request_id: str = ""
    ) -> Sent:
        """Raises `Invalid`, `NotFound`, `LimitReached`, `Unavailable`."""
        once = Once.of(key, "send_message", room=room, content=content)
        content = _said(content)
        limits = {plan.name: plan.daily_messages for plan in self.plans.values()}
        sent = self.messages.send(
            author, room, content, limits=limits, now=self.clock.now(), once=once, request_id=request_id
        )
        # A replay too: whoever was first may have died before it came this far.
        self.cache.changed(author)
        self.queue.nudge(JobId(sent.reply.id))
        return sent


@dataclass(frozen=True, slots=True)
class ListMessages:
    """The current conversation of a room, oldest first."""

    messages: MessageRepo

    def __call__(
        self,
        reader: UserId,
        room: ChatroomId,
        *,
        limit: int = 20,
        after: MessageId | None = None,
        before: MessageId | None = None,
    ) -> Page[Message]:
        """Raises `NotFound`, `Unavailable`."""
        return self.messages.page(reader, room, limit=limit, after=after, before=before)


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """One message; whoever likes waits until it is final."""

    messages: MessageRepo
    feed: ReplyFeed

    def __call__(self, reader: UserId, room: ChatroomId, message: MessageId, *, wait: float = 0) -> Message:
        """The message as it is now, or as it is after at most `wait` seconds. Raises `NotFound`, `Unavailable`."""
        found = self.messages.show(reader, room, message)
        if found.status.final or wait <= 0:
            return found
        until = time.monotonic() + wait
        for news in self.feed.follow(message, patience=min(wait, 1.0)):
            if not news or news[-1].end:
                found = self.messages.show(reader, room, message)
            if found.status.final or time.monotonic() >= until:
                break
        return found


@dataclass(frozen=True, slots=True)
class CancelReply:
    """The author stops a reply; what was generated so far is kept, and if nothing was, the unit is given back."""

    messages: MessageRepo
    feed: ReplyFeed
    queue: JobQueue
    clock: Clock

    def __call__(self, author: UserId, room: ChatroomId, reply: MessageId) -> Message:
        """Raises `NotFound`, `Conflict` (`already-final`), `Unavailable`."""
        message, waiting = self.messages.cancel(author, room, reply, now=self.clock.now())
        if message.status.final:
            self.feed.end(reply)
            self.queue.nudge(*waiting)
        return message


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """Where a user stands today."""

    plan: Plan
    day: DayUsage
    resets_at: datetime
    tokens: TokenTotals


@dataclass(frozen=True, slots=True)
class ShowUsage:
    """The plan, the day's units and the tokens of today and of this month."""

    usage: UsageRepo
    plans: Plans
    clock: Clock

    def __call__(self, user: UserId) -> UsageReport:
        """Raises `NotFound`, `Unavailable`."""
        now = self.clock.now()
        day = self.usage.of_day(user, now.date(), now=now)
        tokens = self.usage.tokens(user, today=now.date(), since=now.date().replace(day=1))
        return UsageReport(plan=self.plans.named(day.plan), day=day, resets_at=day_ends(now), tokens=tokens)


def _checked(field: str, value: str, longest: int) -> str:
    value = value.strip()
    if len(value) > longest:
        raise Invalid.field(field, f"must be at most {longest:,} characters", "too_long")
    return value


def _said(content: str) -> str:
    content = content.strip()
    if not content:
        raise Invalid.field("content", "must not be empty", "too_short")
    return _checked("content", content, MAX_CONTENT)


def _model_of_plan(model: str, plan: Plan, plans: Plans) -> str:
    if not 1 <= len(model) <= MAX_MODEL or not all(c.isascii() and (c.isalnum() or c in "._-/") for c in model):
        raise Invalid.field("model", "must be the name of a model", "invalid")
    if plan.allows_model(model):
        return model
    if (has_it := plans.with_model(model)) is None:
        raise Invalid("model: no plan has this model", FieldError("model", "no plan has this model", "unknown"))
    raise Forbidden(f"The model {model} needs the plan {has_it.name}.", code="model-not-in-plan")
