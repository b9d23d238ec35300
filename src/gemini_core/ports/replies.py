"""What making and following replies needs of the world. `ReplyRepo` raises `Unavailable` while its store is away."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from gemini_core.model.ids import JobId, MessageId, UserId
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.model.replies import Answer, Conversation, FeedEvent, Piece, Prompt, Timeouts


class ReplyRepo(Protocol):
    """The worker's side of a reply. Everything is void without the lease."""

    def begin(self, lease: Lease, *, history: int, reach: int) -> Conversation | None:
        """The reply is being generated from now on; answers what is needed for its prompt.

        The turns since the last summary, at most the latest `history` of them, and none beyond the one with which they
        have `reach` bytes of text. A reply may be superseded by now. None if the lease was lost.
        """
        ...

    def finish(
        self, lease: Lease, answer: Answer, *, now: datetime, then: Iterable[NewJob] = ()
    ) -> Sequence[JobId] | None:
        """In one transaction: the reply is final, its job is gone, its unit is kept or given back.

        What follows from it is written down.

        Returns the jobs worth a nudge (the next in the room); None if the lease was lost: then nothing was stored.
        """
        ...

    def owner(self, lease: Lease) -> UserId | None:
        """Whose reply it is; None if it is gone."""
        ...

    def not_final_before(self, user: UserId, instant: datetime) -> Sequence[MessageId]:
        """The user's replies that have become final since, or are not."""
        ...


class LLMClient(Protocol):
    """A language model that answers in pieces."""

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        """One call, no retry. Yields pieces as they arrive; the last one has a `finish_reason`.

        That is `stop` for a natural end: titles and summaries are taken from nothing less.

        Ends early, without one, within half a second of `stopped()` turning true, also while the provider hangs,
        and then asks the provider to stop; what the call has cost by then may be told by a last piece without text.
        Raises `ModelFailure` and nothing else; also when the stream ends without a finish reason, and when a time-out
        is over however slowly bytes drip in.
        """
        ...


class ReplyFeed(Protocol):
    """A reply while it is being made: a log, addressed by position, that lives for `FEED_LIVES` at the most.

    Losing it costs liveliness only.
    """

    def append(self, reply: MessageId, attempt: int, start: int, text: str) -> None:
        """Text that begins `start` characters into this attempt. Never raises."""
        ...

    def end(self, reply: MessageId) -> None:
        """The reply is final in the store, or gone from it; followers look there. Never raises."""
        ...

    def forget(self, reply: MessageId) -> None:
        """Nothing of what was written so far is kept any longer. Never raises."""
        ...

    def follow(self, reply: MessageId, *, patience: float) -> Iterator[Sequence[FeedEvent]]:
        """First what is in the log by now (perhaps nothing), then what comes, up to and with the end.

        Yields an empty batch whenever nothing came for `patience` seconds, also while the log cannot be read: the
        follower may then look at the store. Closing the iterator ends the following. Never raises.
        """
        ...
