"""What happened to accounts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gemini_core.model.ids import SessionId, UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Something that happened to an account. `number` is masked; nothing here is a secret. `id` 0: not stored yet."""

    event: str
    at: datetime
    user_id: UserId | None = None
    session_id: SessionId | None = None
    number: str | None = None
    ip: str | None = None
    operator: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)
    id: int = 0
