"""What users see and decide of their own account."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from gemini_core.errors import NotFound
from gemini_core.model.accounts.people import Caller, Client, User, clean_line
from gemini_core.model.events import Audience, account_deleted
from gemini_core.model.ids import JobId, UserId, uuid7
from gemini_core.ports.accounts.people import AccountExport, Contacts, Users
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue
from gemini_core.use_cases.accounts.rules import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowMe:
    """Users see their account."""

    users: Users

    def __call__(self, caller: Caller) -> User:
        """Raises `NotFound`."""
        return self.users.show(caller.user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMe:
    """Users change their name, e-mail address and user name; what is not named stays, an empty text removes."""

    clock: Clock
    contacts: Contacts
    users: Users

    def __call__(self, caller: Caller, client: Client, changes: Mapping[str, str | None]) -> User:
        """Raises `Invalid`, `NotFound`."""
        clean = {field: self._clean(field, value) for field, value in changes.items()}
        if not clean:
            return self.users.show(caller.user_id)
        return self.users.change_profile(caller, clean, ip=client.ip, now=self.clock.now())

    def _clean(self, field: str, value: str | None) -> str | None:
        if field == "email":
            return self.contacts.email(value) if value else None
        return clean_line(field, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteMe:
    """Users leave: signed out everywhere and unknown at once; everything else is erased by a promise."""

    clock: Clock
    users: Users
    gate: Gate
    queue: JobQueue

    def __call__(self, caller: Caller, client: Client, *, request_id: str = "") -> None:
        """Raises `NotFound`."""
        now = self.clock.now()
        job = JobId(uuid7(now))
        ended = self.users.close(
            caller.user_id, session=caller.session_id, ip=client.ip, job=job, request_id=request_id, now=now
        )
        self.gate.end(ended)
        self.queue.nudge(job)


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseAccount:
    """All that is left of a closed account goes; what runs elsewhere in its name is stopped `before`."""

    clock: Clock
    users: Users
    audience: Audience
    before: tuple[Callable[[UserId], None], ...] = ()

    def __call__(self, user: UserId, *, request_id: str = "") -> None:
        """May be done again. Raises `Unavailable`."""
        for stop in self.before:
            stop(user)
        news = self.audience.promises(account_deleted(user, self.clock.now()), request_id)
        self.users.erase(user, then=news)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetStale:
    """What nobody can use any more is not kept."""

    clock: Clock
    users: Users

    def __call__(self) -> None:
        """Raises `Unavailable`."""
        self.users.forget_stale(now=self.clock.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportMe:
    """Users get everything that is held about them."""

    held: tuple[AccountExport, ...]

    def __call__(self, caller: Caller) -> Iterator[tuple[str, Iterator[Mapping[str, object]]]]:
        """Named parts, each a stream of records. Nothing more is held about who is erased meanwhile."""
        with suppress(NotFound):
            for export in self.held:
                yield from export.parts(caller.user_id)
