"""Replies, followed event by event."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import falcon

from adapters.http import events
from adapters.http.chat.answers import message_answer, tell_sent
from adapters.http.events import Event
from adapters.http.shares import Shares
from gemini_core.core.chat import ChatVerbs
from gemini_core.errors import NotFound, RateLimited, Unavailable
from gemini_core.model.accounts.people import Caller
from gemini_core.model.chat import Sent
from gemini_core.model.ids import ChatroomId, MessageId
from gemini_core.model.replies import ReplyEvent


class Streams:
    """Answers with a reply's events."""

    def __init__(self, core: ChatVerbs, stopping: threading.Event, followed: Shares) -> None:
        self._core = core
        self._stopping = stopping
        self._followed = followed

    def tell_sent(self, req: falcon.Request, resp: falcon.Response, caller: Caller, sent: Sent) -> None:
        """An accepted message; with its reply's events at once, where the client asked for them."""
        tell_sent(resp, sent)
        if events.wanted(req):
            # Accepted it is. Whoever cannot follow it now reads it later: they follow too many replies already, or the
            # store has gone away since, or the room.
            with suppress(RateLimited, Unavailable, NotFound):
                self.send(req, resp, caller, sent.reply.chatroom_id, sent.reply.id)

    def send(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        caller: Caller,
        room: ChatroomId,
        reply: MessageId,
        *,
        after: str = "",
    ) -> None:
        """The events of `reply` after the event `after`.

        Raises `NotFound` for a message that is no reply, `RateLimited` where the caller follows too many already.
        """
        with self._followed.one(caller.user_id) as share:
            happening = self._core.follow_reply(caller.user_id, room, reply, after=after)
            resp.status = falcon.HTTP_200
            resp.data = None
            events.send(req, resp, self._events(happening), self._stopping, share.pop_all())

    def _events(self, happening: Iterator[ReplyEvent | None]) -> Iterator[Event | None]:
        try:
            for event in happening:
                yield None if event is None else self._event(event)
        except NotFound:
            return  # The room was deleted under the reader: there is nothing more to come.

    def _event(self, event: ReplyEvent) -> Event:
        if event.message is not None:
            return Event(str(event.at), event.kind, message_answer(event.message))
        return Event(str(event.at), event.kind, {"text": event.text} if event.text else {})
