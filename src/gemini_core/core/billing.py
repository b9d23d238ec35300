"""Billing: buying pro, Stripe's word, and what operators grant."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from gemini_core.core.jobs import JobPorts
from gemini_core.model.billing.checkouts import Offer
from gemini_core.model.billing.events import EVENT_JOB, RECONCILE_ALL_JOB, RECONCILE_JOB, SYNC_JOB
from gemini_core.model.billing.subscriptions import Terms
from gemini_core.model.events import NOBODY, Audience
from gemini_core.model.ids import UserId
from gemini_core.ports.accounts.operating import AuditLog
from gemini_core.ports.billing import (
    Approvals,
    BillingEvents,
    BillingRecords,
    CheckoutRepo,
    GatewayEvents,
    PaymentGateway,
    Reconciliation,
    SubscriptionRepo,
)
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.billing.buying import OpenPortal, SubscribePro
from gemini_core.use_cases.billing.events import ReceiveWebhook, RequestSync, ResolveEvent
from gemini_core.use_cases.billing.operating import ApproveCheckout, ClearFlags, GrantPro, LinkCustomer, RevokeGrants
from gemini_core.use_cases.billing.reconciling import NIGHTLY, OFTEN, CompareCustomers, Reconcile
from gemini_core.use_cases.billing.subscriptions import ChangeCancellation, GetSubscription
from gemini_core.use_cases.billing.syncing import EndBilling, SyncCustomer
from gemini_core.use_cases.jobs import FunctionHandler, Handler, Recurring


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingPorts:
    """What billing needs of the world."""

    gateway: PaymentGateway
    gateway_events: GatewayEvents
    checkouts: CheckoutRepo
    subscriptions: SubscriptionRepo
    events: BillingEvents
    records: BillingRecords
    reconciliation: Reconciliation
    approvals: Approvals | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingRules:
    """What is sold, and what counts as paid."""

    offer: Offer
    terms: Terms


@dataclass(frozen=True, kw_only=True)
class BillingVerbs:
    """What people buy, what the gateway tells, what operators grant."""

    subscribe_pro: SubscribePro
    get_subscription: GetSubscription
    change_cancellation: ChangeCancellation
    open_portal: OpenPortal
    receive_webhook: ReceiveWebhook
    request_sync: RequestSync
    sync_customer: SyncCustomer
    reconcile: Reconcile
    compare_customers: CompareCustomers
    grant_pro: GrantPro
    revoke_grants: RevokeGrants
    link_customer: LinkCustomer
    clear_flags: ClearFlags
    approve_checkout: ApproveCheckout
    billing_records: BillingRecords
    billing_events: BillingEvents


def billing_verbs(
    ports: BillingPorts,
    jobs: JobPorts,
    rules: BillingRules,
    audit: AuditLog,
    clock: Clock,
    audience: Audience = NOBODY,
) -> BillingVerbs:
    """The verbs, on these ports."""
    sync = _sync(ports, rules, clock, audience)
    return BillingVerbs(
        subscribe_pro=SubscribePro(
            checkouts=ports.checkouts, gateway=ports.gateway, sync=sync, offer=rules.offer, clock=clock
        ),
        get_subscription=GetSubscription(ports.records, rules.terms, clock),
        change_cancellation=ChangeCancellation(
            records=ports.records, gateway=ports.gateway, sync=sync, audit=audit, clock=clock
        ),
        open_portal=OpenPortal(ports.checkouts, ports.gateway, rules.offer),
        receive_webhook=ReceiveWebhook(ports.gateway_events, ports.events, jobs.queue, clock),
        request_sync=RequestSync(ports.events, jobs.queue, clock),
        sync_customer=sync,
        reconcile=_reconcile(ports, sync, clock),
        compare_customers=CompareCustomers(ports.records, sync),
        grant_pro=GrantPro(
            store=ports.subscriptions, records=ports.records, terms=rules.terms, clock=clock, audience=audience
        ),
        revoke_grants=RevokeGrants(
            store=ports.subscriptions, records=ports.records, terms=rules.terms, clock=clock, audience=audience
        ),
        link_customer=LinkCustomer(ports.records, ports.gateway, sync, clock),
        clear_flags=ClearFlags(ports.records, clock),
        approve_checkout=ApproveCheckout(ports.approvals, ports.records, sync),
        billing_records=ports.records,
        billing_events=ports.events,
    )


def _sync(ports: BillingPorts, rules: BillingRules, clock: Clock, audience: Audience = NOBODY) -> SyncCustomer:
    return SyncCustomer(
        store=ports.subscriptions, gateway=ports.gateway, terms=rules.terms, clock=clock, audience=audience
    )


def end_billing(ports: BillingPorts, rules: BillingRules, clock: Clock) -> EndBilling:
    """What must be done at the gateway before an account is erased."""
    return EndBilling(ports.subscriptions, _sync(ports, rules, clock), clock)


def _reconcile(ports: BillingPorts, sync: SyncCustomer, clock: Clock) -> Reconcile:
    return Reconcile(
        store=ports.reconciliation, events=ports.events, gateway=ports.gateway_events, sync=sync, clock=clock
    )


def billing_handlers(
    ports: BillingPorts, jobs: JobPorts, rules: BillingRules, clock: Clock, audience: Audience = NOBODY
) -> Mapping[str, Handler]:
    """Who keeps the promises of billing."""
    sync = _sync(ports, rules, clock, audience)
    often, nightly = (replace(_reconcile(ports, sync, clock), at_a_time=number) for number in (OFTEN, NIGHTLY))
    resolve = ResolveEvent(ports.gateway_events, ports.events, jobs.queue, clock)
    return {
        SYNC_JOB: FunctionHandler(jobs.jobs, lambda lease: sync(UserId(UUID(lease.args["user"])))),
        EVENT_JOB: FunctionHandler(jobs.jobs, lambda lease: resolve(lease.args["event"])),
        RECONCILE_JOB: Recurring(jobs.jobs, lambda _: often(), timedelta(minutes=15)),
        RECONCILE_ALL_JOB: Recurring(jobs.jobs, lambda _: nightly(everybody=True), timedelta(days=1)),
    }
