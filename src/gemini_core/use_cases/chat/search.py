"""Finding what was said."""

from dataclasses import dataclass

from gemini_core.errors import Invalid
from gemini_core.model.chat import Hit
from gemini_core.model.ids import UserId
from gemini_core.model.requests import Page, page_of
from gemini_core.ports.chat import MessageSearch
from gemini_core.use_cases.chat.rules import checked

MAX_QUERY = 200


@dataclass(frozen=True, slots=True)
class SearchMessages:
    """A user finds what was said in the user's own rooms, and nobody else's."""

    messages: MessageSearch

    def __call__(
        self, reader: UserId, query: str, *, limit: int = 20, after: tuple[str, ...] | None = None
    ) -> Page[Hit]:
        """Best first. Raises `Invalid`, `Unavailable`."""
        query = checked("q", query, MAX_QUERY)
        if not query:
            raise Invalid.field("q", "must not be empty", "too_short")
        return self.messages.search(reader, query, limit=page_of(limit), after=after)
