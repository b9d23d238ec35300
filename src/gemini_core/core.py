"""The product's table of contents: every verb, by topic."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from gemini_core.model.accounts import (
    CODE_PROVEN,
    ERASE_ACCOUNT,
    FORGET_STALE,
    SEND_CODE,
    SEND_NOTICE,
    ChallengeId,
    Purpose,
)
from gemini_core.model.billing import EVENT_JOB, RECONCILE_ALL_JOB, RECONCILE_JOB, SYNC_JOB, Offer, Plans, Terms
from gemini_core.model.ids import JobId, UserId
from gemini_core.model.jobs import Lease
from gemini_core.ports.accounts import (
    AccessTokens,
    AccountExport,
    AuditLog,
    Challenges,
    Contacts,
    Inbox,
    KeyRing,
    Limits,
    Operators,
    OtpSender,
    PasswordHasher,
    Passwords,
    Sessions,
    Users,
)
from gemini_core.ports.billing import (
    Approvals,
    BillingEvents,
    BillingLedger,
    CheckoutRepo,
    GatewayEvents,
    PaymentGateway,
    Reconciliation,
    SubscriptionRepo,
)
from gemini_core.ports.chat import MessageRepo, RoomListCache, RoomRepo, UsageRepo
from gemini_core.ports.clock import Clock
from gemini_core.ports.jobs import JobLedger, JobQueue, JobRepo, LeaseKeeper
from gemini_core.ports.replies import LLMClient, ReplyFeed, ReplyRepo
from gemini_core.use_cases.accounts.codes import CheckPassword, CountProof, DeliverCode, SendCode, SignUp, VerifyCode
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
from gemini_core.use_cases.accounts.rules import AccountRules, Gate
from gemini_core.use_cases.accounts.sessions import Authenticate, EndAllSessions, EndSession, ListSessions, Refresh
from gemini_core.use_cases.billing import (
    ApproveCheckout,
    ChangeCancellation,
    EndBilling,
    GetSubscription,
    GrantPro,
    LinkCustomer,
    OpenPortal,
    ReceiveWebhook,
    Reconcile,
    RequestSync,
    ResolveEvent,
    RevokeGrants,
    SubscribePro,
    SyncCustomer,
)
from gemini_core.use_cases.chat.messages import CancelReply, ListMessages, ReadMessage, SendMessage
from gemini_core.use_cases.chat.rooms import ChangeRoom, CreateRoom, DeleteRoom, ListRooms, ShowRoom
from gemini_core.use_cases.chat.usage import ShowUsage
from gemini_core.use_cases.jobs import Deed, Handler, HeldLeases, KeepPromise, Recurring, StartSchedule
from gemini_core.use_cases.replies.answering import AnswerMessage, ModelChoice
from gemini_core.use_cases.replies.following import FollowReply


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
    inbox: Inbox | None = None
    # Whatever else is held about a user, and what must be stopped elsewhere before an account is erased.
    exports: tuple[AccountExport, ...] = ()
    before_erasing: tuple[Callable[[UserId], None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingPorts:
    """What billing needs of the world."""

    gateway: PaymentGateway
    told: GatewayEvents
    checkouts: CheckoutRepo
    subscriptions: SubscriptionRepo
    events: BillingEvents
    ledger: BillingLedger
    reconciliation: Reconciliation
    approvals: Approvals | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All that the core needs of the world. Adapters for every one of them ship; yours may take their place."""

    clock: Clock
    accounts: AccountPorts
    billing: BillingPorts
    # jobs
    jobs: JobRepo
    leases: LeaseKeeper
    job_ledger: JobLedger
    queue: JobQueue
    # chat
    rooms: RoomRepo
    messages: MessageRepo
    replies: ReplyRepo
    usage: UsageRepo
    feed: ReplyFeed
    room_lists: RoomListCache
    llm: LLMClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator decides. `around` surrounds each piece of a worker's work, say with names for its log."""

    plans: Plans
    default_model: str
    accounts: AccountRules
    offer: Offer
    terms: Terms
    choice: ModelChoice = ModelChoice()
    lease_for: timedelta = timedelta(seconds=15)
    around: Callable[[Lease], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """Every verb a field: `core.send_message(author, room, "hi")`."""

    clock: Clock
    # accounts
    sign_up: SignUp
    send_code: SendCode
    forgot_password: SendCode
    verify_code: VerifyCode
    authenticate: Authenticate
    refresh: Refresh
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
    # accounts, for operators
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
    # chat
    create_room: CreateRoom
    list_rooms: ListRooms
    show_room: ShowRoom
    change_room: ChangeRoom
    delete_room: DeleteRoom
    send_message: SendMessage
    list_messages: ListMessages
    read_message: ReadMessage
    follow_reply: FollowReply
    cancel_reply: CancelReply
    show_usage: ShowUsage
    # billing
    subscribe_pro: SubscribePro
    get_subscription: GetSubscription
    change_cancellation: ChangeCancellation
    open_portal: OpenPortal
    receive_webhook: ReceiveWebhook
    request_sync: RequestSync
    sync_customer: SyncCustomer
    reconcile: Reconcile
    grant_pro: GrantPro
    revoke_grants: RevokeGrants
    link_customer: LinkCustomer
    approve_checkout: ApproveCheckout
    billing_ledger: BillingLedger
    billing_events: BillingEvents
    # jobs
    keep_promise: KeepPromise
    start_schedule: StartSchedule
    held_leases: HeldLeases
    due_jobs: Callable[..., Sequence[JobId]]
    job_ledger: JobLedger


def build(ports: Ports, policy: Policy) -> Core:
    """The product, on these ports."""
    handlers: dict[str, Handler] = {**_chat_handlers(ports, policy), **_account_handlers(ports, policy)}
    handlers |= _billing_handlers(ports, policy)
    billing, audit, terms = ports.billing, ports.accounts.audit, policy.terms
    sync = _sync(ports, policy)
    held = HeldLeases(ports.leases, policy.lease_for)
    plans, clock = policy.plans, ports.clock
    accounts, rules, queue = ports.accounts, policy.accounts, ports.queue
    gate = Gate(accounts.limits, accounts.fallback)
    replace = ReplacePassword(rules=rules, passwords=accounts.passwords, hasher=accounts.hasher, gate=gate, queue=queue)
    return Core(
        clock=clock,
        sign_up=SignUp(
            rules=rules,
            clock=clock,
            contacts=accounts.contacts,
            gate=gate,
            hasher=accounts.hasher,
            users=accounts.users,
        ),
        send_code=_send_code(Purpose.LOGIN, ports, policy),
        forgot_password=_send_code(Purpose.RESET, ports, policy),
        verify_code=VerifyCode(
            rules=rules,
            clock=clock,
            contacts=accounts.contacts,
            gate=gate,
            challenges=accounts.challenges,
            tokens=accounts.access_tokens,
            queue=queue,
        ),
        authenticate=Authenticate(
            rules=rules, clock=clock, tokens=accounts.access_tokens, gate=gate, sessions=accounts.sessions
        ),
        refresh=Refresh(rules=rules, clock=clock, tokens=accounts.access_tokens, gate=gate, sessions=accounts.sessions),
        list_sessions=ListSessions(clock=clock, sessions=accounts.sessions),
        end_session=EndSession(rules=rules, clock=clock, gate=gate, sessions=accounts.sessions),
        end_all_sessions=EndAllSessions(rules=rules, clock=clock, gate=gate, sessions=accounts.sessions),
        change_password=ChangePassword(
            rules=rules, clock=clock, passwords=accounts.passwords, replace=replace, audit=accounts.audit
        ),
        reset_password=ResetPassword(rules=rules, clock=clock, passwords=accounts.passwords, replace=replace),
        show_me=ShowMe(users=accounts.users),
        change_me=ChangeMe(clock=clock, contacts=accounts.contacts, users=accounts.users),
        delete_me=DeleteMe(rules=rules, clock=clock, users=accounts.users, gate=gate, queue=queue),
        export_me=ExportMe(held=accounts.exports),
        access_tokens=accounts.access_tokens,
        inbox=accounts.inbox,
        list_users=ListUsers(clock=clock, operators=accounts.operators),
        find_user=FindUser(clock=clock, contacts=accounts.contacts, users=accounts.users, operators=accounts.operators),
        create_user=CreateUser(clock=clock, contacts=accounts.contacts, operators=accounts.operators),
        suspend_user=SuspendUser(rules=rules, clock=clock, operators=accounts.operators, gate=gate),
        restore_user=RestoreUser(clock=clock, operators=accounts.operators),
        delete_user=DeleteUser(rules=rules, clock=clock, users=accounts.users, gate=gate, queue=queue),
        show_user_sessions=ShowUserSessions(clock=clock, sessions=accounts.sessions),
        log_out_user=LogOutUser(rules=rules, clock=clock, sessions=accounts.sessions, gate=gate),
        list_audit=ListAudit(audit=accounts.audit),
        list_keys=ListKeys(ring=accounts.key_ring),
        rotate_keys=RotateKeys(clock=clock, ring=accounts.key_ring, audit=accounts.audit),
        retire_key=RetireKey(clock=clock, ring=accounts.key_ring, audit=accounts.audit),
        show_budgets=ShowBudgets(clock=clock, limits=accounts.limits),
        create_room=CreateRoom(ports.rooms, ports.usage, ports.room_lists, plans, policy.default_model, clock),
        list_rooms=ListRooms(ports.rooms, ports.room_lists),
        show_room=ShowRoom(ports.rooms, ports.messages),
        change_room=ChangeRoom(ports.rooms, ports.usage, ports.room_lists, plans, clock),
        delete_room=DeleteRoom(ports.rooms, ports.room_lists),
        send_message=SendMessage(ports.messages, ports.queue, ports.room_lists, plans, clock),
        list_messages=ListMessages(ports.messages),
        read_message=ReadMessage(ports.messages, ports.feed),
        follow_reply=FollowReply(ports.messages, ports.feed),
        cancel_reply=CancelReply(ports.messages, ports.feed, ports.queue, clock),
        show_usage=ShowUsage(ports.usage, plans, clock),
        subscribe_pro=SubscribePro(billing.checkouts, billing.gateway, sync, policy.offer, clock),
        get_subscription=GetSubscription(billing.ledger, terms, clock),
        change_cancellation=ChangeCancellation(billing.ledger, billing.gateway, sync, audit, clock),
        open_portal=OpenPortal(billing.checkouts, billing.gateway, policy.offer),
        receive_webhook=ReceiveWebhook(billing.told, billing.events, queue, clock),
        request_sync=RequestSync(billing.events, queue, clock),
        sync_customer=sync,
        reconcile=_reconcile(ports, policy),
        grant_pro=GrantPro(billing.subscriptions, audit, terms, clock),
        revoke_grants=RevokeGrants(billing.subscriptions, audit, terms, clock),
        link_customer=LinkCustomer(billing.ledger, sync, audit, clock),
        approve_checkout=ApproveCheckout(billing.approvals, sync, audit, clock),
        billing_ledger=billing.ledger,
        billing_events=billing.events,
        keep_promise=KeepPromise(ports.jobs, ports.queue, held, handlers, clock, around=policy.around),
        start_schedule=StartSchedule(ports.jobs, handlers),
        held_leases=held,
        due_jobs=ports.leases.due,
        job_ledger=ports.job_ledger,
    )


def _chat_handlers(ports: Ports, policy: Policy) -> Mapping[str, Handler]:
    reply = AnswerMessage(ports.replies, ports.jobs, ports.llm, ports.feed, policy.plans, ports.clock, policy.choice)
    return {"reply": reply}


def _send_code(purpose: Purpose, ports: Ports, policy: Policy) -> SendCode:
    accounts = ports.accounts
    return SendCode(
        purpose=purpose,
        rules=policy.accounts,
        clock=ports.clock,
        contacts=accounts.contacts,
        limits=accounts.limits,
        check=CheckPassword(passwords=accounts.passwords, hasher=accounts.hasher, audit=accounts.audit),
        challenges=accounts.challenges,
        queue=ports.queue,
        at_once=_deliver_code(ports, policy) if accounts.inbox else None,
    )


def _deliver_code(ports: Ports, policy: Policy) -> DeliverCode:
    accounts = ports.accounts
    return DeliverCode(
        rules=policy.accounts,
        clock=ports.clock,
        contacts=accounts.contacts,
        challenges=accounts.challenges,
        limits=accounts.limits,
        sender=accounts.sender,
    )


def _account_handlers(ports: Ports, policy: Policy) -> Mapping[str, Handler]:
    accounts, rules = ports.accounts, policy.accounts
    deliver = _deliver_code(ports, policy)
    count = CountProof(
        rules=rules,
        clock=ports.clock,
        contacts=accounts.contacts,
        challenges=accounts.challenges,
        limits=accounts.limits,
    )
    erase = EraseAccount(users=accounts.users, before=(_end_billing(ports, policy), *accounts.before_erasing))
    notify = SendNotice(rules=rules, users=accounts.users, sender=accounts.sender)
    forget = ForgetStale(clock=ports.clock, users=accounts.users)
    return {
        SEND_CODE: Deed(ports.jobs, lambda lease: deliver(ChallengeId(lease.args["challenge"]))),
        CODE_PROVEN: Deed(ports.jobs, lambda lease: count(ChallengeId(lease.args["challenge"]))),
        ERASE_ACCOUNT: Deed(ports.jobs, lambda lease: erase(UserId(UUID(lease.args["user"])))),
        SEND_NOTICE: Deed(ports.jobs, lambda lease: notify(UserId(UUID(lease.args["user"])))),
        FORGET_STALE: Recurring(ports.jobs, lambda _: forget(), timedelta(hours=1)),
    }


def _sync(ports: Ports, policy: Policy) -> SyncCustomer:
    return SyncCustomer(ports.billing.subscriptions, ports.billing.gateway, policy.terms, ports.clock)


def _end_billing(ports: Ports, policy: Policy) -> EndBilling:
    return EndBilling(ports.billing.subscriptions, _sync(ports, policy), ports.clock)


def _reconcile(ports: Ports, policy: Policy) -> Reconcile:
    billing = ports.billing
    return Reconcile(billing.reconciliation, billing.events, billing.told, _sync(ports, policy), ports.clock)


def _billing_handlers(ports: Ports, policy: Policy) -> Mapping[str, Handler]:
    sync, reconcile = _sync(ports, policy), _reconcile(ports, policy)
    resolve = ResolveEvent(ports.billing.told, ports.billing.events, ports.queue, ports.clock)
    return {
        SYNC_JOB: Deed(ports.jobs, lambda lease: sync(UserId(UUID(lease.args["user"])))),
        EVENT_JOB: Deed(ports.jobs, lambda lease: resolve(lease.args["event"])),
        RECONCILE_JOB: Recurring(ports.jobs, lambda _: reconcile(), timedelta(minutes=15)),
        RECONCILE_ALL_JOB: Recurring(ports.jobs, lambda _: reconcile(everybody=True), timedelta(days=1)),
    }
