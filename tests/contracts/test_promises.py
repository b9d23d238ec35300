"""The exam for accepting a message as a whole: who is told finds the job; no promise, no message."""

from dataclasses import dataclass, field

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from tests.contracts.chat_worlds import LIMITS, NOW, ChatWorld, memory_world, postgres_world

from adapters.memory.attachments import MemoryAttachments
from adapters.memory.chat.rooms import NoRoomListCache
from adapters.memory.store import SystemClock
from gemini_core.model.billing.plans import Plans
from gemini_core.model.events import NOBODY
from gemini_core.model.ids import JobId
from gemini_core.ports.jobs import JobAdmin
from gemini_core.use_cases.chat.attachments import Attachments
from gemini_core.use_cases.chat.messages import SendMessage
from gemini_core.use_cases.events import TellLimit


@dataclass(frozen=True, slots=True)
class HastyWorkers:
    """`JobQueue` to workers who look for a job in the instant in which they are told of it."""

    jobs: JobAdmin
    found: list[str] = field(default_factory=list)

    def nudge(self, *jobs: JobId) -> None:
        self.found.extend(self.jobs.show(job).kind for job in jobs)


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> ChatWorld:
    return memory_world() if request.param == "memory" else postgres_world(request.getfixturevalue("engine"))


@pytest.fixture
def queue(world: ChatWorld) -> HastyWorkers:
    return HastyWorkers(world.jobs)


def test_whoever_is_told_of_a_job_finds_it(world: ChatWorld, queue: HastyWorkers) -> None:
    author = world.user()
    room = world.room(author)
    attachments = Attachments(MemoryAttachments(), world.usage, Plans())
    send = SendMessage(
        world.messages,
        queue,
        NoRoomListCache(),
        Plans(),
        attachments,
        SystemClock(),
        TellLimit(world.usage, NOBODY),
    )
    send(author, room.id, "hello", key="k")
    send(author, room.id, "hello", key="k")
    assert queue.found == ["reply", "reply"]


def test_a_message_whose_reply_cannot_be_promised_is_not_stored_and_not_counted(engine: Engine) -> None:
    check_all_or_nothing(postgres_world(engine), engine)


def check_all_or_nothing(world: ChatWorld, engine: Engine) -> None:
    author = world.user()
    room = world.room(author)
    with engine.connect() as connection:
        connection.execute(text("ALTER TABLE jobs ADD CONSTRAINT broken CHECK (kind <> 'reply')"))
    with pytest.raises(IntegrityError):
        world.messages.send(author, room.id, "hello", limits=LIMITS, now=NOW)
    assert world.messages.page(author, room.id, limit=10).items == ()
    assert world.usage.of_day(author, NOW.date(), now=NOW).used == 0
