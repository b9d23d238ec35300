"""Chat in the process: for embedding, for a first look. Nothing outlives the process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Thread
from time import sleep

from adapters.memory.attachments import MemoryAttachments
from adapters.memory.chat.messages import MemoryMessages
from adapters.memory.chat.rooms import MemoryRooms, NoRoomListCache
from adapters.memory.chat.search import MemorySearch
from adapters.memory.chat.tables import MemoryChat
from adapters.memory.chat.usage import MemoryUsage
from adapters.memory.jobs import MemoryJobs
from adapters.memory.notes import MemoryNotes
from adapters.memory.queue import MemoryQueue
from adapters.memory.replies import MemoryFeed, MemoryReplies
from adapters.memory.store import MemoryStore
from gemini_core.core.chat import ChatPorts, ChatRules, ChatVerbs, chat_handlers, chat_verbs
from gemini_core.core.events import EventPorts, EventRules, OnEvent, audience, event_handlers, listeners
from gemini_core.core.jobs import JobPorts, JobRules, JobVerbs, job_verbs
from gemini_core.model.billing.plans import Plans
from gemini_core.model.ids import JobId, UserId
from gemini_core.ports.replies import LLMClient
from gemini_core.use_cases.replies.answering import ModelChoice

# Seconds between two sweeps for jobs that rested, and between two renewals of leases.
TICK = 0.5


@dataclass(frozen=True, kw_only=True)
class EmbeddedChat(ChatVerbs, JobVerbs):
    """Chat and its jobs: `chat.send_message(author, room, "hi")`."""


def chat(
    llm: LLMClient,
    *,
    plans: Plans | None = None,
    model: str = "model",
    scribe: str | None = None,
    on_event: OnEvent | None = None,
) -> EmbeddedChat:
    """Chat on the memory adapters, with its worker running. Every user is known, and on the basic plan.

    `scribe`: the model that writes titles and summaries; without one, a room's title is the user's first words.
    `on_event` is called with what happened, as `gemini_core.build` says.
    """
    store, queue = MemoryStore(), MemoryQueue()
    jobs = MemoryJobs(store)
    tables = MemoryChat(store, jobs, _basic)
    ports = ChatPorts(
        rooms=MemoryRooms(tables),
        messages=MemoryMessages(tables),
        replies=MemoryReplies(tables),
        notes=MemoryNotes(tables),
        usage=MemoryUsage(tables),
        search=MemorySearch(tables),
        feed=MemoryFeed(),
        attachments=MemoryAttachments(),
        room_lists=NoRoomListCache(),
        llm=llm,
    )
    work = JobPorts(jobs=jobs, leases=jobs, ledger=jobs, queue=queue)
    rules = ChatRules(plans=plans or Plans(), default_model=model, choice=ModelChoice(scribe=scribe))
    sinks = listeners(EventPorts(), on_event)
    told = audience(sinks)
    chatting = chat_verbs(ports, work, rules, store.clock, told)
    handlers = {
        **chat_handlers(ports, work, rules, chatting.metered_model, store.clock, told),
        **event_handlers(sinks, work, EventRules(), store.clock),
    }
    verbs = EmbeddedChat(
        **vars(chatting),
        **vars(job_verbs(work, JobRules(lease_for=timedelta(seconds=15)), handlers, store.clock)),
    )
    queue.work(verbs.keep_promise)
    Thread(target=_tick, args=(verbs, queue), name="tick", daemon=True).start()
    return verbs


def _basic(_user: UserId, _now: datetime) -> str:
    return "basic"


def _tick(verbs: EmbeddedChat, queue: MemoryQueue) -> None:
    while True:
        sleep(TICK)
        verbs.held_leases.renew()
        verbs.held_leases.look()
        verbs.metered_model.record()
        due: Sequence[JobId] = verbs.due_jobs(limit=100)
        queue.nudge(*due)
