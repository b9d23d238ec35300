"""Where the bytes of files are kept: in a bucket, or in a folder of this machine."""

from typing import TYPE_CHECKING

from adapters.local.folder import FolderAttachments
from adapters.settings import Settings

if TYPE_CHECKING:
    from adapters.s3.bucket import S3Attachments


def attachment_store(settings: Settings) -> "FolderAttachments | S3Attachments":
    """Reaches nothing yet."""
    if not settings.attachments_url:
        return FolderAttachments(settings.data_dir.absolute() / "attachments")
    from adapters.s3.bucket import S3Attachments

    return S3Attachments.at(
        settings.attachments_url,
        region=settings.s3_region,
        endpoint=settings.s3_endpoint_url,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
    )
