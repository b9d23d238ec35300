"""How a reply is made."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from gemini_core.model.billing.plans import Plan, Plans
from gemini_core.model.chat import ReplyError, Status, Usage
from gemini_core.model.context import BYTES_PER_TOKEN, MOST_TURNS, due_for_summary, prompt_for
from gemini_core.model.events import NOBODY, Audience, reply_ended
from gemini_core.model.ids import JobId, MessageId, UserId
from gemini_core.model.jobs import LEAST, Backoff, Lease, NewJob
from gemini_core.model.notes import summary_job, title_job
from gemini_core.model.replies import Answer, Conversation, ModelFailure, Timeouts, storable
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobRepo
from gemini_core.ports.replies import ReplyFeed, ReplyRepo
from gemini_core.use_cases.chat.attachments import Attachments
from gemini_core.use_cases.jobs import Stop
from gemini_core.use_cases.replies.metering import MeteredModel

log = logging.getLogger(__name__)
BROKEN_OFF = ReplyError("unreachable", "The model broke off before it had answered. Please try again.", retryable=True)
BROKEN = ReplyError("internal", "Something went wrong on our side. Please try again.", retryable=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """How the model is asked: which one steps in when the room's own is overloaded, how long, how often.

    `default`: answers where the plan does not have the room's own model (any more); the plan's first one, where it does
    not have that either.
    `scribe`: which one writes titles and summaries; empty: the room's own; None: none does. `input_tokens`: what a
    prompt may have at the most, whatever the plan allows.
    """

    fallback: str = ""
    default: str = ""
    scribe: str | None = None
    input_tokens: int = 1_000_000
    timeouts: Timeouts = Timeouts()
    backoff: Backoff = Backoff()

    def model_for(self, lease: Lease, wanted: str, plan: Plan) -> str:
        """The model for this try."""
        if self.fallback and lease.last_error == "overloaded":
            return self.fallback
        return plan.model_or(wanted, self.default)


@dataclass(slots=True)
class _Draft:
    """What has arrived of a reply in this attempt. `model`: who was asked, then who says to be answering."""

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
    model: MeteredModel
    feed: ReplyFeed
    plans: Plans
    attachments: Attachments
    clock: Clock
    choice: ModelChoice = ModelChoice()
    audience: Audience = NOBODY

    def work(self, lease: Lease, stop: Stop) -> Sequence[JobId]:
        """One try. No transaction is open while the model thinks."""
        reach = BYTES_PER_TOKEN * max(self._tokens(plan) for plan in self.plans)
        conversation = self.replies.begin(lease, history=MOST_TURNS, reach=reach)
        if conversation is None:  # The room is gone, or the lease is: then this finishes nothing.
            return self.jobs.finish(lease) or ()
        user, plan = conversation.user_id, self.plans.named(conversation.plan)
        draft = _Draft(self.choice.model_for(lease, conversation.room.model, plan))
        if lease.cancelled or conversation.reply.superseded:
            return self._finish(user, lease, _cancelled(draft), stop)
        try:
            self._listen(conversation, lease, stop, draft)
        except ModelFailure as failure:
            return self._failed(user, lease, failure, draft, stop)
        if draft.finish_reason is not None:
            return self._finish(user, lease, _complete(draft), stop, self._notes(conversation, lease))
        if stop.handing_back:
            return self._another_try(user, lease, draft, stop, after=timedelta(0), failed=False)
        return self._finish(user, lease, _cancelled(draft), stop)

    def give_up(self, lease: Lease, error: str) -> Sequence[JobId]:
        """A bug or a poisonous message: the reply fails, and the operator reads why in the log."""
        log.error("reply given up", extra={"reply_id": str(lease.id), "error": error})
        failed = Answer(status=Status.FAILED, error=BROKEN, give_back=True)
        now, owner = self.clock.now(), self.replies.owner(lease)
        news = self._news(owner, lease, failed) if owner else ()
        return self._told(lease, self.replies.finish(lease, failed, now=now, then=news))

    def _listen(self, conversation: Conversation, lease: Lease, stop: Stop, draft: _Draft) -> None:
        files, tokens = partial(self.attachments.of, conversation.user_id), self._tokens(conversation.plan)
        prompt = prompt_for(conversation, model=draft.model, context_tokens=tokens, files=files)
        timeouts, payer = self._timeouts(lease), conversation.user_id
        for piece in self.model.stream(prompt, lease, payer, timeouts=timeouts, stop=stop):
            draft.model = piece.model or draft.model
            draft.usage = piece.usage or draft.usage
            draft.finish_reason = piece.finish_reason or draft.finish_reason
            if text := storable(piece.text):
                self.feed.append(MessageId(lease.id), lease.attempt, draft.characters, text)
                draft.parts.append(text)
                draft.characters += len(text)
        if draft.finish_reason is None and not stop():
            raise ModelFailure(BROKEN_OFF, operator_detail="ended without a finish reason")

    def _tokens(self, plan: str) -> int:
        return min(self.plans.named(plan).context_tokens, self.choice.input_tokens)

    def _notes(self, conversation: Conversation, lease: Lease) -> list[NewJob]:
        """What is to be noted about the room now that it has this reply."""
        room, notes = conversation.room, []
        if not room.title:
            notes.append(title_job(room.id, lease))
        upto = due_for_summary(conversation, self._tokens(conversation.plan))
        if upto is not None and self.choice.scribe is not None:
            notes.append(summary_job(room.id, upto, lease))
        return notes

    def _timeouts(self, lease: Lease) -> Timeouts:
        """What failures have left of the total time; after none, also of another worker's, it is all there."""
        limits = self.choice.timeouts
        if not lease.failures:
            return limits
        spent = (self.clock.now() - lease.trying_since).total_seconds()
        return replace(limits, total=max(limits.total - spent, LEAST))

    def _failed(self, user: UserId, lease: Lease, failure: ModelFailure, draft: _Draft, stop: Stop) -> Sequence[JobId]:
        error = failure.error
        level = logging.ERROR if error.code == "provider_misconfigured" else logging.WARNING
        log.log(level, "model failed", extra={"code": error.code, "model": draft.model, "why": failure.operator_detail})
        draft.usage = failure.usage or draft.usage
        pause = self._pause(lease, failure)
        if pause is not None and stop.unwanted:
            return self._finish(user, lease, _cancelled(draft), stop)
        if pause is not None:
            again = timedelta(seconds=pause)
            return self._another_try(user, lease, draft, stop, after=again, failed=True, error=error.code)
        return self._finish(
            user,
            lease,
            Answer(
                status=Status.FAILED,
                model=draft.model,
                finish_reason=failure.reason,
                error=error,
                usage=draft.usage,
                give_back=True,
            ),
            stop,
        )

    def _another_try(
        self, user: UserId, lease: Lease, draft: _Draft, stop: Stop, *, after: timedelta, failed: bool, error: str = ""
    ) -> Sequence[JobId]:
        """Later; but if somebody has asked to stop, of which this worker has not heard yet, that is what is done."""

        def put_back() -> Sequence[JobId] | None:
            return self.jobs.put_back(lease, after=after, failed=failed, error=error, if_wanted=True)

        nudge = stop.insist(put_back)
        return self._finish(user, lease, _cancelled(draft), stop) if nudge is None else nudge

    def _pause(self, lease: Lease, failure: ModelFailure) -> float | None:
        """Seconds until the next try; None for no further one."""
        if not failure.error.retryable:
            return None
        tried_for = (self.clock.now() - lease.trying_since).total_seconds()
        pause = self.choice.backoff.pause(lease.failures + 1, tried_for, failure.retry_after)
        steps_in = self.choice.fallback and failure.error.code == "overloaded" and lease.last_error != "overloaded"
        return 0.0 if pause is not None and steps_in else pause

    def _finish(
        self, user: UserId, lease: Lease, answer: Answer, stop: Stop, notes: Sequence[NewJob] = ()
    ) -> Sequence[JobId]:
        now, then = self.clock.now, (*notes, *self._news(user, lease, answer))
        return self._told(lease, stop.insist(lambda: self.replies.finish(lease, answer, now=now(), then=then)))

    def _news(self, user: UserId, lease: Lease, answer: Answer) -> Sequence[NewJob]:
        """What others are to be told of it."""
        return self.audience.promises(reply_ended(user, lease, answer, self.clock.now()), lease.request_id)

    def _told(self, lease: Lease, nudge: Sequence[JobId] | None) -> Sequence[JobId]:
        """Followers look at the store from now on, unless another worker makes the reply."""
        if nudge is None:
            log.info("lease lost, nothing stored", extra={"reply_id": str(lease.id)})
            if self.replies.owner(lease) is not None:
                return ()
            self.feed.forget(MessageId(lease.id))
        self.feed.end(MessageId(lease.id))
        return nudge or ()


def _complete(draft: _Draft) -> Answer:
    return Answer(
        status=Status.COMPLETE,
        content=draft.text,
        model=draft.model,
        finish_reason=draft.finish_reason,
        usage=draft.usage,
    )


def _cancelled(draft: _Draft) -> Answer:
    return Answer(
        status=Status.CANCELLED,
        content=draft.text,
        model=draft.model if draft.parts else "",
        usage=draft.usage,
        give_back=not draft.parts,
    )
