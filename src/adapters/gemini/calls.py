"""One call to google-genai, from prompt to pieces. Importing this module imports google-genai."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2
from google import genai
from google.genai import types

from adapters.gemini.event_lines import tidy
from adapters.gemini.failures import failure
from adapters.gemini.translation import translated
from gemini_core.model.chat import Usage
from gemini_core.model.replies import ModelFailure, Piece, Prompt, Turn, storable

_GRACE = 0.5  # seconds that a stream may stay open after its finish reason: figures of usage may still come

_LONGEST_WORD = 200
_MOST_TOKENS = 2**31 - 1  # more than any call has; what is beyond is nonsense

# What is billed: results of tools as prompt, thoughts as output.
_PROMPT = {"prompt_token_count", "tool_use_prompt_token_count"}
_OUTPUT = {"candidates_token_count", "thoughts_token_count"}

_COMPLETE = frozenset({"stop", "max_tokens", "continuation"})
_BLOCKED = (
    "safety recitation language blocklist prohibited_content spii escalation model_armor "
    "image_safety image_prohibited_content image_recitation"
)
_FAILURES = {
    **dict.fromkeys(_BLOCKED.split(), "blocked"),
    "pup_limited_disabled": "provider_misconfigured",
    "missing_thought_signature": "rejected",
}  # any other word, known or new, is `malformed`: asking again may help


class Calls:
    """The process's one google-genai client. Raises ValueError for settings that it refuses."""

    def __init__(self, api_key: str, *, base_url: str, api_version: str) -> None:
        if not (api_key.isascii() and api_key.isprintable()):
            raise ValueError  # the HTTP library would refuse it too, but quote it in its log
        self._secret = api_key
        # Our own HTTP client, because the built-in one lets the 101st stream wait, and follows redirects with the key.
        # No time-outs here: those of a call are kept by whoever waits for it.
        self._http = httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity"},  # a gateway that compresses may hold words back
            timeout=None,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=60.0),
            follow_redirects=False,
            event_hooks={"response": [tidy]},
        )
        self._client = genai.Client(
            vertexai=False,
            api_key=api_key,
            http_options=types.HttpOptions(
                base_url=base_url or None, api_version=api_version or None, httpx_async_client=self._http
            ),
        )
        self._models = self._client.aio.models

    async def relay(self, prompt: Prompt, deliver: Callable[[Piece | ModelFailure], None]) -> None:
        """Asks once and delivers what arrives. A piece with a finish reason or a failure is the last delivery."""
        answer = _Answer()
        try:
            ending = await self._ending(prompt, answer, deliver)
        except Exception as error:  # noqa: BLE001  (whoever waits would wait in vain)
            ending = failure("malformed", f"nothing can be made of it ({type(error).__name__})", usage=answer.usage)
        deliver(ending)

    async def _ending(
        self, prompt: Prompt, answer: "_Answer", deliver: Callable[[Piece], None]
    ) -> Piece | ModelFailure:
        try:
            await self._listen(prompt, answer, deliver)
        except Exception as error:  # noqa: BLE001  (the port: nothing but a ModelFailure leaves a call)
            # An answer that is complete stays so, whatever becomes of its connection.
            if not answer.ended:
                return translated(error, usage=answer.usage, secret=self._secret)
        return answer.ending()

    async def _listen(self, prompt: Prompt, answer: "_Answer", deliver: Callable[[Piece], None]) -> None:
        async with asyncio.timeout(None) as patience:
            chunks = await self._models.generate_content_stream(
                model=prompt.model, contents=[_content(turn) for turn in prompt.turns], config=_config(prompt.system)
            )
            async for chunk in chunks:
                deliver(answer.piece(chunk))
                if answer.ended and patience.when() is None:
                    patience.reschedule(asyncio.get_running_loop().time() + _GRACE)

    async def look_up(self, model: str) -> ModelFailure | None:
        """Why this model cannot be asked, if it cannot."""
        try:
            await self._models.get(model=model)
        except Exception as error:  # noqa: BLE001  (as in `_ending`)
            return translated(error, usage=None, secret=self._secret)
        return None

    async def close(self) -> None:
        """Closes every connection and waits until the calls under way have said so."""
        await self._http.aclose()
        self._client.close()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


@dataclass(slots=True)
class _Answer:
    """What has been heard of one reply. `tokens`: each figure as last told; later chunks may leave it out."""

    tokens: dict[str, int] = field(default_factory=dict)
    model: str = ""
    finish_reason: str = ""
    block_reason: str = ""
    has_candidate: bool = False
    has_text: bool = False

    @property
    def ended(self) -> bool:
        return bool(self.finish_reason or self.block_reason)

    @property
    def usage(self) -> Usage | None:
        return Usage(self._billed(_PROMPT), self._billed(_OUTPUT)) if self.tokens else None

    def _billed(self, figures: set[str]) -> int:
        return min(max(0, sum(self.tokens.get(figure, 0) for figure in figures)), _MOST_TOKENS)

    def piece(self, chunk: types.GenerateContentResponse) -> Piece:
        """Takes a chunk in. Thoughts are no part of a reply; they still show that the provider is alive."""
        if chunk.usage_metadata:
            self.tokens |= chunk.usage_metadata.model_dump(include=_PROMPT | _OUTPUT, exclude_none=True)
        self.model = _word(chunk.model_version or "") or self.model
        if chunk.prompt_feedback and chunk.prompt_feedback.block_reason:
            self.block_reason = _word(chunk.prompt_feedback.block_reason.value).lower()
        text = ""
        if chunk.candidates:
            candidate = chunk.candidates[0]
            self.has_candidate = True
            if candidate.finish_reason:
                self.finish_reason = _word(candidate.finish_reason.value).lower()
            parts = (candidate.content.parts if candidate.content else None) or []
            text = "".join(part.text for part in parts if part.text and not part.thought)
            self.has_text = self.has_text or bool(text.strip())
        return Piece(text, self.usage, model=self.model)

    def ending(self) -> Piece | ModelFailure:
        """What the end of the stream means."""
        if self.block_reason:
            return failure("blocked", "the prompt was blocked", usage=self.usage, reason=self.block_reason)
        if not self.finish_reason:
            code = "unreachable" if self.has_candidate else "malformed"
            return failure(code, "the stream ended without a finish reason", usage=self.usage)
        if self.finish_reason == "stop" and not self.has_text:
            return failure("malformed", "the reply has no text", usage=self.usage)
        if self.finish_reason in _COMPLETE:
            return Piece(usage=self.usage, finish_reason=self.finish_reason, model=self.model)
        code = _FAILURES.get(self.finish_reason, "malformed")
        return failure(code, f"the reply ended with {self.finish_reason}", usage=self.usage, reason=self.finish_reason)


def _config(system: str) -> types.GenerateContentConfig:
    """No sampling or thinking parameter: the model's own defaults hold.

    Both automatisms would send further requests behind our back.
    """
    return types.GenerateContentConfig(
        system_instruction=system or None,
        automatic_continuation=False,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )


def _content(turn: Turn) -> types.Content:
    files = [types.Part(inline_data=types.Blob(mime_type=file.media_type, data=file.data)) for file in turn.attachments]
    words = [types.Part(text=turn.text)] if turn.text else []
    return types.Content(role=turn.role.value, parts=files + words)


def _word(told: str) -> str:
    """A name or a reason, as any store can keep it, whatever was sent for it."""
    return storable(told)[:_LONGEST_WORD]
