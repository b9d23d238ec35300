"""Signing keys, in the process."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock

from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.keys import KeyState, SigningKey
from gemini_core.ports.accounts.operating import AuditLog


@dataclass(frozen=True, slots=True)
class MemorySigningKeys:
    """`SigningKeys`."""

    audit: AuditLog
    kept: dict[str, SigningKey] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def keys(self) -> Sequence[SigningKey]:
        with self.lock:
            return sorted(self.kept.values(), key=lambda key: (key.changed_at, key.state), reverse=True)

    def begin(self, active: SigningKey, following: SigningKey) -> None:
        with self.lock:
            if not self.kept:
                self.kept.update({active.kid: active, following.kid: following})

    def rotate(self, following: SigningKey, note: AuditEvent, *, now: datetime) -> bool:
        moves = {KeyState.NEXT: KeyState.ACTIVE, KeyState.ACTIVE: KeyState.RETIRED}
        with self.lock:
            if any(key.changed_at >= now for key in self.kept.values()):
                return False
            self.audit.note(note)
            for key in list(self.kept.values()):
                if key.state in moves:
                    self.kept[key.kid] = replace(key, state=moves[key.state], changed_at=now)
            self.kept[following.kid] = following
            return True

    def remove(self, kid: str, note: AuditEvent) -> bool:
        with self.lock:
            found = self.kept.get(kid)
            if found is None or found.state is not KeyState.RETIRED:
                return False
            self.audit.note(note)
            del self.kept[kid]
            return True
