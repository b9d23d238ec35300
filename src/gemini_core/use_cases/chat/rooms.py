"""Rooms: opened, listed, changed, deleted."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gemini_core.errors import FieldError, Forbidden, Invalid
from gemini_core.model.billing.plans import Plan, Plans
from gemini_core.model.chat import Chatroom, Message, RoomChange
from gemini_core.model.ids import ChatroomId, MessageId, UserId, uuid7
from gemini_core.model.requests import Once, Page, page_of
from gemini_core.ports.chat import MessageRepo, RoomListCache, RoomRepo, UsageRepo
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue
from gemini_core.use_cases.chat.attachments import drop_files_job
from gemini_core.use_cases.chat.rules import checked

MAX_TITLE = 200
MAX_SYSTEM_INSTRUCTION = 8_000
MAX_MODEL = 100
NAME_OF_A_MODEL = re.compile(r"(?:models/|tunedModels/)?[A-Za-z0-9][A-Za-z0-9._-]*")
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
        """The room, and whether this was a replay.

        Raises `Invalid`, `Forbidden`, `Conflict`, `NotFound` (no such user), `Unavailable`.
        """
        now = self.clock.now()
        once = Once.of(key, "create_room", title=title, system_instruction=system_instruction, model=model)
        title = checked("title", title, MAX_TITLE)
        system_instruction = checked("system_instruction", system_instruction, MAX_SYSTEM_INSTRUCTION)
        if model is not None or not all(plan.allows_model(self.default_model) for plan in self.plans.values()):
            plan = self.plans.named(self.usage.of_day(owner, now.date(), now=now).plan)
            model = plan.model_or(self.default_model) if model is None else _model_of_plan(model, plan, self.plans)
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
        with self.cache.changing(owner):
            return self.rooms.create(room, max_rooms=limits, once=once)


@dataclass(frozen=True, slots=True)
class ListRooms:
    """A user's rooms, latest activity first; what the user changed is in the very next list."""

    rooms: RoomRepo
    cache: RoomListCache

    def __call__(
        self, owner: UserId, *, limit: int = 20, after: tuple[str, ...] | None = None, archived: bool | None = None
    ) -> Page[Chatroom]:
        """A page. Raises `Invalid`, `Unavailable`."""
        key, limit = f"{limit}:{archived}:{after}", page_of(limit)
        return self.cache.fetch(owner, key, lambda: self.rooms.page(owner, archived=archived, limit=limit, after=after))


@dataclass(frozen=True, slots=True)
class ShowRoom:
    """A room with its latest messages, oldest first."""

    rooms: RoomRepo
    messages: MessageRepo

    def __call__(self, owner: UserId, room: ChatroomId, *, latest: int = 20) -> tuple[Chatroom, tuple[Message, ...]]:
        """Raises `Invalid`, `NotFound`, `Unavailable`."""
        limit, found = page_of(latest, "latest"), self.rooms.show(owner, room)
        return found, self.messages.page(owner, room, limit=limit, before=NEWEST).items


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
        if change == RoomChange():
            return self.rooms.show(owner, room)
        now = self.clock.now()
        named: dict[str, Any] = {"pinned": change.pinned, "archived": change.archived}
        if change.title is not None:
            named["title"] = checked("title", change.title, MAX_TITLE)
        if change.system_instruction is not None:
            named["system_instruction"] = checked(
                "system_instruction", change.system_instruction, MAX_SYSTEM_INSTRUCTION
            )
        if change.model is not None:
            plan = self.plans.named(self.usage.of_day(owner, now.date(), now=now).plan)
            named["model"] = _model_of_plan(change.model, plan, self.plans)
        with self.cache.changing(owner):
            return self.rooms.change(owner, room, RoomChange(**named), now=now)


@dataclass(frozen=True, slots=True)
class DeleteRoom:
    """A room goes with everything in it; a reply that is being made is stopped, and counts; others count no more."""

    rooms: RoomRepo
    cache: RoomListCache
    queue: JobQueue
    clock: Clock

    def __call__(self, owner: UserId, room: ChatroomId, *, request_id: str = "") -> None:
        """Raises `NotFound`, `Unavailable`."""
        files = drop_files_job(owner, room, self.clock.now(), request_id)
        with self.cache.changing(owner):
            self.rooms.delete(owner, room, then=[files])
        self.queue.nudge(files.id)


def _model_of_plan(model: str, plan: Plan, plans: Plans) -> str:
    if len(model) > MAX_MODEL or not NAME_OF_A_MODEL.fullmatch(model):
        raise Invalid.field("model", "must be the name of a model", "invalid_format")
    if plan.allows_model(model):
        return model
    if (has_it := plans.with_model(model)) is None:
        raise Invalid("model: no plan has this model", FieldError("model", "no plan has this model", "not_a_choice"))
    raise Forbidden(f"The model {model} needs the plan {has_it.name}.", code="model-not-in-plan")
