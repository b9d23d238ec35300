"""Chat in the process: for embedding, for a first look. Nothing outlives the process."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from adapters.memory.attachments import MemoryAttachments
from adapters.memory.chat.messages import MemoryMessages
from adapters.memory.chat.rooms import MemoryRooms, NoRoomListCache
from adapters.memory.chat.search import MemorySearch
from adapters.memory.chat.tables import MemoryChat, PlanOf
from adapters.memory.chat.usage import MemoryUsage
from adapters.memory.jobs import MemoryJobs
from adapters.memory.notes import MemoryNotes
from adapters.memory.queue import MemoryQueue
from adapters.memory.replies import MemoryFeed, MemoryReplies
from adapters.memory.store import MemoryStore
from adapters.runner import Runner
from gemini_core.core import ChatCore, ChatPorts, ChatRules, JobPorts, JobRules, OnEvent, build_chat
from gemini_core.model.billing.plans import Plans
from gemini_core.model.ids import UserId
from gemini_core.ports.attachments import AttachmentStore
from gemini_core.ports.replies import LLMClient
from gemini_core.use_cases.replies.answering import ModelChoice

# Jobs at a time; a listener that takes its time keeps a quarter of the threads busy.
THREADS = 4
# Seconds that replies under way are given when the program closes its chat.
GRACE = 5.0


@dataclass(frozen=True, kw_only=True)
class EmbeddedChat(ChatCore):
    """Chat and its jobs: `chat.send_message(author, room, "hi")`. Close it, or use it `with`, to end its threads."""

    queue: MemoryQueue
    runner: Runner

    def close(self) -> None:
        """Begin no reply any more; those under way have `GRACE` seconds."""
        self.runner.drain()
        self.queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()


def _on_basic(_user: UserId, _now: datetime) -> str:
    return "basic"


def chat(
    llm: LLMClient,
    *,
    plans: Plans | None = None,
    plan_of: PlanOf = _on_basic,
    model: str = "model",
    scribe: str | None = None,
    attachments: AttachmentStore | None = None,
    on_event: OnEvent | None = None,
) -> EmbeddedChat:
    """Chat on the memory adapters, with its worker running.

    `plan_of`: the name of a user's plan at an instant; `NotFound` for a user who is unknown. Without it everybody is
    known, and on basic. `scribe`: the model that writes titles and summaries; without one, a room's title is the user's
    first words. `attachments`: where files are kept; without it, in the process. `on_event` is called with what
    happened, as `gemini_core.build` says.
    """
    store, queue = MemoryStore(), MemoryQueue()
    jobs = MemoryJobs(store)
    ports = _ports(MemoryChat(store, jobs, plan_of), attachments or MemoryAttachments(), llm)
    work = JobPorts(jobs=jobs, leases=jobs, admin=jobs, queue=queue)
    rules = ChatRules(plans=plans or Plans(), choice=ModelChoice(default=model, scribe=scribe))
    core = build_chat(ports, work, rules, store.clock, job_rules=JobRules(threads=THREADS), on_event=on_event)
    runner = Runner(core, grace=GRACE)
    runner.open()
    queue.pass_on(runner.start)
    return EmbeddedChat(**vars(core), queue=queue, runner=runner)


def _ports(tables: MemoryChat, attachments: AttachmentStore, llm: LLMClient) -> ChatPorts:
    return ChatPorts(
        rooms=MemoryRooms(tables),
        messages=MemoryMessages(tables),
        replies=MemoryReplies(tables),
        notes=MemoryNotes(tables),
        usage=MemoryUsage(tables),
        search=MemorySearch(tables),
        feed=MemoryFeed(),
        attachments=attachments,
        room_lists=NoRoomListCache(),
        llm=llm,
    )
