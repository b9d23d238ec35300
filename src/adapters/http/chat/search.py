"""Finding what was said."""

from uuid import UUID

import falcon
from msgspec import Struct

from adapters.http import bodies, queries
from adapters.http.auth import caller
from adapters.http.chat.answers import MessageAnswer, message_fields
from adapters.http.describing import PAGED, Parameter, describe
from adapters.http.paging import Cursors, Listing
from gemini_core.core.chat import ChatVerbs
from gemini_core.model.chat import Hit


class FoundIn(Struct):
    """The chatroom that a message is in."""

    id: UUID
    title: str | None


class HitAnswer(MessageAnswer, kw_only=True):
    """A message that matches. `highlights`: where the words are in the snippet, as start and length in characters."""

    chatroom: FoundIn
    snippet: str
    highlights: list[tuple[int, int]]


class Search:
    """Messages by their words."""

    def __init__(self, core: ChatVerbs, cursors: Cursors) -> None:
        self._core = core
        self._cursors = cursors

    @describe(
        "Search the user's messages",
        answers={200: Listing[HitAnswer]},
        query=(Parameter("q", 'Words; `"a phrase"`; `-without`. 1 to 200 characters.', required=True), *PAGED),
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Of both sides of the user's conversations, best first.

        Where nothing has these words, the latest messages that have the text as it is, or look like it, are found.
        """
        reader = caller(req).user_id
        asked = queries.text(req, "q") or ""
        scope = ("search", reader, asked)
        limit, after = self._cursors.asked(req, *scope)
        page = self._core.search_messages(reader, asked, limit=limit, after=after)
        resp.data = bodies.write(self._cursors.listing(page, _answer, *scope))


def _answer(hit: Hit) -> HitAnswer:
    return HitAnswer(
        **message_fields(hit.message),
        chatroom=FoundIn(hit.message.chatroom_id, hit.room_title or None),
        snippet=hit.snippet,
        highlights=list(hit.highlights),
    )
