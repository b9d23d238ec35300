"""Rooms in PostgreSQL."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, bindparam, select, text, tuple_, update

from adapters.persistence.chat.rows import GIVE_BACK, ROOM, ROOM_COLUMNS, room_of
from adapters.persistence.engine import statement, transaction
from adapters.persistence.jobs import insert_job
from adapters.persistence.once import first_outcome, take_key
from adapters.persistence.tables import PLAN, chatrooms
from gemini_core.model.chat import Chatroom, RoomChange, no_more_rooms, no_room
from gemini_core.model.ids import ChatroomId, UserId
from gemini_core.model.jobs import NewJob
from gemini_core.model.requests import Once, Page, no_user

# First of all, so that whoever erases the owner is not in the way of what follows; and a statement of its own, so that
# the count sees what was stored while this waited for the lock.
LOCK_OWNER = text(
    f"SELECT {PLAN} AS plan FROM users u WHERE u.id = :user_id AND u.status <> 'erasing' FOR NO KEY UPDATE"  # noqa: S608
)
CREATE_ROOM = text(
    """
    INSERT INTO chatrooms (id, user_id, title, system_instruction, model, created_at, updated_at)
    SELECT :id, :user_id, :title, :system_instruction, :model, :now, :now
    WHERE (SELECT count(*) FROM chatrooms WHERE user_id = :user_id) < :allowed
    RETURNING id
    """
)
ROOM_PAGE = (
    select(*ROOM_COLUMNS)
    .where(chatrooms.c.user_id == bindparam("owner"))
    .order_by(chatrooms.c.updated_at.desc(), chatrooms.c.id.desc())
    .limit(bindparam("limit"))
)
DELETE_ROOM = text("DELETE FROM chatrooms WHERE id = :room AND user_id = :owner RETURNING id")
LOCK_ROOM = text("SELECT id FROM chatrooms WHERE id = :room AND user_id = :owner FOR UPDATE")
# What a worker is in the midst of, only it could tell whether it has said anything.
DROP_JOBS = text(
    """
    DELETE FROM jobs WHERE lane = :room RETURNING id, lease IS NOT NULL AND EXISTS (
        SELECT FROM messages m WHERE m.chatroom_id = :room AND m.id = jobs.id AND m.status = 'generating') AS under_way
    """
)


@dataclass(frozen=True, slots=True)
class SqlRooms:
    """`RoomRepo` on PostgreSQL."""

    engine: Engine

    def create(self, room: Chatroom, *, max_rooms: Mapping[str, int], once: Once | None) -> tuple[Chatroom, bool]:
        with transaction(self.engine) as connection:
            plan = connection.execute(
                LOCK_OWNER, {"user_id": room.user_id, "now": room.created_at}
            ).scalar_one_or_none()
            if plan is None:
                raise no_user()
            if once is not None and (first := self._first(connection, room, once)) is not None:
                return first, True
            self._insert(connection, room, max_rooms.get(plan, max_rooms["basic"]))
        return room, False

    def _first(self, connection: Connection, room: Chatroom, once: Once) -> Chatroom | None:
        """The room as first answered under this key; None if the key is new, and now ours."""
        outcome = {"id": str(room.id), "at": room.created_at.isoformat(), "model": room.model}
        if take_key(connection, room.user_id, once, outcome, room.created_at):
            return None
        first = first_outcome(connection, room.user_id, once, room.created_at)
        assert first is not None
        at = datetime.fromisoformat(first["at"])
        return Chatroom(
            id=ChatroomId(UUID(first["id"])),
            user_id=room.user_id,
            title=room.title,
            system_instruction=room.system_instruction,
            model=first["model"],
            created_at=at,
            updated_at=at,
        )

    def _insert(self, connection: Connection, room: Chatroom, allowed: int) -> None:
        values = {
            "id": room.id,
            "user_id": room.user_id,
            "title": room.title,
            "system_instruction": room.system_instruction,
            "model": room.model,
            "now": room.created_at,
            "allowed": allowed,
        }
        if connection.execute(CREATE_ROOM, values).one_or_none() is None:
            raise no_more_rooms()

    def page(
        self, owner: UserId, *, archived: bool | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[Chatroom]:
        query = ROOM_PAGE
        if archived is not None:
            query = query.where(chatrooms.c.archived == archived)
        if after is not None:
            position = (datetime.fromisoformat(after[0]), UUID(after[1]))
            query = query.where(tuple_(chatrooms.c.updated_at, chatrooms.c.id) < position)
        with statement(self.engine) as connection:
            rooms = [room_of(row) for row in connection.execute(query, {"owner": owner, "limit": limit + 1})]
        more = len(rooms) > limit
        last = rooms[limit - 1] if more else None
        return Page(tuple(rooms[:limit]), (last.updated_at.isoformat(), str(last.id)) if last else None)

    def show(self, owner: UserId, room: ChatroomId) -> Chatroom:
        with statement(self.engine) as connection:
            row = connection.execute(ROOM, {"owner": owner, "room": room}).one_or_none()
        if row is None:
            raise no_room()
        return room_of(row)

    def change(self, owner: UserId, room: ChatroomId, change: RoomChange, *, now: datetime) -> Chatroom:
        named = {name: value for name in change.__slots__ if (value := getattr(change, name)) is not None}
        query = (
            update(chatrooms)
            .where(chatrooms.c.id == room, chatrooms.c.user_id == owner)
            .values(**named, updated_at=now)
            .returning(*ROOM_COLUMNS)
        )
        with statement(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise no_room()
        return room_of(row)

    def delete(self, owner: UserId, room: ChatroomId, *, then: Iterable[NewJob] = ()) -> None:
        key = {"owner": owner, "room": room}
        with transaction(self.engine) as connection:
            if connection.execute(LOCK_ROOM, key).one_or_none() is None:
                raise no_room()
            dropped = connection.execute(DROP_JOBS, key).all()
            connection.execute(GIVE_BACK, {"room": room, "ids": [job.id for job in dropped if not job.under_way]})
            connection.execute(DELETE_ROOM, key)
            for job in then:
                insert_job(connection, job)
