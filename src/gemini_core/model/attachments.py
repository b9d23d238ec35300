"""Files that come with a message: what they may be, and what they cost."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class File:
    """What is handed in with a message, and goes to the model with it. `data` is the raw bytes."""

    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file as it is kept with a message: the bytes, `size` of them, are elsewhere."""

    id: UUID
    media_type: str
    size: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"id": str(self.id), "media_type": self.media_type, "size": self.size}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Attachment":
        """What `to_json` made plain."""
        return cls(UUID(values["id"]), values["media_type"], values["size"])

    @property
    def tokens(self) -> int:
        """About how many tokens the model will count for it."""
        kind = self.media_type.partition("/")[0]
        return 64 + (1_300 if kind == "image" else self.size // BYTES_PER_TOKEN.get(kind, 4))


# Text: about four bytes a token. Audio: 32 tokens a second of at least 4,000 bytes. PDF: 260 tokens a page and its
# text, on pages of 30,000 bytes and more.
BYTES_PER_TOKEN = {"text": 4, "audio": 125, "application": 100}
