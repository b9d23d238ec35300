"""Files that come with messages: what is taken, and where it goes."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gemini_core.errors import FieldError, Forbidden, Invalid, NotFound, Unavailable
from gemini_core.model.attachments import MOST_FILES, TYPES, Attachment, File, is_what_it_says
from gemini_core.model.billing.plans import Plan, Plans
from gemini_core.model.chat import Message, Sent
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId, uuid7
from gemini_core.model.jobs import Lease, NewJob
from gemini_core.ports.attachments import AttachmentStore
from gemini_core.ports.chat import MessageRepo, UsageRepo

log = logging.getLogger(__name__)

DROP_FILES = "drop_files"


@dataclass(frozen=True, slots=True)
class Attachments:
    """Files are taken where the plan has them, up to its size, and if they are what they say they are."""

    store: AttachmentStore
    usage: UsageRepo
    plans: Plans

    @property
    def largest(self) -> int:
        """Bytes that the files of one message have in all, at the most, on any plan."""
        return max((plan.max_attachment_bytes for plan in self.plans.values() if plan.attachments), default=0)

    @contextmanager
    def kept(self, author: UserId, room: ChatroomId, files: Sequence[File], now: datetime) -> Iterator["Kept"]:
        """The files are kept from here on; if nothing is sent with them, they go again.

        Where the store went away while it sent, nobody knows whether it did: then they stay until their room goes.
        Raises `Forbidden` (`attachments-not-in-plan`), `Invalid`, `Unavailable`.
        """
        if files:
            self._check(files, self.plans.named(self.usage.of_day(author, now.date(), now=now).plan))
        kept = Kept(tuple(Attachment(uuid7(now), file.media_type, len(file.data)) for file in files))
        try:
            for attachment, file in zip(kept.attachments, files, strict=True):
                self.store.put(author, room, attachment.id, file.data)
            try:
                yield kept
            except Unavailable:
                kept.sent = True
                raise
        finally:
            if not kept.sent:
                for attachment in kept.attachments:
                    self._drop(author, room, attachment.id)

    def of(self, owner: UserId, message: Message) -> tuple[File, ...]:
        """A message's files, to be told to the model. Raises `Unavailable`."""
        found = ((kept.media_type, self._get(owner, message, kept.id)) for kept in message.attachments)
        return tuple(File(media_type, data) for media_type, data in found if data)

    def _get(self, owner: UserId, message: Message, id: UUID) -> bytes:
        try:
            return self.store.get(owner, message.chatroom_id, id)
        except NotFound:
            log.warning("a file is lost", extra={"message_id": str(message.id), "file": str(id)})
            return b""

    def _drop(self, author: UserId, room: ChatroomId, id: UUID) -> None:
        try:
            self.store.drop(author, room, id)
        except Unavailable:
            log.warning("a file that nobody sent stays until its room goes", extra={"room": str(room)})

    def _check(self, files: Sequence[File], plan: Plan) -> None:
        if not plan.attachments:
            has_it = next((other.name for other in self.plans.values() if other.attachments), None)
            needs = f"need the plan {has_it}" if has_it else "are not offered"
            raise Forbidden(f"Attachments {needs}.", code="attachments-not-in-plan")
        if len(files) > MOST_FILES:
            raise Invalid.field("attachments", f"must be at most {MOST_FILES} files", "too_long")
        if errors := [error for place, file in enumerate(files) for error in _faults(place, file)]:
            raise Invalid(f"{errors[0].field}: {errors[0].message}", *errors)
        size = sum(len(file.data) for file in files)
        if size > plan.max_attachment_bytes:
            limit = f"must be at most {plan.max_attachment_bytes:,} bytes in all on the plan {plan.name}, not {size:,}"
            raise Invalid.field("attachments", limit, "too_large")


@dataclass(slots=True)
class Kept:
    """Files that are kept for a message that is about to be sent."""

    attachments: tuple[Attachment, ...]
    sent: bool = False

    def with_message(self, sent: Sent) -> Sent:
        """They are the message's from now on, unless it was sent before, with its own."""
        self.sent = not sent.replayed
        return sent


def _faults(place: int, file: File) -> Iterator[FieldError]:
    if file.media_type not in TYPES:
        yield FieldError(f"attachments.{place}.media_type", f"must be one of {', '.join(TYPES)}", "not_a_choice")
    elif not file.data:
        yield FieldError(f"attachments.{place}.data", "must not be empty", "too_short")
    elif not is_what_it_says(file):
        yield FieldError(f"attachments.{place}.data", f"is not {file.media_type}", "wrong_type")


def fingerprint(files: Sequence[File]) -> list[list[str]]:
    """What tells one request's files from another's."""
    return [[file.media_type, hashlib.sha256(file.data).hexdigest()] for file in files]


def drop_files_job(owner: UserId, room: ChatroomId, now: datetime, request_id: str) -> NewJob:
    """The promise that a room's files go with it."""
    args = {"owner": str(owner), "room": str(room)}
    return NewJob(id=JobId(uuid7(now)), kind=DROP_FILES, args=args, request_id=request_id)


@dataclass(frozen=True, slots=True)
class ReadAttachment:
    """Whoever sent a file gets it back as it was, for as long as its message is there; nobody else does."""

    messages: MessageRepo
    store: AttachmentStore

    def __call__(self, reader: UserId, room: ChatroomId, message: MessageId, attachment: UUID) -> File:
        """Raises `NotFound`, `Unavailable`."""
        kept = self.messages.show(reader, room, message).attachments
        found = next((each for each in kept if each.id == attachment), None)
        if found is None:
            raise NotFound("There is no such file.")
        return File(found.media_type, self.store.get(reader, room, attachment))


@dataclass(frozen=True, slots=True)
class DropFiles:
    """The files of a room that is gone go too."""

    store: AttachmentStore

    def __call__(self, lease: Lease) -> None:
        """Raises `Unavailable`."""
        self.store.drop(UserId(UUID(lease.args["owner"])), ChatroomId(UUID(lease.args["room"])))
