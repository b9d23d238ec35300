"""What is kept of a user's chat beside the store."""

from dataclasses import dataclass

from gemini_core.model.ids import UserId
from gemini_core.model.replies import FEED_LIVES
from gemini_core.ports.chat import RoomListCache
from gemini_core.ports.clock import Clock
from gemini_core.ports.replies import ReplyFeed, ReplyRepo


@dataclass(frozen=True, slots=True)
class ForgetChat:
    """Of a user who is erased, nothing stays where it was near at hand: room lists, and replies as they were made."""

    replies: ReplyRepo
    feed: ReplyFeed
    cache: RoomListCache
    clock: Clock

    def __call__(self, user: UserId) -> None:
        """May be done again. Raises `Unavailable`."""
        for reply in self.replies.not_final_before(user, self.clock.now() - FEED_LIVES):
            self.feed.forget(reply)
        with self.cache.changing(user):
            pass  # they are about to go
