"""Files in a folder of this machine, or of a disk that several machines share."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from gemini_core.errors import NotFound, Unavailable
from gemini_core.model.ids import ChatroomId, UserId


@dataclass(frozen=True, slots=True)
class FolderAttachments:
    """`AttachmentStore` in a folder, which is made when it is first needed: `<owner>/<room>/<id>`."""

    root: Path

    def put(self, owner: UserId, room: ChatroomId, id: UUID, data: bytes) -> None:
        path = self._path(owner, room, id)
        unfinished = path.with_name(f".{secrets.token_hex(8)}")
        with _translating():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)

    def get(self, owner: UserId, room: ChatroomId, id: UUID) -> bytes:
        with _translating():
            try:
                return self._path(owner, room, id).read_bytes()
            except FileNotFoundError:
                raise NotFound("There is no such file.") from None

    def drop(self, owner: UserId, room: ChatroomId | None = None, id: UUID | None = None) -> None:
        path = self._path(owner, room, id)
        with _translating():
            if id is not None:
                path.unlink(missing_ok=True)
            elif path.exists():
                shutil.rmtree(path)

    def check(self) -> None:
        """Raises `Unavailable` unless files can be kept here. Makes nothing."""
        nearest = next(path for path in (self.root, *self.root.parents) if path.exists())
        if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
            raise Unavailable(f"Files cannot be kept in {self.root}.")

    def _path(self, owner: UserId, room: ChatroomId | None, id: UUID | None) -> Path:
        return self.root.joinpath(*(str(part) for part in (owner, room, id) if part is not None))


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable("Files cannot be kept or read right now.") from error
