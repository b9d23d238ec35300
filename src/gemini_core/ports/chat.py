"""What chatting needs of the world. All repositories raise `Unavailable` while their store is away."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import Protocol

from gemini_core.model.attachments import Attachment
from gemini_core.model.chat import Chatroom, DayUsage, Hit, Message, RoomChange, Sent, TokensBy, TokenSum, TokenTotals
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId
from gemini_core.model.jobs import NewJob
from gemini_core.model.replies import ModelCall
from gemini_core.model.requests import Once, Page


class RoomRepo(Protocol):
    """Chatrooms. Somebody else's room is `NotFound`, like one that never was."""

    def create(self, room: Chatroom, *, max_rooms: Mapping[str, int], once: Once | None) -> tuple[Chatroom, bool]:
        """Store a room, once per key; answers the room as first stored, and whether this was a replay.

        `max_rooms` by the name of a plan; that of `basic` is there, and counts for plans that are not.
        Raises `NotFound` for no such user, `Conflict` (`room-limit-reached`), `Invalid` (`idempotency-key-reused`).
        """
        ...

    def page(
        self, owner: UserId, *, archived: bool | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[Chatroom]:
        """The owner's rooms, latest activity first; `archived` None: both kinds.

        `after`: `Page.next` of the page before.
        """
        ...

    def show(self, owner: UserId, room: ChatroomId) -> Chatroom:
        """One room. Raises `NotFound`."""
        ...

    def change(self, owner: UserId, room: ChatroomId, change: RoomChange, *, now: datetime) -> Chatroom:
        """Store what the change names. Raises `NotFound`."""
        ...

    def delete(self, owner: UserId, room: ChatroomId, *, then: Iterable[NewJob] = ()) -> None:
        """The room goes with everything in it, promised replies too; what follows is promised. Raises `NotFound`.

        Replies that nobody works on give their units back. Others count: only a worker knows whether it said anything.
        """
        ...


class MessageRepo(Protocol):
    """Messages. Ids are the store's to give: in a room, a message accepted later has the greater id."""

    def send(
        self,
        author: UserId,
        room: ChatroomId,
        content: str,
        *,
        limits: Mapping[str, int],
        now: datetime,
        attachments: tuple[Attachment, ...] = (),
        once: Once | None = None,
        request_id: str = "",
    ) -> Sent:
        """All or nothing: reserve one unit of the author's UTC day, store the message, its pending reply and its job.

        The reply's id is its job's id; the room is its lane. `limits`: daily units by the name of a plan; that of
        `basic` is there, and counts for plans that are not. Once per key: the same key gets the first outcome again and
        has no second effect, also at the same instant.
        Raises `NotFound`, `LimitReached`, `Invalid` (`idempotency-key-reused`).
        """
        ...

    def redo(
        self,
        author: UserId,
        room: ChatroomId,
        message: MessageId,
        content: str | None,
        *,
        limits: Mapping[str, int],
        now: datetime,
        once: Once | None = None,
        request_id: str = "",
    ) -> Sent:
        """Like `send`, from an earlier point of the conversation: what came after it is superseded, and stopped.

        With `content`, the user's `message` is said anew in these words (and with the files it had). Without,
        `message`, or the message that it replies to, gets another reply; `Sent.message` is then the old one.
        Raises as `send`, `NotFound` for a `message` that is not there or not the user's (to edit), and `Conflict`:
        `superseded`; `reply-under-way` where the present reply is not final (without `content`).
        """
        ...

    def show(self, reader: UserId, room: ChatroomId, message: MessageId) -> Message:
        """One message. Raises `NotFound`."""
        ...

    def page(
        self,
        reader: UserId,
        room: ChatroomId,
        *,
        limit: int,
        after: MessageId | None = None,
        before: MessageId | None = None,
        reply_to: MessageId | None = None,
    ) -> Page[Message]:
        """Messages of the current conversation, oldest first: those `after` one, or the latest ones `before` one.

        With `before`, `next` leads further back. With `reply_to`: every reply to that message, superseded ones too
        (not together with `before`). Raises `NotFound` for the room.
        """
        ...

    def cancel(
        self, author: UserId, room: ChatroomId, reply: MessageId, *, now: datetime
    ) -> tuple[Message, Sequence[JobId]]:
        """Stop a reply: at once where no worker has it (the unit is given back), else its worker is told.

        A worker has it until it puts it back, also when its lease ran out: it, or whoever takes the job over, stops it.
        Answers the reply as it is now, and the jobs worth a nudge. Raises `NotFound`
        (also for a message that is no reply), `Conflict` (`already-final`).
        """
        ...


class MessageSearch(Protocol):
    """Finds messages by their words. Raises `Unavailable` while its store is away."""

    def search(self, reader: UserId, query: str, *, limit: int, after: tuple[str, ...] | None) -> Page[Hit]:
        """The reader's current messages that match, best first. Any text is a query; one without words finds nothing.

        `"so quoted"` is a phrase, `-so` is not in it. Where nothing has these words, what is nearly so written, among
        the latest messages, may be found instead. `after`: `Page.next` of the page before.
        """
        ...


class UsageRepo(Protocol):
    """Who used how much."""

    def of_day(self, user: UserId, day: date, *, now: datetime) -> DayUsage:
        """The plan in force, and the units used on a UTC day. Raises `NotFound` for no such user."""
        ...

    def refused(self, user: UserId, day: date, *, then: Iterable[NewJob]) -> None:
        """A message was refused for the limit of this UTC day; what follows is promised, the first time only."""
        ...

    def tokens(self, user: UserId, *, today: date, since: date) -> TokenTotals:
        """Tokens of one UTC day, and of all days from `since` on."""
        ...

    def sums(self, by: Sequence[TokensBy], *, since: date, until: date) -> Sequence[TokenSum]:
        """Tokens of everybody's calls of these UTC days (both are in), a sum for each combination, in their order."""
        ...

    def record(self, calls: Iterable[ModelCall]) -> None:
        """Write down what calls have cost so far: once for each, however often and in whatever order it is told.

        A call counts for the plan in force when it began. What a user spent who is gone is gone too.
        """
        ...


class RoomListCache(Protocol):
    """A user's room lists, kept close. A cache that is away finds nothing and keeps nothing; it never raises."""

    def fetch(self, owner: UserId, key: str, make: Callable[[], Page[Chatroom]]) -> Page[Chatroom]:
        """The list kept under the key, else a fresh one, which is kept unless a change came in between."""
        ...

    def changing(self, owner: UserId) -> AbstractContextManager[None]:
        """Around what changes a list. After it, no list made before the change is ever shown again."""
        ...
