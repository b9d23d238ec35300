"""How people follow a reply."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from gemini_core.errors import NotFound, Unavailable
from gemini_core.model.chat import Message, Role, Status
from gemini_core.model.ids import ChatroomId, MessageId, UserId
from gemini_core.model.replies import FeedEvent, Position, ReplyEvent, ReplyEventKind
from gemini_core.ports.chat import MessageRepo
from gemini_core.ports.replies import ReplyFeed

# In which quiet rounds the store is asked, in case the log was lost: soon only by whoever has not heard from the log
# yet. A reply that is queued for long, or is made slowly, is not asked for by all its followers all the time.
SOON = (1, 2)
LATER = 5


@dataclass(frozen=True, slots=True)
class FollowReply:
    """Whoever follows a reply gets all of its text once, from wherever they were, while it is made and after."""

    messages: MessageRepo
    feed: ReplyFeed

    def __call__(
        self, reader: UserId, room: ChatroomId, reply: MessageId, *, after: str = "", patience: float = 1.0
    ) -> Iterator[ReplyEvent | None]:
        """Events up to the last one; None about every `patience` seconds in which nothing happened.

        `after`: the position of the last event seen; one that this reply never had starts anew with a reset. Raises
        `NotFound` at once (also for a message that is no reply); `Unavailable` at once while the store is away, and
        later where only the store can tell how the reply goes on.
        """
        message = self.messages.show(reader, room, reply)
        if message.role is not Role.MODEL:
            raise NotFound("There is no such reply.")
        return _Following(self, reader, message, patience).events(after)


@dataclass(slots=True)
class _Following:
    """One follower's way through a reply."""

    ports: FollowReply
    reader: UserId
    message: Message
    patience: float
    at: Position = Position()

    def events(self, after: str) -> Iterator[ReplyEvent | None]:
        seen = Position.parse(after) if after else Position()
        if seen is None or seen.attempt > self.message.attempt:
            yield self._reset(0)
        else:
            self.at = seen
        if not self.message.status.final:
            yield from self._live()
        if self.message.status.final:
            yield from self._rest()

    def _live(self) -> Iterator[ReplyEvent | None]:
        """What the log has and gets, until the reply is final in the store."""
        quiet, heard, batches = 0, False, self.ports.feed.follow(self.message.id, patience=self.patience)
        backlog = _latest_attempt(next(batches, ()))
        if self._beyond(backlog):
            yield self._reset(self.at.attempt)
        for news in chain([backlog], batches):
            for event in news:
                yield from self._told(event)
            quiet, heard = 0 if news else quiet + 1, heard or bool(news)
            if self._final(news, due=quiet > 0 and (quiet % LATER == 0 or (quiet in SOON and not heard))):
                return
            if not news:
                yield None

    def _final(self, news: Sequence[FeedEvent], *, due: bool) -> bool:
        """The reply is final: asked of the store when the log says so, and when that is due."""
        ended = bool(news) and news[-1].end
        if ended or due:
            try:
                self.message = self.ports.messages.show(self.reader, self.message.chatroom_id, self.message.id)
            except Unavailable:
                if ended:
                    raise
        return self.message.status.final

    def _beyond(self, log: Sequence[FeedEvent]) -> bool:
        """The follower claims to have seen more of this attempt than there is."""
        ends = [event.start + len(event.text) for event in log if event.attempt == self.at.attempt]
        return bool(ends) and max(ends) < self.at.characters

    def _told(self, event: FeedEvent) -> Iterator[ReplyEvent]:
        """What the log adds to what was seen. Where the log has lost something, wait for the store."""
        if event.end or event.attempt < self.at.attempt:
            return
        if event.attempt > self.at.attempt:
            if self.at.characters:
                yield self._reset(event.attempt)
            self.at = Position(event.attempt, 0)
        if event.start <= self.at.characters < event.start + len(event.text):
            yield self._delta(event.text[self.at.characters - event.start :])

    def _rest(self) -> Iterator[ReplyEvent]:
        """The reply is final: the stored text serves the same positions."""
        text = self.message.content
        if self.at.characters > len(text) or (self.at.characters and self.at.attempt != self.message.attempt):
            yield self._reset(self.message.attempt)
        self.at = Position(self.message.attempt, self.at.characters)
        if len(text) > self.at.characters:
            yield self._delta(text[self.at.characters :])
        kind = _LAST[self.message.status]
        yield ReplyEvent(kind, self.at, message=self.message)

    def _delta(self, text: str) -> ReplyEvent:
        self.at = Position(self.at.attempt, self.at.characters + len(text))
        return ReplyEvent(ReplyEventKind.DELTA, self.at, text)

    def _reset(self, attempt: int) -> ReplyEvent:
        self.at = Position(attempt, 0)
        return ReplyEvent(ReplyEventKind.RESET, self.at)


def _latest_attempt(log: Sequence[FeedEvent]) -> Sequence[FeedEvent]:
    """Nobody needs to see an attempt that was given up before they came."""
    latest = max((event.attempt for event in log), default=0)
    return [event for event in log if event.end or event.attempt == latest]


_LAST = {
    Status.COMPLETE: ReplyEventKind.DONE,
    Status.FAILED: ReplyEventKind.FAILED,
    Status.CANCELLED: ReplyEventKind.CANCELLED,
}
