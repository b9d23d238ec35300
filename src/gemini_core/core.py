"""The product's table of contents: every verb, by topic."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from gemini_core.model.billing import Plans
from gemini_core.model.ids import JobId
from gemini_core.ports.chat import LLMClient, MessageRepo, ReplyFeed, ReplyRepo, RoomListCache, RoomRepo, UsageRepo
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobLedger, JobQueue, JobRepo, LeaseKeeper
from gemini_core.use_cases.chat import (
    CancelReply,
    ChangeRoom,
    CreateRoom,
    DeleteRoom,
    ListMessages,
    ListRooms,
    ReadMessage,
    SendMessage,
    ShowRoom,
    ShowUsage,
)
from gemini_core.use_cases.jobs import Handler, HeldLeases, KeepPromise, StartSchedule
from gemini_core.use_cases.replies import AnswerMessage, FollowReply, ModelChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All that the core needs of the world. Adapters for every one of them ship; yours may take their place."""

    clock: Clock
    # jobs
    jobs: JobRepo
    leases: LeaseKeeper
    job_ledger: JobLedger
    queue: JobQueue
    # chat
    rooms: RoomRepo
    messages: MessageRepo
    replies: ReplyRepo
    usage: UsageRepo
    feed: ReplyFeed
    room_lists: RoomListCache
    llm: LLMClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator decides."""

    plans: Plans
    default_model: str
    choice: ModelChoice = ModelChoice()
    lease_for: timedelta = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """Every verb a field: `core.send_message(author, room, "hi")`."""

    # chat
    create_room: CreateRoom
    list_rooms: ListRooms
    show_room: ShowRoom
    change_room: ChangeRoom
    delete_room: DeleteRoom
    send_message: SendMessage
    list_messages: ListMessages
    read_message: ReadMessage
    follow_reply: FollowReply
    cancel_reply: CancelReply
    show_usage: ShowUsage
    # jobs
    keep_promise: KeepPromise
    start_schedule: StartSchedule
    held_leases: HeldLeases
    due_jobs: Callable[..., Sequence[JobId]]
    job_ledger: JobLedger


def build(ports: Ports, policy: Policy) -> Core:
    """The product, on these ports."""
    handlers: dict[str, Handler] = {**_chat_handlers(ports, policy)}
    held = HeldLeases(ports.leases, policy.lease_for)
    plans, clock = policy.plans, ports.clock
    return Core(
        create_room=CreateRoom(ports.rooms, ports.usage, ports.room_lists, plans, policy.default_model, clock),
        list_rooms=ListRooms(ports.rooms, ports.room_lists),
        show_room=ShowRoom(ports.rooms, ports.messages),
        change_room=ChangeRoom(ports.rooms, ports.usage, ports.room_lists, plans, clock),
        delete_room=DeleteRoom(ports.rooms, ports.room_lists),
        send_message=SendMessage(ports.messages, ports.queue, ports.room_lists, plans, clock),
        list_messages=ListMessages(ports.messages),
        read_message=ReadMessage(ports.messages, ports.feed),
        follow_reply=FollowReply(ports.messages, ports.feed),
        cancel_reply=CancelReply(ports.messages, ports.feed, ports.queue, clock),
        show_usage=ShowUsage(ports.usage, plans, clock),
        keep_promise=KeepPromise(ports.jobs, ports.queue, held, handlers, clock),
        start_schedule=StartSchedule(ports.jobs, handlers),
        held_leases=held,
        due_jobs=ports.leases.due,
        job_ledger=ports.job_ledger,
    )


def _chat_handlers(ports: Ports, policy: Policy) -> Mapping[str, Handler]:
    reply = AnswerMessage(
        ports.replies, ports.jobs, ports.llm, ports.feed, policy.plans, ports.clock, policy.choice
    )
    return {"reply": reply}
