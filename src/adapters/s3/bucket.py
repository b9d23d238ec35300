"""Files in a bucket of S3, or of whatever speaks its language."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit
from uuid import UUID

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import S3Store

from gemini_core.errors import NotFound, Unavailable
from gemini_core.model.ids import ChatroomId, UserId

if TYPE_CHECKING:  # where alone these names exist
    from obstore.store import S3Config

log = structlog.get_logger()

# For connecting, for one request from its beginning to its end, and for all tries: none begins after that.
CONNECT, REQUEST, TRYING = timedelta(seconds=3), timedelta(seconds=20), timedelta(seconds=10)
TRIES = 3
# S3 lists and deletes so many in one request.
MOST_AT_ONCE = 1000
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")


@dataclass(frozen=True, slots=True)
class S3Attachments:
    """`AttachmentStore` in a bucket, which must be there: `<prefix>/<owner>/<room>/<id>`."""

    bucket: S3Store = field(repr=False)

    @classmethod
    def at(
        cls,
        url: str,
        *,
        region: str,
        endpoint: str = "",
        access_key: str = "",
        secret_key: str = "",
        patience: timedelta = REQUEST,
    ) -> Self:
        """In the bucket of `s3://bucket/prefix`. Without keys: by what AWS itself gives this machine, such as a role.

        Reaches nothing yet.
        """
        where = urlsplit(url)
        config: S3Config = {"region": region}
        if endpoint:
            config["endpoint"] = endpoint
        if access_key:
            config |= {"access_key_id": access_key, "secret_access_key": secret_key}
        return cls(
            S3Store(
                where.netloc,
                prefix=where.path.strip("/") or None,
                config=config,
                client_options={
                    "allow_http": endpoint.startswith("http://"),
                    "connect_timeout": CONNECT,
                    "timeout": patience,
                },
                retry_config={"max_retries": TRIES - 1, "retry_timeout": TRYING},
            )
        )

    def put(self, owner: UserId, room: ChatroomId, id: UUID, data: bytes) -> None:
        with _translating("put"):
            obstore.put(self.bucket, f"{owner}/{room}/{id}", data, use_multipart=False)

    def get(self, owner: UserId, room: ChatroomId, id: UUID) -> bytes:
        with _translating("get"):
            return obstore.get(self.bucket, f"{owner}/{room}/{id}").bytes().to_bytes()

    def drop(self, owner: UserId, room: ChatroomId | None = None, id: UUID | None = None) -> None:
        path = "/".join(str(part) for part in (owner, room, id) if part is not None)
        with _translating("drop"):
            if id is not None:
                obstore.delete(self.bucket, path)
                return
            for found in obstore.list(self.bucket, path, chunk_size=MOST_AT_ONCE):
                obstore.delete(self.bucket, [file["path"] for file in found])

    def check(self) -> None:
        """Raises `Unavailable` unless the bucket is there, and tells what is in it."""
        with _translating("check"):
            next(iter(obstore.list(self.bucket, chunk_size=1)), None)


@contextmanager
def _translating(deed: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        # The driver's words quote the whole answer, and that may quote the access key: only its code goes to the log.
        code = found[1] if (found := _CODE.search(str(error))) else ""
        if isinstance(error, FileNotFoundError) and code != "NoSuchBucket":
            raise NotFound("There is no such file.") from None
        log.warning("bucket failed", deed=deed, error=type(error).__name__, code=code)
        raise Unavailable("Files cannot be kept or read right now.") from None
