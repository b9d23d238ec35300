"""What chatting needs of the world. All repositories raise `Unavailable` while their store is away."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from gemini_core.model.chat import (
    Answer,
    Chatroom,
    Conversation,
    DayUsage,
    FeedEvent,
    Message,
    Piece,
    Prompt,
    RoomChange,
    Sent,
    Timeouts,
    TokenTotals,
    Usage,
)
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId
from gemini_core.model.jobs import Lease
from gemini_core.model.requests import Once, Page


class RoomRepo(Protocol):
    """Chatrooms. Somebody else's room is `NotFound`, like one that never was."""

    def create(self, room: Chatroom, *, max_rooms: Mapping[str, int], once: Once | None) -> tuple[Chatroom, bool]:
        """Store a room, once per key; answers the room as first stored, and whether this was a replay.

        `max_rooms` by plan. Raises `Conflict` (`room-limit-reached`), `Invalid` (`idempotency-key-reused`).
        """
        ...

    def page(
        self, owner: UserId, *, archived: bool | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[Chatroom]:
        """The owner's rooms, latest activity first."""
        ...

    def show(self, owner: UserId, room: ChatroomId) -> Chatroom:
        """One room. Raises `NotFound`."""
        ...

    def change(self, owner: UserId, room: ChatroomId, change: RoomChange, *, now: datetime) -> Chatroom:
        """Store what the change names. Raises `NotFound`."""
        ...

    def delete(self, owner: UserId, room: ChatroomId) -> None:
        """The room goes with everything in it, promised replies too. Raises `NotFound`."""
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
        once: Once | None = None,
        request_id: str = "",
    ) -> Sent:
        """All or nothing: reserve one unit of the author's UTC day, store the message, its pending reply and its job.

        The reply's id is its job's id; the room is its lane. `limits`: daily units by plan. Once per key: the same
        key gets the first outcome again and has no second effect, also at the same instant.
        Raises `NotFound`, `LimitReached`, `Invalid` (`idempotency-key-reused`).
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
    ) -> Page[Message]:
        """Messages of the current conversation, oldest first: those `after` one, or the latest ones `before` one.

        With `before`, `next` leads further back. Raises `NotFound` for the room.
        """
        ...

    def cancel(
        self, author: UserId, room: ChatroomId, reply: MessageId, *, now: datetime
    ) -> tuple[Message, Sequence[JobId]]:
        """Stop a reply: at once where nobody works on it (the unit is given back), else its worker is told.

        Answers the reply as it is now, and the jobs worth a nudge. Raises `NotFound` (also for a message that is no reply), `Conflict` (`already-final`).
        """
        ...


class ReplyRepo(Protocol):
    """The worker's side of a reply. Everything is void without the lease."""

    def begin(self, lease: Lease, *, history: int) -> Conversation | None:
        """The reply is being generated from now on; answers what is needed for its prompt, at most `history` turns.

        None if the lease was lost.
        """
        ...

    def finish(self, lease: Lease, answer: Answer, *, now: datetime) -> Sequence[JobId] | None:
        """In one transaction: the reply is final, its job is gone, its unit is kept or given back, its tokens counted.

        Returns the jobs worth a nudge (the next in the room); None if the lease was lost: then nothing was stored.
        """
        ...

    def try_again(
        self, lease: Lease, *, after: timedelta, error: str, billed: Usage | None, model: str, now: datetime
    ) -> bool:
        """The try failed; the job rests. What was billed for it is counted all the same. False if the lease was lost."""
        ...


class UsageRepo(Protocol):
    """Who used how much."""

    def of_day(self, user: UserId, day: date, *, now: datetime) -> DayUsage:
        """The plan in force, and the units used on a UTC day. Raises `NotFound` for no such user."""
        ...

    def tokens(self, user: UserId, *, today: date, since: date) -> TokenTotals:
        """Tokens of one UTC day, and of all days from `since` on."""
        ...


class LLMClient(Protocol):
    """A language model that answers in pieces."""

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        """One call, no retry. Yields pieces as they arrive; the last one has a `finish_reason`.

        Ends early, without one, within half a second of `stopped()` turning true, also while the provider hangs,
        and then asks the provider to stop. Raises `ModelFailure` and nothing else; also when the stream ends without
        a finish reason, and when a time-out is over however slowly bytes drip in.
        """
        ...


class ReplyFeed(Protocol):
    """A reply while it is being made: a short-lived log, addressed by position. Losing it costs liveliness only."""

    def append(self, reply: MessageId, attempt: int, start: int, text: str) -> None:
        """Text that begins `start` characters into this attempt. Never raises."""
        ...

    def end(self, reply: MessageId) -> None:
        """The reply is final in the store; followers look there. Never raises."""
        ...

    def follow(self, reply: MessageId, *, patience: float) -> Iterator[Sequence[FeedEvent]]:
        """First what is in the log by now (perhaps nothing), then what comes, up to and with the end.

        Yields nothing-in-a-batch whenever nothing came for `patience` seconds, also while the log cannot be read: the
        follower may then look at the store. Closing the iterator ends the following. Never raises.
        """
        ...


class RoomListCache(Protocol):
    """A user's room lists, kept close. A cache that is away finds nothing and keeps nothing; it never raises."""

    def fetch(
        self, owner: UserId, key: str, make: Callable[[], Page[Chatroom]]
    ) -> Page[Chatroom]:
        """The list kept under the key, else a fresh one, which is kept unless a change came in between."""
        ...

    def changed(self, owner: UserId) -> None:
        """After a change is committed and before it is answered: no list made before it is ever shown again."""
        ...
