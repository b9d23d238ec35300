"""All that chat holds about a user."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, bindparam, func, select, text, tuple_

from adapters.persistence.chat.rows import MESSAGE_COLUMNS, ROOM_COLUMNS
from adapters.persistence.engine import Engine, statement
from adapters.persistence.tables import chatrooms, daily_usage, messages, model_calls, summaries
from gemini_core.errors import NotFound
from gemini_core.model.ids import NIL, UserId
from gemini_core.ports.attachments import AttachmentStore

OWNER: BindParameter[Any] = bindparam("owner")
PAGE = 500
ROOMS = select(*ROOM_COLUMNS).where(chatrooms.c.user_id == OWNER).order_by(chatrooms.c.id)
MESSAGES = (
    select(*MESSAGE_COLUMNS)
    .join(chatrooms, chatrooms.c.id == messages.c.chatroom_id)
    .where(
        chatrooms.c.user_id == OWNER,
        tuple_(messages.c.chatroom_id, messages.c.id) > tuple_(bindparam("chatroom_id"), bindparam("id")),
    )
    .order_by(messages.c.chatroom_id, messages.c.id)
    .limit(PAGE)
)
SUMMARIES = (
    select(summaries)
    .join(chatrooms, chatrooms.c.id == summaries.c.chatroom_id)
    .where(
        chatrooms.c.user_id == OWNER,
        tuple_(summaries.c.chatroom_id, summaries.c.upto) > tuple_(bindparam("chatroom_id"), bindparam("upto")),
    )
    .order_by(summaries.c.chatroom_id, summaries.c.upto)
    .limit(PAGE)
)
# An edited message has the files of the one that it replaces: each is told of once.
FILES = text(
    f"""
    SELECT DISTINCT m.chatroom_id, file.* FROM chatrooms r JOIN messages m ON m.chatroom_id = r.id,
        jsonb_to_recordset(m.attachments) AS file (id uuid, media_type text, size int)
    WHERE r.user_id = :owner AND (m.chatroom_id, file.id) > (:chatroom_id, :id)
    ORDER BY m.chatroom_id, file.id LIMIT {PAGE}
    """  # noqa: S608 - a constant
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
    attachments: AttachmentStore

    def parts(self, user: UserId) -> Iterator[tuple[str, Iterator[Mapping[str, object]]]]:
        yield "chatrooms", self._rows(ROOMS, user)
        yield "messages", self._pages(MESSAGES, user, "chatroom_id", "id")
        yield "summaries", self._pages(SUMMARIES, user, "chatroom_id", "upto")
        yield "attachments", self._files(user)
        yield "daily_usage", self._rows(DAYS, user)
        yield "tokens", self._rows(TOKENS, user)

    def _rows(self, query: Any, user: UserId) -> Iterator[Mapping[str, object]]:
        with statement(self.engine) as connection:
            rows = [dict(row) for row in connection.execute(query, {"owner": user}).mappings()]
        yield from rows

    def _pages(self, query: Any, user: UserId, *key: str) -> Iterator[Mapping[str, object]]:
        """Some at a time, in the order of the key, so that no connection is held while a slow client reads."""
        position = dict.fromkeys(key, NIL)
        while True:
            with statement(self.engine) as connection:
                rows = connection.execute(query, {"owner": user, **position}).mappings().all()
            yield from (dict(row) for row in rows)
            if len(rows) < PAGE:
                return
            position = {name: rows[-1][name] for name in key}

    def _files(self, user: UserId) -> Iterator[Mapping[str, object]]:
        """One at a time, its bytes in base64; null where the store has lost it. Raises `Unavailable`."""
        for file in self._pages(FILES, user, "chatroom_id", "id"):
            yield {**file, "data": self._data(user, file)}

    def _data(self, user: UserId, file: Mapping[str, Any]) -> str | None:
        try:
            return b64encode(self.attachments.get(user, file["chatroom_id"], file["id"])).decode()
        except NotFound:
            return None
