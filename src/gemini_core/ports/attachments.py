"""Where the bytes of files are kept that came with messages."""

from typing import Protocol
from uuid import UUID

from gemini_core.model.ids import ChatroomId, UserId


class AttachmentStore(Protocol):
    """Files by owner, room and id. All raise `Unavailable` while the store is away."""

    def put(self, owner: UserId, room: ChatroomId, id: UUID, data: bytes) -> None:
        """Keep these bytes, whole or not at all."""
        ...

    def get(self, owner: UserId, room: ChatroomId, id: UUID) -> bytes:
        """The bytes. Raises `NotFound`."""
        ...

    def drop(self, owner: UserId, room: ChatroomId | None = None, id: UUID | None = None) -> None:
        """Forget one file, all of a room, or all of an owner. What is not there is no fault."""
        ...
