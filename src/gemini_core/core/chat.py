"""Chat: rooms, messages, replies. Of use without the other topics too, where people are known from elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

from gemini_core.core.jobs import JobPorts, PeriodicTask
from gemini_core.model.billing.plans import Plans
from gemini_core.model.events import NOBODY, Audience
from gemini_core.model.notes import SUMMARY_JOB, TITLE_JOB
from gemini_core.model.replies import REPLY_JOB
from gemini_core.ports.attachments import AttachmentStore
from gemini_core.ports.chat import MessageRepo, MessageSearch, RoomListCache, RoomRepo, UsageRepo
from gemini_core.ports.clock import Clock
from gemini_core.ports.notes import NoteRepo
from gemini_core.ports.replies import LLMClient, ReplyFeed, ReplyRepo
from gemini_core.use_cases.chat.attachments import DROP_FILES, Attachments, DropFiles, ReadAttachment
from gemini_core.use_cases.chat.messages import (
    CancelReply,
    ContinueFrom,
    EditMessage,
    ListMessages,
    ReadMessage,
    RegenerateReply,
    SendMessage,
)
from gemini_core.use_cases.chat.rooms import ChangeRoom, CreateRoom, DeleteRoom, ListRooms, ShowRoom
from gemini_core.use_cases.chat.search import SearchMessages
from gemini_core.use_cases.chat.usage import AddUpTokens, ShowUsage
from gemini_core.use_cases.events import TellLimit
from gemini_core.use_cases.jobs import FunctionHandler, Handler
from gemini_core.use_cases.notes import MakeTitle, Scribe, SumUp
from gemini_core.use_cases.replies.answering import AnswerMessage, ModelChoice
from gemini_core.use_cases.replies.following import FollowReply
from gemini_core.use_cases.replies.metering import MeteredModel

# Seconds between two records of what calls under way have cost: so much a killed worker takes with it.
RECORD_EVERY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPorts:
    """What chatting needs of the world."""

    rooms: RoomRepo
    messages: MessageRepo
    replies: ReplyRepo
    notes: NoteRepo
    usage: UsageRepo
    search: MessageSearch
    feed: ReplyFeed
    room_lists: RoomListCache
    attachments: AttachmentStore
    llm: LLMClient


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRules:
    """What the operator decides. `choice.default` is also the model of rooms that name none."""

    plans: Plans
    choice: ModelChoice


@dataclass(frozen=True, kw_only=True)
class ChatVerbs:
    """What people do in their rooms."""

    create_room: CreateRoom
    list_rooms: ListRooms
    show_room: ShowRoom
    change_room: ChangeRoom
    delete_room: DeleteRoom
    send_message: SendMessage
    regenerate_reply: RegenerateReply
    edit_message: EditMessage
    list_messages: ListMessages
    read_message: ReadMessage
    read_attachment: ReadAttachment
    follow_reply: FollowReply
    cancel_reply: CancelReply
    search_messages: SearchMessages
    show_usage: ShowUsage
    add_up_tokens: AddUpTokens
    metered_model: MeteredModel


def chat_verbs(
    ports: ChatPorts, jobs: JobPorts, rules: ChatRules, clock: Clock, audience: Audience = NOBODY
) -> ChatVerbs:
    """The verbs, on these ports."""
    plans, cache, limit = rules.plans, ports.room_lists, TellLimit(ports.usage, audience)
    continue_from = ContinueFrom(
        messages=ports.messages,
        feed=ports.feed,
        queue=jobs.queue,
        cache=cache,
        plans=plans,
        clock=clock,
        tell_limit=limit,
    )
    return ChatVerbs(
        create_room=CreateRoom(
            rooms=ports.rooms,
            usage=ports.usage,
            cache=cache,
            plans=plans,
            default_model=rules.choice.default,
            clock=clock,
        ),
        list_rooms=ListRooms(ports.rooms, cache),
        show_room=ShowRoom(ports.rooms, ports.messages),
        change_room=ChangeRoom(rooms=ports.rooms, usage=ports.usage, cache=cache, plans=plans, clock=clock),
        delete_room=DeleteRoom(ports.rooms, cache, jobs.queue, clock),
        send_message=SendMessage(
            messages=ports.messages,
            queue=jobs.queue,
            cache=cache,
            plans=plans,
            attachments=_attachments(ports, rules),
            clock=clock,
            tell_limit=limit,
        ),
        regenerate_reply=RegenerateReply(continue_from),
        edit_message=EditMessage(continue_from),
        list_messages=ListMessages(ports.messages),
        read_message=ReadMessage(ports.messages, ports.feed),
        read_attachment=ReadAttachment(ports.messages, ports.attachments),
        follow_reply=FollowReply(ports.messages, ports.feed),
        cancel_reply=CancelReply(ports.messages, ports.feed, jobs.queue, clock),
        search_messages=SearchMessages(ports.search),
        show_usage=ShowUsage(ports.usage, plans, clock),
        add_up_tokens=AddUpTokens(ports.usage, clock),
        metered_model=MeteredModel(ports.llm, ports.usage, clock),
    )


def chat_handlers(
    ports: ChatPorts,
    jobs: JobPorts,
    rules: ChatRules,
    model: MeteredModel,
    clock: Clock,
    audience: Audience = NOBODY,
) -> Mapping[str, Handler]:
    """Who keeps the promises of chat."""
    scribe = Scribe(model, rules.choice.scribe)
    return {
        TITLE_JOB: MakeTitle(ports.notes, jobs.jobs, scribe, ports.room_lists),
        SUMMARY_JOB: SumUp(ports.notes, jobs.jobs, scribe, clock),
        DROP_FILES: FunctionHandler(jobs.jobs, DropFiles(ports.attachments)),
        REPLY_JOB: AnswerMessage(
            replies=ports.replies,
            jobs=jobs.jobs,
            model=model,
            feed=ports.feed,
            plans=rules.plans,
            attachments=_attachments(ports, rules),
            clock=clock,
            choice=rules.choice,
            audience=audience,
        ),
    }


def chat_tasks(model: MeteredModel) -> tuple[PeriodicTask, ...]:
    """What a worker that makes replies does beside."""
    return (PeriodicTask("record", RECORD_EVERY, model.record),)


def _attachments(ports: ChatPorts, rules: ChatRules) -> Attachments:
    return Attachments(ports.attachments, ports.usage, rules.plans)
