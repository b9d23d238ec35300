"""The product's table of contents: every verb, by topic. Each topic's page has its ports, its verbs and its jobs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from gemini_core.core.accounts import AccountPorts, AccountVerbs, account_handlers, account_verbs
from gemini_core.core.billing import (
    BillingPorts,
    BillingRules,
    BillingVerbs,
    billing_handlers,
    billing_verbs,
    end_billing,
)
from gemini_core.core.chat import ChatPorts, ChatRules, ChatVerbs, chat_handlers, chat_tasks, chat_verbs
from gemini_core.core.events import EventPorts, OnEvent, audience, event_handlers, listeners
from gemini_core.core.jobs import JobPorts, JobRules, JobVerbs, PeriodicTask, bulkhead, job_verbs
from gemini_core.model.accounts.codes import SEND_CODE
from gemini_core.model.accounts.people import ERASE_ACCOUNT, SEND_NOTICE
from gemini_core.model.billing.events import EVENT_JOB, SYNC_JOB
from gemini_core.model.ids import UserId
from gemini_core.ports.clock import Clock
from gemini_core.use_cases.accounts.rules import AccountRules
from gemini_core.use_cases.replies.forgetting import ForgetChat

__all__ = [
    "AccountPorts",
    "BillingPorts",
    "BillingRules",
    "ChatCore",
    "ChatPorts",
    "ChatRules",
    "Core",
    "EventPorts",
    "JobPorts",
    "JobRules",
    "OnEvent",
    "PeriodicTask",
    "Policy",
    "Ports",
    "build",
    "build_chat",
]

# Seconds that a code, or a look at a customer, rests at the most while too many others wait for the same server.
SOON, LATER = 5.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All that the core needs of the world. `adapters` has one for each; yours may take their place."""

    clock: Clock
    accounts: AccountPorts
    chat: ChatPorts
    billing: BillingPorts
    jobs: JobPorts
    events: EventPorts = EventPorts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator decides."""

    accounts: AccountRules
    chat: ChatRules
    billing: BillingRules
    jobs: JobRules = JobRules()


@dataclass(frozen=True, kw_only=True)
class Core(AccountVerbs, ChatVerbs, BillingVerbs, JobVerbs):
    """Every verb a field: `core.send_message(author, room, "hi")`.

    What is only looked at has no rule of its own, and the field is the port: `core.billing_records.record(user)`.
    """

    clock: Clock


@dataclass(frozen=True, kw_only=True)
class ChatCore(ChatVerbs, JobVerbs):
    """Chat and its jobs, for a program whose users are known from elsewhere."""


def build_chat(
    ports: ChatPorts,
    jobs: JobPorts,
    rules: ChatRules,
    clock: Clock,
    *,
    job_rules: JobRules | None = None,
    on_event: OnEvent | None = None,
) -> ChatCore:
    """Chat alone, on these ports. `on_event` as for `build`."""
    sinks, working = listeners(EventPorts(), on_event), job_rules or JobRules()
    told = audience(sinks)
    chat = chat_verbs(ports, jobs, rules, clock, told)
    handlers = {
        **chat_handlers(ports, jobs, rules, chat.metered_model, clock, told),
        **event_handlers(sinks, jobs, working, clock),
    }
    periodic_tasks = chat_tasks(chat.metered_model)
    return ChatCore(**vars(chat), **vars(job_verbs(jobs, working, handlers, clock, *periodic_tasks)))


def build(ports: Ports, policy: Policy, *, on_event: OnEvent | None = None) -> Core:
    """The product, on these ports. `on_event` is called by a worker of ours with what happened, once it is stored.

    One that raises is called again later; the same event may come twice, under the same id.
    """
    clock, jobs = ports.clock, ports.jobs
    sinks = listeners(ports.events, on_event)
    told = audience(sinks)
    ending = end_billing(ports.billing, policy.billing, clock)
    forget = ForgetChat(ports.chat.replies, ports.chat.feed, ports.chat.room_lists, clock)
    before: tuple[Callable[[UserId], None], ...] = (ending, ports.chat.attachments.drop, forget)
    accounts = replace(ports.accounts, before_erasing=(*before, *ports.accounts.before_erasing))
    chat = chat_verbs(ports.chat, jobs, policy.chat, clock, told)
    handlers = {
        **account_handlers(accounts, jobs, policy.accounts, clock, told),
        **chat_handlers(ports.chat, jobs, policy.chat, chat.metered_model, clock, told),
        **billing_handlers(ports.billing, jobs, policy.billing, clock, told),
        **event_handlers(sinks, jobs, policy.jobs, clock),
    }
    # Who is waited for outside, and may be slow: whoever sends codes, and the payment gateway.
    senders = {kind: handlers[kind] for kind in (SEND_CODE, SEND_NOTICE)}
    payments = {kind: handlers[kind] for kind in (SYNC_JOB, EVENT_JOB, ERASE_ACCOUNT)}
    handlers |= bulkhead(senders, jobs, seats=policy.jobs.many_seats, longest=SOON)
    handlers |= bulkhead(payments, jobs, seats=policy.jobs.few_seats, longest=LATER)
    return Core(
        clock=clock,
        **vars(account_verbs(accounts, jobs, policy.accounts, clock)),
        **vars(chat),
        **vars(billing_verbs(ports.billing, jobs, policy.billing, accounts.audit, clock, told)),
        **vars(job_verbs(jobs, policy.jobs, handlers, clock, *chat_tasks(chat.metered_model))),
    )
