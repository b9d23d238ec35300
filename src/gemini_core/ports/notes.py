"""What notes about rooms need of the world."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from gemini_core.model.ids import ChatroomId, JobId, MessageId
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.model.notes import Exchange, Stretch


class NoteRepo(Protocol):
    """Titles and summaries. All raise `Unavailable` while their store is away."""

    def exchange(self, room: ChatroomId) -> Exchange | None:
        """The first complete exchange of a room that has no title; None if it is gone, or has one."""
        ...

    def set_title(self, lease: Lease, room: ChatroomId, title: str) -> bool:
        """In one transaction: the job is done, and the room has the title unless it got one meanwhile.

        Whether the title is changed now. If the lease was lost, nothing was stored.
        """
        ...

    def stretch(self, room: ChatroomId, upto: MessageId, *, turns: int, reach: int) -> Stretch | None:
        """What the next summary is to take in: the turns after the last summary, up to and with `upto`.

        At most so many `turns`, and `reach` bytes (but always one turn). None if there are none.
        """
        ...

    def keep_summary(
        self,
        lease: Lease,
        room: ChatroomId,
        upto: MessageId,
        summary: str,
        *,
        now: datetime,
        then: Iterable[NewJob] = (),
    ) -> Sequence[JobId]:
        """In one transaction: the job is done, and the summary kept unless `upto` is superseded by now.

        An empty summary is not kept. Returns the jobs worth a nudge. Nothing is stored if the lease was lost.
        """
        ...
