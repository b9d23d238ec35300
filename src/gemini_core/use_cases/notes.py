"""Notes about rooms: a title, and what was said in short. Nobody waits for them, and nothing depends on them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from gemini_core.model.chat import Chatroom, Role
from gemini_core.model.context import MOST_TURNS
from gemini_core.model.ids import ChatroomId, JobId, MessageId
from gemini_core.model.jobs import Lease
from gemini_core.model.notes import (
    LONGEST_SUMMARY,
    SUMMARY_INSTRUCTION,
    TITLE_INSTRUCTION,
    exchange_told,
    first_words,
    stretch_told,
    summary_job,
    title_of,
)
from gemini_core.model.replies import ModelFailure, Prompt, Timeouts, Turn, storable
from gemini_core.ports.chat import RoomListCache
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobRepo
from gemini_core.ports.notes import NoteRepo
from gemini_core.use_cases.jobs import Stop
from gemini_core.use_cases.replies.metering import MeteredModel

log = logging.getLogger(__name__)

# Bytes that one summary takes in at the most.
REACH = 128_000


@dataclass(frozen=True, slots=True)
class Scribe:
    """A model that writes notes. `name` empty: the room's own; None: no model does."""

    model: MeteredModel
    name: str | None = None
    timeouts: Timeouts = Timeouts(first=20, between=20, total=60)

    def write(self, instruction: str, told: str, room: Chatroom, lease: Lease, stop: Stop) -> str:
        """The text; empty where there is no model, or it fails, or was stopped."""
        if self.name is None:
            return ""
        prompt, parts, whole = Prompt(self.name or room.model, instruction, (Turn(Role.USER, told),)), [], False
        try:
            for piece in self.model.stream(prompt, lease, room.user_id, timeouts=self.timeouts, stop=stop):
                whole = piece.finish_reason == "stop"
                parts.append(piece.text)
        except ModelFailure as failure:
            whole = False
            log.warning("no note written", extra={"code": failure.error.code, "why": failure.operator_detail})
        return storable("".join(parts)).strip() if whole else ""


@dataclass(frozen=True, slots=True)
class MakeTitle:
    """A room's first exchange gives it a title, or else the user's first words do; never over one the user set."""

    notes: NoteRepo
    jobs: JobRepo
    scribe: Scribe
    cache: RoomListCache

    def work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
        """One call to the scribe, and one transaction."""
        room = ChatroomId(UUID(lease.args["room"]))
        exchange = self.notes.exchange(room)
        if exchange is None:
            return self.jobs.finish(lease) or ()
        text = self.scribe.write(TITLE_INSTRUCTION, exchange_told(exchange), exchange.room, lease, stop)
        if stop.handing_back and not text:
            return self.jobs.put_back(lease, after=timedelta(0), failed=False) or ()
        title = title_of(text) or first_words(exchange.said)
        with self.cache.changing(exchange.room.user_id):
            self.notes.set_title(lease, room, title)
        return ()

    def give_up(self, lease: Lease, error: str) -> Sequence[JobId]:
        """The next reply in the room asks for a title again."""
        log.error("no title made", extra={"room": lease.args.get("room"), "error": error})
        return self.jobs.finish(lease) or ()


@dataclass(frozen=True, slots=True)
class SumUp:
    """What a conversation's prompt has no room for any more is kept in short, a stretch at a time."""

    notes: NoteRepo
    jobs: JobRepo
    scribe: Scribe
    clock: Clock

    def work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
        """One stretch; if there is more, another promise follows."""
        room, upto = ChatroomId(UUID(lease.args["room"])), MessageId(UUID(lease.args["upto"]))
        stretch = self.notes.stretch(room, upto, turns=MOST_TURNS, reach=REACH)
        if stretch is None:
            return self.jobs.finish(lease) or ()
        text = self.scribe.write(SUMMARY_INSTRUCTION, stretch_told(stretch), stretch.room, lease, stop)
        if stop.handing_back and not text:
            return self.jobs.put_back(lease, after=timedelta(0), failed=False) or ()
        so_far = stretch.turns[-1].id
        # Without a text there is nothing to go on from: a later reply asks for a summary again.
        then = [summary_job(room, upto, lease)] if text and so_far < upto else []
        return self.notes.keep_summary(lease, room, so_far, text[:LONGEST_SUMMARY], now=self.clock.now(), then=then)

    def give_up(self, lease: Lease, error: str) -> Sequence[JobId]:
        """A later reply in the room asks for a summary again; older turns are left out meanwhile."""
        log.error("not summed up", extra={"room": lease.args.get("room"), "error": error})
        return self.jobs.finish(lease) or ()
