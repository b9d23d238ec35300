"""What people say in their rooms."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from gemini_core.errors import Invalid
from gemini_core.model.attachments import File
from gemini_core.model.billing.plans import Plans
from gemini_core.model.chat import Message, Sent
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId
from gemini_core.model.requests import Once, Page, page_of
from gemini_core.ports.chat import MessageRepo, RoomListCache
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue
from gemini_core.ports.replies import ReplyFeed
from gemini_core.use_cases.chat.attachments import Attachments, fingerprint
from gemini_core.use_cases.chat.rules import checked
from gemini_core.use_cases.events import TellLimit

MAX_CONTENT = 32_000


@dataclass(frozen=True, slots=True)
class SendMessage:
    """A message is accepted with everything it promises (its place, its unit of the day, its reply) or not at all."""

    messages: MessageRepo
    queue: JobQueue
    cache: RoomListCache
    plans: Plans
    attachments: Attachments
    clock: Clock
    tell_limit: TellLimit

    def __call__(
        self,
        author: UserId,
        room: ChatroomId,
        content: str,
        *,
        files: Sequence[File] = (),
        key: str | None = None,
        request_id: str = "",
    ) -> Sent:
        """Raises `Invalid`, `Forbidden` (`attachments-not-in-plan`), `NotFound`, `LimitReached`, `Unavailable`."""
        once = Once.of(key, "send_message", room=room, content=content, files=fingerprint(files))
        now, content = self.clock.now(), _said(content)
        telling = self.tell_limit(author, now=now, request_id=request_id)
        # A list is refreshed by a replay too: whoever was first may have died before it came this far.
        with telling, self.attachments.kept(author, room, files, now) as kept, self.cache.changing(author):
            sent = kept.with_message(
                self.messages.send(
                    author,
                    room,
                    content,
                    limits=self.plans.daily_messages,
                    now=now,
                    attachments=kept.attachments,
                    once=once,
                    request_id=request_id,
                )
            )
        self.queue.nudge(JobId(sent.reply.id))
        return sent


@dataclass(frozen=True, slots=True)
class ContinueFrom:
    """The conversation goes on from an earlier point; what came after it is kept, but stopped, and no part of it."""

    messages: MessageRepo
    feed: ReplyFeed
    queue: JobQueue
    cache: RoomListCache
    plans: Plans
    clock: Clock
    tell_limit: TellLimit

    def __call__(
        self,
        author: UserId,
        room: ChatroomId,
        message: MessageId,
        content: str | None,
        *,
        once: Once | None,
        request_id: str,
    ) -> Sent:
        """As `MessageRepo.redo`."""
        now, limits = self.clock.now(), self.plans.daily_messages
        with self.tell_limit(author, now=now, request_id=request_id), self.cache.changing(author):
            sent = self.messages.redo(
                author, room, message, content, limits=limits, now=now, once=once, request_id=request_id
            )
        for reply in sent.stopped:
            self.feed.end(reply)
        self.queue.nudge(JobId(sent.reply.id))
        return sent


@dataclass(frozen=True, slots=True)
class RegenerateReply:
    """A message gets another reply, which counts like a message; the earlier one is kept as an alternative."""

    continue_from: ContinueFrom

    def __call__(
        self, author: UserId, room: ChatroomId, message: MessageId, *, key: str | None = None, request_id: str = ""
    ) -> Sent:
        """`message`: the reply, or what it replies to.

        Raises `Invalid`, `NotFound`, `Conflict` (`reply-under-way`, `superseded`), `LimitReached`, `Unavailable`.
        """
        once = Once.of(key, "regenerate_reply", room=room, message=message)
        return self.continue_from(author, room, message, None, once=once, request_id=request_id)


@dataclass(frozen=True, slots=True)
class EditMessage:
    """A user says a message anew, and the conversation goes on from there; it counts like a message."""

    continue_from: ContinueFrom

    def __call__(
        self,
        author: UserId,
        room: ChatroomId,
        message: MessageId,
        content: str,
        *,
        key: str | None = None,
        request_id: str = "",
    ) -> Sent:
        """Raises `Invalid`, `NotFound`, `Conflict` (`superseded`), `LimitReached`, `Unavailable`."""
        once = Once.of(key, "edit_message", room=room, message=message, content=content)
        return self.continue_from(author, room, message, _said(content), once=once, request_id=request_id)


@dataclass(frozen=True, slots=True)
class ListMessages:
    """The current conversation of a room, oldest first; or all replies to one message of it."""

    messages: MessageRepo

    def __call__(
        self,
        reader: UserId,
        room: ChatroomId,
        *,
        limit: int = 20,
        after: MessageId | None = None,
        before: MessageId | None = None,
        reply_to: MessageId | None = None,
    ) -> Page[Message]:
        """Raises `Invalid`, `NotFound`, `Unavailable`."""
        if before is not None and (after is not None or reply_to is not None):
            raise Invalid.field("before", "goes without after, and without reply_to", "contradiction")
        return self.messages.page(reader, room, limit=page_of(limit), after=after, before=before, reply_to=reply_to)


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """One message; whoever likes waits until it is final."""

    messages: MessageRepo
    feed: ReplyFeed

    def __call__(self, reader: UserId, room: ChatroomId, message: MessageId, *, wait: float = 0) -> Message:
        """The message as it is now, or as it is after at most `wait` seconds. Raises `NotFound`, `Unavailable`."""
        found = self.messages.show(reader, room, message)
        if found.status.final or wait <= 0:
            return found
        until = time.monotonic() + wait
        for news in self.feed.follow(message, patience=min(wait, 1.0)):
            over = time.monotonic() >= until
            if over or not news or news[-1].end:
                found = self.messages.show(reader, room, message)
            if over or found.status.final:
                break
        return found


@dataclass(frozen=True, slots=True)
class CancelReply:
    """The author stops a reply; what was generated so far is kept, and if nothing was, the unit is given back."""

    messages: MessageRepo
    feed: ReplyFeed
    queue: JobQueue
    clock: Clock

    def __call__(self, author: UserId, room: ChatroomId, reply: MessageId) -> Message:
        """Raises `NotFound`, `Conflict` (`already-final`), `Unavailable`."""
        message, waiting = self.messages.cancel(author, room, reply, now=self.clock.now())
        if message.status.final:
            self.feed.end(reply)
            self.queue.nudge(*waiting)
        return message


def _said(content: str) -> str:
    content = content.strip()
    if not content:
        raise Invalid.field("content", "must not be empty", "too_short")
    return checked("content", content, MAX_CONTENT)
