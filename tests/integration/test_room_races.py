"""Whatever happens to a room at the same instant, in PostgreSQL: nobody is in anybody's way for good."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from tests.contracts.chat_worlds import LIMITS, NOW, ChatWorld, postgres_world
from tests.contracts.test_chat import DONE, FAILED, LEASE, claim, send
from tests.crowd import tried_at_once

from adapters.local.processes import until
from adapters.persistence.accounts.users import SqlUsers
from gemini_core.errors import Unavailable
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.chat import Chatroom, RoomChange, Sent
from gemini_core.model.ids import ChatroomId, JobId, UserId, uuid7
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.model.requests import Once

ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Scene:
    """A room with an answered message, a reply under way and two that wait, and another one with a reply under way."""

    world: ChatWorld
    accounts: SqlUsers
    user: UserId
    room: Chatroom
    answered: Sent
    working: Sent
    waiting: Sent
    leases: tuple[Lease, Lease]
    title: Lease
    summary: Lease

    def redo(self, content: str | None) -> Sent:
        """The answered message again."""
        key = Once(str(uuid4()), b"f" * 32)
        said = self.answered.message.id
        return self.world.messages.redo(self.user, self.room.id, said, content, limits=LIMITS, now=NOW, once=key)

    def another(self) -> object:
        """One more room."""
        room = replace(self.room, id=ChatroomId(uuid7(NOW)))
        return self.world.rooms.create(room, max_rooms={"basic": 1000}, once=Once(str(uuid4()), b"f" * 32))

    def leave(self) -> None:
        """The account is closed and erased; its last calls are still on their way."""
        self.world.close(self.user)
        self.accounts.erase(self.user)


def scene(world: ChatWorld, accounts: SqlUsers) -> Scene:
    user = world.user("pro")
    room, other = world.room(user, title=""), world.room(user)
    answered = send(world, user, room.id)
    world.replies.finish(claim(world, answered), DONE, now=NOW)
    working, waiting, _ = (send(world, user, room.id) for _ in range(3))
    leases = claim(world, working), claim(world, send(world, user, other.id))
    for lease in leases:
        world.replies.begin(lease, history=10, reach=10_000)
    title, summary = (promised(world, kind) for kind in ("title", "summary"))
    return Scene(world, accounts, user, room, answered, working, waiting, leases, title, summary)


def promised(world: ChatWorld, kind: str) -> Lease:
    job = NewJob(id=JobId(uuid7(NOW)), kind=kind)
    world.jobs.add(job)
    lease = world.jobs.claim(job.id, lease_for=LEASE, now=NOW)
    assert lease is not None
    return lease


Deeds = dict[str, Callable[[Scene], object]]
DEEDS: Deeds = {
    "send": lambda s: send(s.world, s.user, s.room.id, once=Once(str(uuid4()), b"f" * 32)),
    "edit": lambda s: s.redo("anew"),
    "regenerate": lambda s: s.redo(None),
    "cancel what waits": lambda s: s.world.messages.cancel(s.user, s.room.id, s.waiting.reply.id, now=NOW),
    "cancel what is made": lambda s: s.world.messages.cancel(s.user, s.room.id, s.working.reply.id, now=NOW),
    "begin": lambda s: s.world.replies.begin(s.leases[0], history=10, reach=10_000),
    "finish": lambda s: s.world.replies.finish(s.leases[0], DONE, now=NOW),
    "fail": lambda s: s.world.replies.finish(s.leases[0], FAILED, now=NOW),
    "put back": lambda s: s.world.jobs.put_back(s.leases[0], after=timedelta(0), failed=True),
    "renew": lambda s: s.world.jobs.renew([lease.token for lease in s.leases], lease_for=LEASE),
    "title": lambda s: s.world.notes.set_title(s.title, s.room.id, "Tea"),
    "sum up": lambda s: s.world.notes.keep_summary(s.summary, s.room.id, s.answered.reply.id, "Tea.", now=NOW),
    "change": lambda s: s.world.rooms.change(s.user, s.room.id, RoomChange(title="Tea"), now=NOW),
    "open another": lambda s: s.another(),
    "refuse": lambda s: s.world.usage.refused(s.user, NOW.date() + timedelta(days=1), then=()),
}
# After these nothing is left for others to be in the way of.
LAST: Deeds = {
    "delete": lambda s: s.world.rooms.delete(s.user, s.room.id),
    "erase": Scene.leave,
}


def deadlocks(engine: Engine) -> int:
    """How many there were, once everybody has told who was connected."""
    told = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    engine.dispose()
    with engine.connect() as connection:
        assert until(lambda: connection.execute(others).scalar_one() == 0, within=10)
        return int(connection.execute(told).scalar_one())


@pytest.mark.parametrize("last", [(), ("delete",), ("erase",), ("delete", "erase")])
def test_no_deed_on_a_room_is_in_another_ones_way(engine: Engine, last: tuple[str, ...]) -> None:
    world, accounts, names = postgres_world(engine), SqlUsers(engine, AccountPolicy()), [*DEEDS, *last]
    away = []
    for _ in range(ROUNDS):
        here = scene(world, accounts)

        def done(number: int, here: Scene = here) -> object:
            return (DEEDS | LAST)[names[number]](here)

        outcomes = tried_at_once(len(names), done)
        away += [name for name, outcome in zip(names, outcomes, strict=True) if isinstance(outcome, Unavailable)]
    assert away == []
    assert deadlocks(engine) == 0
