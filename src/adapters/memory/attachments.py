"""Files in the process."""

from dataclasses import dataclass, field
from uuid import UUID

from gemini_core.errors import NotFound
from gemini_core.model.ids import ChatroomId, UserId


@dataclass(frozen=True, slots=True)
class MemoryAttachments:
    """`AttachmentStore` in the process."""

    files: dict[tuple[UserId, ChatroomId, UUID], bytes] = field(default_factory=dict)

    def put(self, owner: UserId, room: ChatroomId, id: UUID, data: bytes) -> None:
        self.files[owner, room, id] = data

    def get(self, owner: UserId, room: ChatroomId, id: UUID) -> bytes:
        try:
            return self.files[owner, room, id]
        except KeyError:
            raise NotFound("There is no such file.") from None

    def drop(self, owner: UserId, room: ChatroomId | None = None, id: UUID | None = None) -> None:
        for key in list(self.files):
            if key[0] == owner and room in (None, key[1]) and id in (None, key[2]):
                self.files.pop(key, None)
