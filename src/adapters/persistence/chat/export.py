"""All that chat holds about a user."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, bindparam, func, select, tuple_

from adapters.persistence.chat.rows import MESSAGE_COLUMNS, ROOM_COLUMNS
from adapters.persistence.engine import Engine, statement
from adapters.persistence.tables import chatrooms, daily_usage, messages, model_calls
from gemini_core.model.ids import NIL, UserId

OWNER: BindParameter[Any] = bindparam("owner")
PAGE = 500
ROOMS = select(*ROOM_COLUMNS).where(chatrooms.c.user_id == OWNER).order_by(chatrooms.c.id)
MESSAGES = (
    select(*MESSAGE_COLUMNS)
    .join(chatrooms, chatrooms.c.id == messages.c.chatroom_id)
    .where(
        chatrooms.c.user_id == OWNER,
        tuple_(messages.c.chatroom_id, messages.c.id) > tuple_(bindparam("room"), bindparam("message")),
    )
    .order_by(messages.c.chatroom_id, messages.c.id)
    .limit(PAGE)
)
DAYS = select(daily_usage.c.day, daily_usage.c.used).where(daily_usage.c.user_id == OWNER).order_by(daily_usage.c.day)
SPENT_ON = (model_calls.c.day, model_calls.c.model, model_calls.c.plan)
TOKENS = (
    select(
        *SPENT_ON,
        func.sum(model_calls.c.prompt_tokens).label("prompt_tokens"),
        func.sum(model_calls.c.output_tokens).label("output_tokens"),
        func.count().label("calls"),
    )
    .where(model_calls.c.user_id == OWNER)
    .group_by(*SPENT_ON)
    .order_by(*SPENT_ON)
)


@dataclass(frozen=True, slots=True)
class SqlChatExport:
    """`AccountExport` of what chat holds."""

    engine: Engine

    def parts(self, user: UserId) -> Iterator[tuple[str, Iterator[Mapping[str, object]]]]:
        yield "chatrooms", self._rows(ROOMS, user)
        yield "messages", self._messages(user)
        yield "daily_usage", self._rows(DAYS, user)
        yield "tokens", self._rows(TOKENS, user)

    def _rows(self, query: Any, user: UserId) -> Iterator[Mapping[str, object]]:
        with statement(self.engine) as connection:
            rows = [dict(row) for row in connection.execute(query, {"owner": user}).mappings()]
        yield from rows

    def _messages(self, user: UserId) -> Iterator[Mapping[str, object]]:
        """Some at a time, so that no connection is held while a slow client reads."""
        room = message = NIL
        while True:
            position = {"owner": user, "room": room, "message": message}
            with statement(self.engine) as connection:
                rows = connection.execute(MESSAGES, position).mappings().all()
            yield from (dict(row) for row in rows)
            if len(rows) < PAGE:
                return
            room, message = rows[-1]["chatroom_id"], rows[-1]["id"]
