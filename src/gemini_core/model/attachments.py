"""Files that come with a message: what they may be, and what they cost."""

import re
from collections.abc import Mapping
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


MOST_FILES = 10
# Every type that is taken, and how a file shows that it is one.
TYPES: Mapping[str, re.Pattern[bytes]] = {
    name: re.compile(beginning, re.DOTALL)
    for name, beginning in {
        "image/png": rb"\x89PNG\r\n\x1a\n",
        "image/jpeg": rb"\xff\xd8\xff",
        "image/webp": rb"RIFF....WEBP",
        "image/heic": rb"....ftyp(?:heic|heix|hevc|hevx|heim|heis|mif1|msf1)",
        "image/heif": rb"....ftyp(?:heic|heix|mif1|msf1|heif)",
        "application/pdf": rb"%PDF-",
        "audio/wav": rb"RIFF....WAVE",
        "audio/mpeg": rb"ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]",
        "audio/mp3": rb"ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]",
        "audio/aiff": rb"FORM....AIF[FC]",
        "audio/aac": rb"\xff[\xf0\xf1\xf8\xf9]|ADIF",
        "audio/ogg": rb"OggS",
        "audio/flac": rb"fLaC",
        # Anything that is text: see `is_what_it_says`.
        "text/plain": rb"",
    }.items()
}


def is_what_it_says(file: File) -> bool:
    """The bytes are of the type that the file is said to be."""
    if file.media_type == "text/plain":
        return _is_text(file.data)
    return TYPES[file.media_type].match(file.data) is not None


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


# Text: about four bytes a token. Audio: 32 tokens a second of at least 4,000 bytes. PDF: 260 tokens a page and its
# text, on pages of 30,000 bytes and more.
BYTES_PER_TOKEN = {"text": 4, "audio": 125, "application": 100}
