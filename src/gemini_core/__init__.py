"""The core of a chat backend for Gemini: accounts, chat, billing and jobs, in the standard library alone.

`build(ports, policy)` makes a `Core`, `build_chat(…)` a `ChatCore`; every verb is one of its fields. Beside them are
the words that a program needs to call verbs, to hear of events, and to bring its own model or store of files. What
other ports need is where they are: `gemini_core.ports` and `gemini_core.model`, by topic.
"""

from gemini_core.core import (
    AccountPorts,
    BillingPorts,
    BillingRules,
    ChatCore,
    ChatPorts,
    ChatRules,
    Core,
    EventPorts,
    JobPorts,
    JobRules,
    OnEvent,
    PeriodicTask,
    Policy,
    Ports,
    build,
    build_chat,
)
from gemini_core.errors import (
    Conflict,
    Failure,
    FieldError,
    Forbidden,
    Invalid,
    LimitReached,
    NotFound,
    RateLimited,
    Refused,
    Unauthenticated,
    Unavailable,
)
from gemini_core.model.accounts.policy import AccountPolicy
from gemini_core.model.attachments import File
from gemini_core.model.billing.plans import BASIC, PRO, Plan, Plans
from gemini_core.model.chat import ReplyError, Role, Status, Usage
from gemini_core.model.events import Event, EventKind
from gemini_core.model.ids import ChatroomId, JobId, MessageId, SessionId, UserId, uuid7
from gemini_core.model.replies import ModelFailure, Piece, Prompt, ReplyEvent, ReplyEventKind, Timeouts, Turn
from gemini_core.model.requests import Page
from gemini_core.ports.attachments import AttachmentStore
from gemini_core.ports.clock import Clock
from gemini_core.ports.events import EventSink, NotHeard
from gemini_core.ports.jobs import JobQueue
from gemini_core.ports.replies import LLMClient
from gemini_core.use_cases.accounts.rules import AccountRules
from gemini_core.use_cases.replies.answering import ModelChoice

__all__ = [
    "BASIC",
    "PRO",
    "AccountPolicy",
    "AccountPorts",
    "AccountRules",
    "AttachmentStore",
    "BillingPorts",
    "BillingRules",
    "ChatCore",
    "ChatPorts",
    "ChatRules",
    "ChatroomId",
    "Clock",
    "Conflict",
    "Core",
    "Event",
    "EventKind",
    "EventPorts",
    "EventSink",
    "Failure",
    "FieldError",
    "File",
    "Forbidden",
    "Invalid",
    "JobId",
    "JobPorts",
    "JobQueue",
    "JobRules",
    "LLMClient",
    "LimitReached",
    "MessageId",
    "ModelChoice",
    "ModelFailure",
    "NotFound",
    "NotHeard",
    "OnEvent",
    "Page",
    "PeriodicTask",
    "Piece",
    "Plan",
    "Plans",
    "Policy",
    "Ports",
    "Prompt",
    "RateLimited",
    "Refused",
    "ReplyError",
    "ReplyEvent",
    "ReplyEventKind",
    "Role",
    "SessionId",
    "Status",
    "Timeouts",
    "Turn",
    "Unauthenticated",
    "Unavailable",
    "Usage",
    "UserId",
    "build",
    "build_chat",
    "uuid7",
]
