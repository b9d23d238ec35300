"""Files that came with messages."""

from uuid import UUID

import falcon

from adapters.http.auth import caller
from adapters.http.chat.answers import MESSAGE_ID, ROOM_ID
from adapters.http.describing import Parameter, Raw, describe
from gemini_core.core.chat import ChatVerbs
from gemini_core.model.ids import ChatroomId, MessageId

# How a file's name ends, where that is not the second half of its type.
ENDINGS = {"text/plain": "txt", "audio/mpeg": "mp3"}
ATTACHMENT_ID = Parameter("attachment_id", "One of the message's `attachments`.", UUID)


class OneAttachment:
    """One file of a message."""

    def __init__(self, core: ChatVerbs) -> None:
        self._core = core

    @describe(
        "A file of a message",
        answers={200: Raw("*/*", "The file, byte for byte, as the media type that the message tells.")},
        path=(ROOM_ID, MESSAGE_ID, ATTACHMENT_ID),
        answer_headers={"Content-Disposition": "To be saved, and never shown as a page of ours."},
        problems=("not-found",),
    )
    def on_get(
        self, req: falcon.Request, resp: falcon.Response, room_id: UUID, message_id: UUID, attachment_id: UUID
    ) -> None:
        """For its owner alone, and only to be saved: it is what somebody sent, not what we say."""
        file = self._core.read_attachment(
            caller(req).user_id, ChatroomId(room_id), MessageId(message_id), attachment_id
        )
        ending = ENDINGS.get(file.media_type) or file.media_type.partition("/")[2]
        resp.content_type = file.media_type
        resp.set_header("Content-Disposition", f'attachment; filename="{attachment_id}.{ending}"')
        resp.set_header("Cache-Control", "private, no-store")
        resp.data = file.data
