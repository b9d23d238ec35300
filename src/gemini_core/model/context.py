"""What the model is told of a conversation, and what of it is told in short.

A prompt begins alike from turn to turn, because providers charge less for a beginning that they have seen: the summary
changes rarely, and what does not fit is left out in large steps.
"""

from collections.abc import Callable, Sequence
from math import ceil

from gemini_core.model.attachments import File
from gemini_core.model.chat import Message, Role, Status
from gemini_core.model.ids import MessageId
from gemini_core.model.replies import Conversation, Prompt, Turn

# More turns than this are never told at once.
MOST_TURNS = 400
# About so many, of UTF-8.
BYTES_PER_TOKEN = 4
# Whatever the system instruction takes, so much is left for what was said.
LEAST = 1_000
# Parts of the budget: a summary is due when the turns since the last one take FULL, and leaves KEPT as it was said.
FULL, KEPT = 3 / 4, 1 / 4
# Bytes of files in one request: providers take about 20 MB, in base64.
FILE_BYTES = 12_000_000
# Turns that do not fit are left out in steps of this part.
STEP = 1 / 4


def no_files(_: Message) -> tuple[File, ...]:
    """For prompts of words alone."""
    return ()


def prompt_for(
    conversation: Conversation,
    *,
    model: str,
    context_tokens: int,
    files: Callable[[Message], tuple[File, ...]] = no_files,
) -> Prompt:
    """The room's instruction, what was said earlier in short, then as many of the latest turns as fit.

    A reply that failed is never part of it, nor the words that the model refused to answer; what a cancelled reply
    had said is. Files of earlier turns are left out where a request would become too large with them.
    """
    turns = fitting(spoken(conversation.turns), budget(conversation, context_tokens))
    told, bytes_left = [], FILE_BYTES
    for turn in reversed(turns):
        bytes_left -= sum(attachment.size for attachment in turn.attachments)
        told.append(Turn(turn.role, turn.content, files(turn) if bytes_left >= 0 else ()))
    return Prompt(model, system_for(conversation), tuple(reversed(told)))


def system_for(conversation: Conversation) -> str:
    """The room's instruction, and the summary."""
    summary = conversation.summary and f"Earlier in this conversation, in short:\n{conversation.summary}"
    return "\n\n".join(part for part in (conversation.room.system_instruction, summary) if part)


def budget(conversation: Conversation, context_tokens: int) -> int:
    """What is left for turns."""
    return max(context_tokens - estimated_tokens(system_for(conversation)), LEAST)


def spoken(turns: Sequence[Message]) -> list[Message]:
    """The turns that are part of the conversation for the model."""
    blocked = {turn.reply_to for turn in turns if turn.error is not None and turn.error.code == "blocked"}
    return [
        turn
        for turn in turns
        if turn.content and turn.status in (Status.COMPLETE, Status.CANCELLED) and turn.id not in blocked
    ]


def fitting(turns: Sequence[Message], tokens: int) -> Sequence[Message]:
    """The latest turns that fit, and always the last one. The first is the user's: the provider wants it so."""
    sizes = [size_of(turn) for turn in turns]
    step = max(int(tokens * STEP), 1)
    too_much = ceil(max(sum(sizes) - tokens, 0) / step) * step
    first = gone = 0
    while first < len(turns) - 1 and (gone < too_much or turns[first].role is not Role.USER):
        gone += sizes[first]
        first += 1
    return turns[first:]


def due_for_summary(conversation: Conversation, context_tokens: int) -> MessageId | None:
    """The turn up to and with which the conversation should be summed up; None while there is room enough."""
    turns, tokens = spoken(conversation.turns), budget(conversation, context_tokens)
    if sum(size_of(turn) for turn in turns) <= tokens * FULL:
        return None
    kept = 0
    for earlier, turn in zip(turns[-2::-1], turns[:0:-1], strict=True):
        kept += size_of(turn)
        if kept >= tokens * KEPT and turn.role is Role.USER:
            return earlier.id
    return None


def size_of(turn: Message) -> int:
    """About how many tokens a turn takes, with its files."""
    return estimated_tokens(turn.content) + sum(attachment.tokens for attachment in turn.attachments)


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has, and a few for the turn itself."""
    return len(text.encode()) // BYTES_PER_TOKEN + 4
