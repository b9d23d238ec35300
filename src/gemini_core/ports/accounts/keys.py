"""The keys that sign access tokens."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.keys import SigningKey


class KeyRing(Protocol):
    """The operator's side of the signing keys."""

    def keys(self) -> Sequence[SigningKey]:
        """All keys, newest first."""
        ...

    def rotate(self, note: AuditEvent, *, now: datetime) -> Sequence[SigningKey]:
        """The next key signs, the active one only verifies, and a new next one is published. Raises `Conflict`.

        `note` goes to the audit log with it, or neither does.
        """
        ...

    def retire(self, kid: str, note: AuditEvent, *, now: datetime) -> None:
        """Take a retired key out: tokens that it signed are refused. `note` goes to the audit log with it.

        Raises `NotFound`, `Conflict` (`key-in-use`) for a key that signs or is about to.
        """
        ...


class SigningKeys(Protocol):
    """Where the ring is kept, for all processes."""

    def keys(self) -> Sequence[SigningKey]:
        """All keys, newest first."""
        ...

    def begin(self, active: SigningKey, following: SigningKey) -> None:
        """Store the first two keys, unless there are keys already."""
        ...

    def rotate(self, following: SigningKey, note: AuditEvent, *, now: datetime) -> bool:
        """Move every key one state on, store the following one, and note it: one transaction.

        False if somebody else did so this moment; then nothing is noted.
        """
        ...

    def remove(self, kid: str, note: AuditEvent) -> bool:
        """Remove a retired key, and note it: one transaction. False if there is no retired key of this id."""
        ...
