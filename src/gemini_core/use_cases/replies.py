"""How a reply is made, and how people follow it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from gemini_core.errors import NotFound
from gemini_core.model.billing import Plans
from gemini_core.model.chat import (
    Answer,
    Conversation,
    FeedEvent,
    Message,
    ModelFailure,
    Position,
    ReplyError,
    ReplyEvent,
    ReplyEventKind,
    Role,
    Status,
    Timeouts,
    Usage,
    prompt_for,
)
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId
from gemini_core.model.jobs import Backoff, Lease
from gemini_core.ports.chat import LLMClient, MessageRepo, ReplyFeed, ReplyRepo
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobRepo
from gemini_core.use_cases.jobs import Stop

log = logging.getLogger(__name__)

# More turns than this never fit any model's budget.
MOST_TURNS = 400
BROKEN = ReplyError("internal", "Something went wrong on our side. Please try again.", retryable=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """How the model is asked: which one steps in when the room's own is overloaded, how long, how often."""

    fallback: str = ""
    timeouts: Timeouts = Timeouts()
    backoff: Backoff = Backoff()

    def model_for(self, lease: Lease, wanted: str) -> str:
        """The model for this try."""
        return self.fallback if self.fallback and lease.last_error == "overloaded" else wanted


@dataclass(slots=True)
class _Draft:
    """What has arrived of a reply in this attempt."""

    model: str
    parts: list[str] = field(default_factory=list)
    characters: int = 0
    usage: Usage | None = None
    finish_reason: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.parts)


@dataclass(frozen=True, slots=True)
class AnswerMessage:
    """The model answers a message once: its words are the reply, and its errors are a status and never words."""

    replies: ReplyRepo
    jobs: JobRepo
    llm: LLMClient
    feed: ReplyFeed
    plans: Plans
    clock: Clock
    choice: ModelChoice = ModelChoice()

    def work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
        """One try. No transaction is open while the model thinks."""
        conversation = self.replies.begin(lease, history=MOST_TURNS)
        if conversation is None:  # The room is gone, or the lease is: then this finishes nothing.
            return self.jobs.finish(lease) or ()
        draft = _Draft(self.choice.model_for(lease, conversation.room.model))
        if lease.cancelled:
            return self._finish(lease, _cancelled(draft))
        try:
            self._listen(conversation, lease, stop, draft)
        except ModelFailure as failure:
            return self._failed(lease, failure, draft)
        if draft.finish_reason is not None:
            return self._finish(lease, _complete(draft))
        if stop.handing_back:
            self.jobs.put_back(lease, after=timedelta(0), failed=False)
            return (lease.id,)
        return self._finish(lease, _cancelled(draft))

    def give_up(self, lease: Lease, error: str) -> Sequence[JobId]:
        """A bug or a poisonous message: the reply fails, and the operator reads why in the log."""
        log.error("reply given up", extra={"reply_id": str(lease.id), "error": error})
        return self._finish(lease, Answer(status=Status.FAILED, error=BROKEN, give_back=True))

    def _listen(self, conversation: Conversation, lease: Lease, stop: Stop, draft: _Draft) -> None:
        plan = self.plans.named(conversation.plan)
        prompt = prompt_for(conversation, model=draft.model, context_tokens=plan.context_tokens)
        for piece in self.llm.stream(prompt, timeouts=self._timeouts(lease), stopped=stop):
            draft.usage = piece.usage or draft.usage
            draft.finish_reason = piece.finish_reason or draft.finish_reason
            if text := _storable(piece.text):
                self.feed.append(MessageId(lease.id), lease.attempt, draft.characters, text)
                draft.parts.append(text)
                draft.characters += len(text)
            if stop():
                break

    def _timeouts(self, lease: Lease) -> Timeouts:
        """What is left of the total time, but always time for a try."""
        limits = self.choice.timeouts
        spent = (self.clock.now() - lease.trying_since).total_seconds()
        return Timeouts(limits.first, limits.between, max(limits.total - spent, limits.first))

    def _failed(self, lease: Lease, failure: ModelFailure, draft: _Draft) -> Sequence[JobId]:
        error, now = failure.error, self.clock.now()
        billed = failure.usage or draft.usage
        level = logging.ERROR if error.code == "provider_misconfigured" else logging.WARNING
        log.log(level, "model failed", extra={"code": error.code, "model": draft.model, "why": failure.operator_detail})
        pause = self._pause(lease, failure)
        if pause is not None:
            again = timedelta(seconds=pause)
            self.replies.try_again(lease, after=again, error=error.code, billed=billed, model=draft.model, now=now)
            return () if pause else (lease.id,)
        return self._finish(
            lease,
            Answer(
                status=Status.FAILED,
                model=draft.model,
                finish_reason=failure.reason,
                error=error,
                billed=billed,
                give_back=True,
            ),
        )

    def _pause(self, lease: Lease, failure: ModelFailure) -> float | None:
        """Seconds until the next try; None for no further one."""
        if not failure.error.retryable:
            return None
        tried_for = (self.clock.now() - lease.trying_since).total_seconds()
        pause = self.choice.backoff.pause(lease.failures + 1, tried_for, failure.retry_after)
        steps_in = self.choice.fallback and failure.error.code == "overloaded" and lease.last_error != "overloaded"
        return 0.0 if pause is not None and steps_in else pause

    def _finish(self, lease: Lease, answer: Answer) -> Sequence[JobId]:
        nudge = self.replies.finish(lease, answer, now=self.clock.now())
        if nudge is None:
            log.info("lease lost, nothing stored", extra={"reply_id": str(lease.id)})
            return ()
        self.feed.end(MessageId(lease.id))
        return nudge


@dataclass(frozen=True, slots=True)
class FollowReply:
    """Whoever follows a reply gets all of its text once, from wherever they were, while it is made and after."""

    messages: MessageRepo
    feed: ReplyFeed

    def __call__(
        self, reader: UserId, room: ChatroomId, reply: MessageId, *, after: str = "", patience: float = 1.0
    ) -> Iterator[ReplyEvent | None]:
        """Events up to the last one; None about every `patience` seconds in which nothing happened.

        `after`: the position of the last event seen; one that this reply never had starts anew with a reset. Raises
        `NotFound` at once (also for a message that is no reply), `Unavailable` while both store and log are away.
        """
        message = self.messages.show(reader, room, reply)
        if message.role is not Role.MODEL:
            raise NotFound("There is no such reply.")
        return _Following(self, reader, message, patience).events(after)


@dataclass(slots=True)
class _Following:
    """One follower's way through a reply."""

    ports: FollowReply
    reader: UserId
    message: Message
    patience: float
    at: Position = Position()

    def events(self, after: str) -> Iterator[ReplyEvent | None]:
        seen = Position.parse(after) if after else Position()
        if seen is None or seen.attempt > self.message.attempt:
            yield self._reset(0)
        else:
            self.at = seen
        if not self.message.status.final:
            backlog = True
            for news in self.ports.feed.follow(self.message.id, patience=self.patience):
                if backlog:
                    backlog, news = False, _latest_attempt(news)
                    if self._beyond(news):
                        yield self._reset(self.at.attempt)
                for event in news:
                    yield from self._told(event)
                if self._final(news):
                    break
                if not news:
                    yield None
        yield from self._rest()

    def _final(self, news: Sequence[FeedEvent]) -> bool:
        """The reply is final; asked of the store when the log says so, or says nothing."""
        if not news or news[-1].end:
            self.message = self.ports.messages.show(self.reader, self.message.chatroom_id, self.message.id)
        return self.message.status.final

    def _beyond(self, log: Sequence[FeedEvent]) -> bool:
        """The follower claims to have seen more of this attempt than there is."""
        ends = [event.start + len(event.text) for event in log if event.attempt == self.at.attempt]
        return bool(ends) and max(ends) < self.at.characters

    def _told(self, event: FeedEvent) -> Iterator[ReplyEvent]:
        """What the log adds to what was seen. Where the log has lost something, wait for the store."""
        if event.end or event.attempt < self.at.attempt:
            return
        if event.attempt > self.at.attempt:
            if self.at.characters:
                yield self._reset(event.attempt)
            self.at = Position(event.attempt, 0)
        if event.start <= self.at.characters < event.start + len(event.text):
            yield self._delta(event.text[self.at.characters - event.start :])

    def _rest(self) -> Iterator[ReplyEvent]:
        """The reply is final: the stored text serves the same positions."""
        text = self.message.content
        if self.at.characters > len(text) or (self.at.characters and self.at.attempt != self.message.attempt):
            yield self._reset(self.message.attempt)
        self.at = Position(self.message.attempt, self.at.characters)
        if len(text) > self.at.characters:
            yield self._delta(text[self.at.characters :])
        kind = _LAST[self.message.status]
        yield ReplyEvent(kind, self.at, message=self.message)

    def _delta(self, text: str) -> ReplyEvent:
        self.at = Position(self.at.attempt, self.at.characters + len(text))
        return ReplyEvent(ReplyEventKind.DELTA, self.at, text)

    def _reset(self, attempt: int) -> ReplyEvent:
        self.at = Position(attempt, 0)
        return ReplyEvent(ReplyEventKind.RESET, self.at)


def _latest_attempt(log: Sequence[FeedEvent]) -> Sequence[FeedEvent]:
    """Nobody needs to see an attempt that was given up before they came."""
    latest = max((event.attempt for event in log), default=0)
    return [event for event in log if event.end or event.attempt == latest]


_LAST = {
    Status.COMPLETE: ReplyEventKind.DONE,
    Status.FAILED: ReplyEventKind.FAILED,
    Status.CANCELLED: ReplyEventKind.CANCELLED,
}


def _complete(draft: _Draft) -> Answer:
    return Answer(
        status=Status.COMPLETE,
        content=draft.text,
        model=draft.model,
        finish_reason=draft.finish_reason,
        billed=draft.usage,
    )


def _cancelled(draft: _Draft) -> Answer:
    return Answer(
        status=Status.CANCELLED,
        content=draft.text,
        model=draft.model if draft.parts else "",
        billed=draft.usage,
        give_back=not draft.parts,
    )


def _storable(text: str) -> str:
    """No store holds NUL or half a surrogate pair, and no reader misses them."""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode()
