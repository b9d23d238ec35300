"""Accounts: signing up and in, sessions, passwords, one's own account; and what operators do with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from gemini_core.core.jobs import JobPorts
from gemini_core.model.accounts.codes import CODE_PROVEN, SEND_CODE, ChallengeId, Purpose
from gemini_core.model.accounts.people import ERASE_ACCOUNT, FORGET_STALE, SEND_NOTICE
from gemini_core.model.accounts.sessions import DOUBT_SESSIONS
from gemini_core.model.events import NOBODY, Audience
from gemini_core.model.ids import UserId
from gemini_core.ports.accounts.codes import Challenges, Inbox, OtpSender
from gemini_core.ports.accounts.keys import KeyRing
from gemini_core.ports.accounts.limits import Limits
from gemini_core.ports.accounts.operating import AuditLog, Operators
from gemini_core.ports.accounts.passwords import BreachedPasswords, PasswordHasher, Passwords
from gemini_core.ports.accounts.people import AccountExport, Contacts, Users
from gemini_core.ports.accounts.sessions import AccessTokens, Sessions
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.accounts.codes import CheckPassword, CountProof, DeliverCode, SendCode
from gemini_core.use_cases.accounts.operating import (
    CreateUser,
    DeleteUser,
    FindUser,
    ListAudit,
    ListKeys,
    ListUsers,
    LogOutUser,
    RestoreUser,
    RetireKey,
    RotateKeys,
    ShowBudgets,
    ShowUserSessions,
    SuspendUser,
)
from gemini_core.use_cases.accounts.passwords import ChangePassword, ReplacePassword, ResetPassword, SendNotice
from gemini_core.use_cases.accounts.profile import ChangeMe, DeleteMe, EraseAccount, ExportMe, ForgetStale, ShowMe
from gemini_core.use_cases.accounts.rules import AcceptPassword, AccountRules, Gate
from gemini_core.use_cases.accounts.sessions import (
    Authenticate,
    EndAllSessions,
    EndSession,
    ListSessions,
    RefreshTokens,
)
from gemini_core.use_cases.accounts.signing_in import SignUp, VerifyCode
from gemini_core.use_cases.jobs import FunctionHandler, Handler, Recurring


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPorts:
    """What accounts need of the world. `fallback` counts while `limits` is away. `inbox`: in development only."""

    challenges: Challenges
    users: Users
    passwords: Passwords
    sessions: Sessions
    limits: Limits
    fallback: Limits
    access_tokens: AccessTokens
    key_ring: KeyRing
    sender: OtpSender
    hasher: PasswordHasher
    contacts: Contacts
    audit: AuditLog
    operators: Operators
    breached: BreachedPasswords | None = None
    inbox: Inbox | None = None
    # Whatever else is held about a user, and what must be stopped elsewhere before an account is erased.
    exports: tuple[AccountExport, ...] = ()
    before_erasing: tuple[Callable[[UserId], None], ...] = ()


@dataclass(frozen=True, kw_only=True)
class AccountVerbs:
    """What people do with their accounts, and operators with all of them."""

    sign_up: SignUp
    send_code: SendCode
    forgot_password: SendCode
    verify_code: VerifyCode
    authenticate: Authenticate
    refresh_tokens: RefreshTokens
    list_sessions: ListSessions
    end_session: EndSession
    end_all_sessions: EndAllSessions
    change_password: ChangePassword
    reset_password: ResetPassword
    show_me: ShowMe
    change_me: ChangeMe
    delete_me: DeleteMe
    export_me: ExportMe
    access_tokens: AccessTokens
    inbox: Inbox | None
    # for operators
    list_users: ListUsers
    find_user: FindUser
    create_user: CreateUser
    suspend_user: SuspendUser
    restore_user: RestoreUser
    delete_user: DeleteUser
    show_user_sessions: ShowUserSessions
    log_out_user: LogOutUser
    list_audit: ListAudit
    list_keys: ListKeys
    rotate_keys: RotateKeys
    retire_key: RetireKey
    show_budgets: ShowBudgets


def account_verbs(ports: AccountPorts, jobs: JobPorts, rules: AccountRules, clock: Clock) -> AccountVerbs:
    """The verbs, on these ports."""
    gate = Gate(ports.limits, ports.fallback, jobs.jobs, clock)
    accept = AcceptPassword(rules.passwords, ports.breached)
    replace = ReplacePassword(
        accept=accept, passwords=ports.passwords, hasher=ports.hasher, gate=gate, queue=jobs.queue
    )
    return AccountVerbs(
        sign_up=SignUp(
            rules=rules,
            clock=clock,
            contacts=ports.contacts,
            gate=gate,
            accept=accept,
            hasher=ports.hasher,
            users=ports.users,
        ),
        send_code=_send_code(Purpose.LOGIN, ports, jobs, rules, clock),
        forgot_password=_send_code(Purpose.RESET, ports, jobs, rules, clock),
        verify_code=VerifyCode(
            rules=rules,
            clock=clock,
            contacts=ports.contacts,
            gate=gate,
            challenges=ports.challenges,
            tokens=ports.access_tokens,
            queue=jobs.queue,
        ),
        authenticate=Authenticate(
            rules=rules, clock=clock, tokens=ports.access_tokens, gate=gate, sessions=ports.sessions
        ),
        refresh_tokens=RefreshTokens(
            rules=rules, clock=clock, tokens=ports.access_tokens, gate=gate, sessions=ports.sessions
        ),
        list_sessions=ListSessions(clock=clock, sessions=ports.sessions),
        end_session=EndSession(clock=clock, gate=gate, sessions=ports.sessions),
        end_all_sessions=EndAllSessions(clock=clock, gate=gate, sessions=ports.sessions),
        change_password=ChangePassword(
            rules=rules, clock=clock, passwords=ports.passwords, replace=replace, audit=ports.audit
        ),
        reset_password=ResetPassword(rules=rules, clock=clock, passwords=ports.passwords, replace=replace),
        show_me=ShowMe(users=ports.users),
        change_me=ChangeMe(clock=clock, contacts=ports.contacts, users=ports.users),
        delete_me=DeleteMe(clock=clock, users=ports.users, gate=gate, queue=jobs.queue),
        export_me=ExportMe(held=ports.exports),
        access_tokens=ports.access_tokens,
        inbox=ports.inbox,
        list_users=ListUsers(clock=clock, operators=ports.operators),
        find_user=FindUser(contacts=ports.contacts, users=ports.users, operators=ports.operators),
        create_user=CreateUser(clock=clock, contacts=ports.contacts, operators=ports.operators),
        suspend_user=SuspendUser(clock=clock, operators=ports.operators, gate=gate),
        restore_user=RestoreUser(clock=clock, operators=ports.operators),
        delete_user=DeleteUser(clock=clock, users=ports.users, gate=gate, queue=jobs.queue),
        show_user_sessions=ShowUserSessions(clock=clock, sessions=ports.sessions),
        log_out_user=LogOutUser(clock=clock, sessions=ports.sessions, gate=gate),
        list_audit=ListAudit(audit=ports.audit),
        list_keys=ListKeys(ring=ports.key_ring),
        rotate_keys=RotateKeys(clock=clock, ring=ports.key_ring),
        retire_key=RetireKey(clock=clock, ring=ports.key_ring),
        show_budgets=ShowBudgets(clock=clock, limits=ports.limits),
    )


def _send_code(purpose: Purpose, ports: AccountPorts, jobs: JobPorts, rules: AccountRules, clock: Clock) -> SendCode:
    return SendCode(
        purpose=purpose,
        rules=rules,
        clock=clock,
        contacts=ports.contacts,
        limits=ports.limits,
        check=CheckPassword(passwords=ports.passwords, hasher=ports.hasher, audit=ports.audit),
        challenges=ports.challenges,
        queue=jobs.queue,
        at_once=_deliver_code(ports, rules, clock) if ports.inbox else None,
    )


def _deliver_code(ports: AccountPorts, rules: AccountRules, clock: Clock) -> DeliverCode:
    return DeliverCode(
        rules=rules,
        clock=clock,
        contacts=ports.contacts,
        challenges=ports.challenges,
        limits=ports.limits,
        sender=ports.sender,
    )


def account_handlers(
    ports: AccountPorts, jobs: JobPorts, rules: AccountRules, clock: Clock, audience: Audience = NOBODY
) -> Mapping[str, Handler]:
    """Who keeps the promises of accounts."""
    deliver = _deliver_code(ports, rules, clock)
    count = CountProof(
        rules=rules,
        clock=clock,
        contacts=ports.contacts,
        challenges=ports.challenges,
        limits=ports.limits,
    )
    erase = EraseAccount(clock=clock, users=ports.users, audience=audience, before=ports.before_erasing)
    notify = SendNotice(rules=rules, users=ports.users, sender=ports.sender)
    forget = ForgetStale(clock=clock, users=ports.users)
    return {
        SEND_CODE: FunctionHandler(jobs.jobs, lambda lease: deliver(ChallengeId(lease.args["challenge"]))),
        CODE_PROVEN: FunctionHandler(jobs.jobs, lambda lease: count(ChallengeId(lease.args["challenge"]))),
        ERASE_ACCOUNT: FunctionHandler(
            jobs.jobs, lambda lease: erase(UserId(UUID(lease.args["user"])), request_id=lease.request_id)
        ),
        SEND_NOTICE: FunctionHandler(jobs.jobs, lambda lease: notify(UserId(UUID(lease.args["user"])))),
        DOUBT_SESSIONS: FunctionHandler(jobs.jobs, lambda _: ports.limits.begin_anew()),
        FORGET_STALE: Recurring(jobs.jobs, lambda _: forget(), timedelta(hours=1)),
    }
