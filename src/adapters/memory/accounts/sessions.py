"""Sign-ins, in the process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from adapters.memory.accounts.tables import MemoryAccounts
from gemini_core.errors import NotFound
from gemini_core.model.accounts.limits import Ended
from gemini_core.model.accounts.people import Caller
from gemini_core.model.accounts.sessions import Reused, Session
from gemini_core.model.ids import SessionId, UserId


@dataclass(frozen=True, slots=True)
class MemorySessions:
    """`Sessions`."""

    accounts: MemoryAccounts

    def rotate(self, session: SessionId, counter: int, *, ip: str, now: datetime) -> Session | Reused | None:
        accounts = self.accounts
        with accounts.store.lock:
            entry = accounts.sessions.get(session)
            if entry is None or entry.session.counter < counter:
                return None
            held = entry.session
            if accounts.session(Caller(held.user_id, session), now) is None:
                return None
            if held.counter == counter:
                entry.session = replace(held, counter=counter + 1, rotated_at=now)
                accounts.note("session.renewed", now, user_id=held.user_id, session_id=session, ip=ip)
            elif held.counter > counter + 1 or held.rotated_at < now - accounts.policy.refresh_grace:
                entry.ended = True
                accounts.note("session.token_reused", now, user_id=held.user_id, session_id=session, ip=ip)
                return Reused(held.user_id, session)
            return entry.session

    def live(self, user: UserId, *, now: datetime) -> Sequence[Session]:
        with self.accounts.store.lock:
            found = self.accounts.users.get(user)
            return self.accounts.live(found, now) if found else []

    def alive(self, caller: Caller, *, now: datetime) -> bool:
        with self.accounts.store.lock:
            return self.accounts.session(caller, now) is not None

    def end(self, user: UserId, session: SessionId, *, ip: str, now: datetime) -> Ended:
        with self.accounts.store.lock:
            if self.accounts.session(Caller(user, session), now) is None:
                raise NotFound("There is no such session.")
            self.accounts.sessions[session].ended = True
            self.accounts.note("session.ended", now, user_id=user, session_id=session, ip=ip)
            return Ended(user, (session,))

    def end_all(self, user: UserId, *, ip: str | None, now: datetime, operator: str | None = None) -> Ended:
        with self.accounts.store.lock:
            raised = self.accounts.raise_version(self.accounts.user(user))
            ended = self.accounts.end_sessions(user)
            self.accounts.note("session.ended_all", now, user_id=user, ip=ip, operator=operator)
            return Ended(user, ended, raised.credential_version)
