"""The same repositories in memory and on PostgreSQL, ready to be examined."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, insert, update

from adapters.memory.attachments import MemoryAttachments
from adapters.memory.chat.messages import MemoryMessages
from adapters.memory.chat.rooms import MemoryRooms
from adapters.memory.chat.search import MemorySearch
from adapters.memory.chat.tables import MemoryChat
from adapters.memory.chat.usage import MemoryUsage
from adapters.memory.jobs import MemoryJobs
from adapters.memory.notes import MemoryNotes
from adapters.memory.replies import MemoryFeed, MemoryReplies
from adapters.memory.store import MemoryStore, SystemClock
from adapters.persistence.chat.messages import SqlMessages
from adapters.persistence.chat.rooms import SqlRooms
from adapters.persistence.chat.search import SqlSearch
from adapters.persistence.chat.usage import SqlUsage
from adapters.persistence.jobs import SqlJobs
from adapters.persistence.notes import SqlNotes
from adapters.persistence.replies import SqlReplies
from adapters.persistence.tables import users
from gemini_core.errors import NotFound
from gemini_core.model.billing.plans import Plans
from gemini_core.model.chat import Chatroom
from gemini_core.model.ids import ChatroomId, UserId, uuid7
from gemini_core.ports.chat import MessageRepo, MessageSearch, RoomRepo, UsageRepo
from gemini_core.ports.notes import NoteRepo
from gemini_core.ports.replies import LLMClient, ReplyRepo
from gemini_core.use_cases.chat.attachments import Attachments
from gemini_core.use_cases.replies.answering import AnswerMessage
from gemini_core.use_cases.replies.metering import MeteredModel

NOW = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)
LIMITS = {"basic": 5, "pro": 1000}


@dataclass(frozen=True, slots=True)
class ChatWorld:
    """Everything that chat keeps, in one technology."""

    rooms: RoomRepo
    messages: MessageRepo
    replies: ReplyRepo
    usage: UsageRepo
    notes: NoteRepo
    search: MessageSearch
    jobs: SqlJobs | MemoryJobs
    add_user: Callable[[str], UserId]
    change_plan: Callable[[UserId, str], object]
    close: Callable[[UserId], object]

    def user(self, plan: str = "basic") -> UserId:
        """A new user."""
        return self.add_user(plan)

    def room(self, owner: UserId, **about: str) -> Chatroom:
        """A new room."""
        room = Chatroom(
            id=ChatroomId(uuid7(NOW)),
            user_id=owner,
            title=about.get("title", "Tea"),
            system_instruction=about.get("system_instruction", ""),
            model="gemini-test",
            created_at=NOW,
            updated_at=NOW,
        )
        return self.rooms.create(room, max_rooms={"basic": 1000}, once=None)[0]

    def answering(self, model: LLMClient) -> AnswerMessage:
        """The use case, with this model."""
        plans, clock = Plans(), SystemClock()
        attachments = Attachments(MemoryAttachments(), self.usage, plans)
        metered = MeteredModel(model, self.usage, clock)
        return AnswerMessage(self.replies, self.jobs, metered, MemoryFeed(), plans, attachments, clock)


def memory_world() -> ChatWorld:
    """In the process."""
    plans: dict[UserId, str] = {}

    def plan_of(user: UserId, _: datetime) -> str:
        if user not in plans:
            raise NotFound("There is no such user.")
        return plans[user]

    def add_user(plan: str) -> UserId:
        user = UserId(uuid7(NOW))
        plans[user] = plan
        return user

    store = MemoryStore()
    jobs = MemoryJobs(store)
    chat = MemoryChat(store, jobs, plan_of)
    return ChatWorld(
        MemoryRooms(chat),
        MemoryMessages(chat),
        MemoryReplies(chat),
        MemoryUsage(chat),
        MemoryNotes(chat),
        MemorySearch(chat),
        jobs,
        add_user,
        plans.__setitem__,
        plans.pop,
    )


def postgres_world(engine: Engine) -> ChatWorld:
    """On a database of the test's own."""

    def add_user(plan: str) -> UserId:
        user = UserId(uuid7(NOW))
        number = f"+1415555{user.int % 10**8:08d}"
        with engine.connect() as connection:
            connection.execute(
                insert(users).values(id=user, mobile_number=number, plan=plan, created_at=NOW, credential_version=1)
            )
        return user

    def change_plan(user: UserId, plan: str) -> None:
        with engine.connect() as connection:
            connection.execute(update(users).where(users.c.id == user).values(plan=plan))

    def close(user: UserId) -> None:
        with engine.connect() as connection:
            connection.execute(update(users).where(users.c.id == user).values(status="erasing"))

    return ChatWorld(
        SqlRooms(engine),
        SqlMessages(engine),
        SqlReplies(engine),
        SqlUsage(engine),
        SqlNotes(engine),
        SqlSearch(engine),
        SqlJobs(engine),
        add_user,
        change_plan,
        close,
    )
