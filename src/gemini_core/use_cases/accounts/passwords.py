"""Setting a new password, by who is signed in or by who has proven the number."""

from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from unicodedata import normalize

from gemini_core.errors import Forbidden, Invalid, NotFound, Unauthenticated, Unavailable
from gemini_core.model.accounts.audit import AuditEvent
from gemini_core.model.accounts.codes import ChallengeId
from gemini_core.model.accounts.limits import Rule, Take
from gemini_core.model.accounts.people import Caller, Client, User
from gemini_core.model.accounts.policy import password_changed_text
from gemini_core.model.accounts.seals import read_reset_token
from gemini_core.model.ids import JobId, UserId, uuid7
from gemini_core.ports.accounts.codes import OtpSender, SendFailed
from gemini_core.ports.accounts.operating import AuditLog
from gemini_core.ports.accounts.passwords import PasswordHasher, Passwords
from gemini_core.ports.accounts.people import Users
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobQueue
from gemini_core.use_cases.accounts.rules import AcceptPassword, AccountRules, Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacePassword:
    """A new password ends every other session and voids every code under way, and the user is told."""

    accept: AcceptPassword
    passwords: Passwords
    hasher: PasswordHasher
    gate: Gate
    queue: JobQueue

    def __call__(
        self,
        allowed_by: Caller | ChallengeId,
        user: User,
        password: str,
        client: Client,
        request_id: str,
        now: datetime,
    ) -> None:
        """Raises `Invalid`; `Unauthenticated` if what allowed it is gone by now."""
        accepted = self.accept("new_password", password, user.mobile_number, user.profile)
        job = JobId(uuid7(now))
        ended = self.passwords.change(
            allowed_by,
            self.hasher.hash(accepted),
            version=user.credential_version,
            ip=client.ip,
            job=job,
            request_id=request_id,
            now=now,
        )
        self.gate.end(ended)
        self.queue.nudge(job)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePassword:
    """Who is signed in sets a new password with the current one; the first one, soon after signing in with a code."""

    rules: AccountRules
    clock: Clock
    passwords: Passwords
    replace: ReplacePassword
    audit: AuditLog

    def __call__(
        self, caller: Caller, client: Client, new_password: str, current_password: str | None, *, request_id: str = ""
    ) -> None:
        """Raises `Invalid`, `Unauthenticated` (`invalid-credentials`), `RateLimited`, `Forbidden`."""
        now, policy = self.clock.now(), self.rules.policy
        user, session, password_hash = self.passwords.of_caller(caller, now=now)
        if password_hash is None:
            if now - session.created_at > policy.step_up:
                raise Forbidden("Sign in with a code again to set a password.", code="sign-in-again")
        elif current_password is None:
            raise Invalid.field("current_password", "is needed where a password is set", "missing")
        else:
            self._check(caller, client, password_hash, current_password, now)
        self.replace(caller, user, new_password, client, request_id, now)

    def _check(self, caller: Caller, client: Client, password_hash: str, password: str, now: datetime) -> None:
        """Counted before it is compared, and given back unless it was wrong."""
        policy = self.rules.policy
        rule = Rule("password", f"password:{caller.user_id}", policy.password_tries, policy.password_window)
        tried = Take(token=token_hex(8), own=(rule,))
        self.replace.gate.admit(tried, now=now)
        try:
            right = self.replace.hasher.matches(password_hash, normalize("NFC", password))
        except Unavailable:
            self.replace.gate.give_back(tried)
            raise
        if not right:
            self.audit.note(
                AuditEvent(
                    event="password.wrong",
                    at=now,
                    user_id=caller.user_id,
                    session_id=caller.session_id,
                    ip=client.ip,
                )
            )
            raise Unauthenticated("The current password is wrong.", code="invalid-credentials")
        self.replace.gate.give_back(tried)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPassword:
    """Who has proven the number sets a new password, once, and is not signed in; a refused one spends nothing."""

    rules: AccountRules
    clock: Clock
    passwords: Passwords
    replace: ReplacePassword

    def __call__(self, client: Client, reset_token: str, new_password: str, *, request_id: str = "") -> None:
        """Raises `Invalid`, `Unauthenticated`."""
        now = self.clock.now()
        challenge = read_reset_token(self.rules.ring, reset_token)
        if challenge is None:
            raise Unauthenticated("This reset token is no longer good.", code="invalid-reset-token")
        self.replace.gate.admit(self.rules.pace("reset", client), now=now)
        user = self.passwords.of_reset(ChallengeId(challenge), now=now)
        self.replace(ChallengeId(challenge), user, new_password, client, request_id, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendNotice:
    """Users hear of a new password on the phone that codes go to, so that a thief cannot set one unseen."""

    rules: AccountRules
    users: Users
    sender: OtpSender

    def __call__(self, user: UserId) -> None:
        """Raises `Unavailable`. An account that is gone meanwhile needs no notice."""
        try:
            number = self.users.show(user).mobile_number
        except NotFound:
            return
        try:
            self.sender.send(number, password_changed_text(self.rules.policy))
        except SendFailed as failure:
            if not failure.uncertain:
                raise Unavailable("The notice could not be sent.", retry_after=30) from failure
