"""The phone of development."""

from falcon import Request, Response
from msgspec import Struct

from adapters.http import bodies
from adapters.http.describing import Moment, describe
from gemini_core.ports.accounts.codes import Inbox


class InboxMessage(Struct):
    """What would have gone to a phone."""

    at: Moment
    mobile_number: str
    text: str


class InboxAnswer(Struct):
    """Newest first."""

    items: list[InboxMessage]


class DevelopmentInbox:
    """The phone of development. There is no such path anywhere else."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    @describe('What was "sent"', answers={200: InboxAnswer}, signed_in=False)
    def on_get(self, _req: Request, resp: Response) -> None:
        """The codes and notices of development, newest first."""
        resp.data = bodies.write({"items": self._inbox.messages()})
