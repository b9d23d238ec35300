"""What the model costs."""

import logging
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Lock
from uuid import UUID

from gemini_core.errors import Unavailable
from gemini_core.model.chat import Usage
from gemini_core.model.ids import UserId
from gemini_core.model.jobs import Lease
from gemini_core.model.replies import ModelCall, ModelFailure, Piece, Prompt, Timeouts
from gemini_core.ports.chat import UsageRepo
from gemini_core.ports.clock import Clock
from gemini_core.ports.replies import LLMClient
from gemini_core.use_cases.jobs import Stop

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MeteredModel:
    """Whatever the provider reports of a call is on record: from its first figure on, and however the call ends.

    The first figure is what the prompt has cost, mostly the greater part: it is on record before its piece is passed
    on, so that a process that dies takes none of it along. It was spent whether or not its reply may be stored. What
    cannot be recorded now is recorded later.
    """

    llm: LLMClient
    usage: UsageRepo
    clock: Clock
    _news: dict[UUID, ModelCall] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def stream(self, prompt: Prompt, lease: Lease, payer: UserId, *, timeouts: Timeouts, stop: Stop) -> Iterator[Piece]:
        """As `LLMClient.stream`. A lease is good for one call."""
        call = ModelCall(id=lease.token, job=lease.id, user=payer, model=prompt.model, began=self.clock.now())
        try:
            # Two generators, so that a call that is left is closed before it is recorded.
            yield from self._heard(call, self.llm.stream(prompt, timeouts=timeouts, stopped=stop))
        finally:
            try:
                stop.insist(lambda: self._record([call.id]))
            except Unavailable:
                log.warning("tokens not on record yet", extra={"call": str(call.id)})

    def record(self) -> None:
        """Put on record what was reported meanwhile; to be called about twice a second. Raises `Unavailable`."""
        self._record(list(self._news))

    def _heard(self, call: ModelCall, pieces: Iterator[Piece]) -> Iterator[Piece]:
        try:
            for piece in pieces:
                call = self._noted(replace(call, model=piece.model or call.model), piece.usage)
                if piece.usage is not None and call.told == 1:
                    with suppress(Unavailable):  # Then it is on record with what comes.
                        self._record([call.id])
                yield piece
        except ModelFailure as failure:
            self._noted(call, failure.usage)
            raise

    def _noted(self, call: ModelCall, usage: Usage | None) -> ModelCall:
        if usage is None:
            return call
        call = replace(call, told=call.told + 1, usage=usage)
        with self._lock:
            self._news[call.id] = call
        return call

    def _record(self, ids: Collection[UUID]) -> None:
        with self._lock:
            calls = [self._news[id] for id in ids if id in self._news]
        try:
            if calls:
                self.usage.record(calls)
        except Unavailable:
            raise
        except Exception:
            # What a store refuses for good must not keep it from the figures of others, nor be told for ever.
            if len(calls) > 1:
                for call in calls:
                    self._record([call.id])
                return
            log.exception("figures refused", extra={"call": str(calls[0].id)})
        with self._lock:
            for call in calls:
                if self._news.get(call.id) is call:
                    del self._news[call.id]
