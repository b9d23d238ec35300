"""How a reply is made: what the model is asked, what comes back, and where a follower of it is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from gemini_core.model.attachments import File
from gemini_core.model.chat import Chatroom, Message, ReplyError, Role, Status, Usage
from gemini_core.model.ids import JobId, UserId

REPLY_JOB = "reply"
# How long the log of a reply is kept at the most, from its last entry: long enough for any resumption; afterwards the
# stored text serves.
FEED_LIVES = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """All that a reply is made from. `turns`: the current conversation before the reply, oldest first.

    `summary`: what came before these turns in short; empty where there is none.
    """

    user_id: UserId
    room: Chatroom
    plan: str
    reply: Message
    turns: tuple[Message, ...]
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a reply ends. `usage`: of this try, also when it failed; `give_back`: the unit of the day returns."""

    status: Status
    content: str = ""
    model: str = ""
    finish_reason: str | None = None
    error: ReplyError | None = None
    usage: Usage | None = None
    give_back: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader of a reply is: so many characters into an attempt. Written as `<attempt>:<characters>`."""

    attempt: int = 0
    characters: int = 0

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """The position; None if the text is not one."""
        attempt, _, characters = text.partition(":")
        if not (text.isascii() and attempt.isdigit() and characters.isdigit() and len(text) <= 24):
            return None
        return cls(int(attempt), int(characters))

    def __str__(self) -> str:
        return f"{self.attempt}:{self.characters}"


class ReplyEventKind(StrEnum):
    """What can happen to one who follows a reply. After `done`, `failed` or `cancelled` nothing comes."""

    DELTA = "delta"
    RESET = "reset"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ReplyEvent:
    """`text` with a delta; `message` with the last event. `at`: where the follower is after this event."""

    kind: ReplyEventKind
    at: Position
    text: str = ""
    message: "Message | None" = None


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """Text that begins `start` characters into an attempt; `end` with no text: the reply is final in the store."""

    attempt: int
    start: int
    text: str
    end: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One side's words in a prompt."""

    role: Role
    text: str
    attachments: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """All that the model is asked with. `system` empty: none. The last turn is the user's."""

    model: str
    system: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a call to the model may take, in seconds: to the first piece, between pieces, in all."""

    first: float = 30.0
    between: float = 30.0
    total: float = 150.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a reply as it arrives.

    `usage` is cumulative: a later piece's figure replaces an earlier one. The piece with a `finish_reason` is the last
    one: `stop` where the model has said all it had to say, whatever its provider calls that, else the provider's word
    in lower case (`max_tokens`). `model`: who speaks, where the provider says so; it need not be the one that was asked
    for (an alias, a demo).
    """

    text: str = ""
    usage: Usage | None = None
    finish_reason: str | None = None
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """What one call to the model has cost so far, whatever becomes of its answer.

    `id`: of the lease under which it was made. `job`: what it was made for; a reply's job has the reply's id.
    `model`: who answers, or was asked. `told`: how often the provider has told figures; the latest ones hold, and count
    for the day on which the call `began`.
    """

    id: UUID
    job: JobId
    user: UserId
    model: str
    began: datetime
    told: int = 0
    usage: Usage = Usage()


def storable(text: str) -> str:
    """What a model wrote, without what no store holds and no reader misses: NUL, and half a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode()


class ModelFailure(Exception):
    """One call to the model failed; the core decides what follows.

    `error.code` is one of `overloaded` (429, 503 and the like), `timeout`, `unreachable` (connection refused, dropped,
    stream ended early), `malformed` (no candidate, broken chunk), `blocked` (prompt or reply; `reason` is the
    provider's word in lower case, e.g. `safety`), `provider_misconfigured` (wrong key, unknown model), `rejected`
    (the provider calls the request itself wrong). `retry_after`: seconds the provider asked to wait, if it did.
    `usage`: what was billed all the same, if known. `operator_detail` is for the log and never for the user; no key
    is in it.
    """

    def __init__(
        self,
        error: ReplyError,
        *,
        retry_after: float | None = None,
        usage: Usage | None = None,
        reason: str | None = None,
        operator_detail: str = "",
    ) -> None:
        super().__init__(f"{error.code}: {operator_detail or error.message}")
        self.error = error
        self.retry_after = retry_after
        self.usage = usage
        self.reason = reason
        self.operator_detail = operator_detail
