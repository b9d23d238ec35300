"""Every part of the product, and what it is made of. A part is made when it is first needed, and once per process.

With servers that fork, a container belongs to the process after the fork.
"""

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import structlog
from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import Callable, Dependency, Selector, ThreadSafeSingleton

from adapters.gemini.client import GeminiClient
from adapters.http.app import Edge
from adapters.http.app import create as create_api
from adapters.http.operations import Probe
from adapters.http.server import stop_signal
from adapters.local.demo_model import DemoModel
from adapters.memory.store import SystemClock
from adapters.persistence import engine
from adapters.persistence.chat.messages import SqlMessages
from adapters.persistence.chat.rooms import SqlRooms
from adapters.persistence.chat.search import SqlSearch
from adapters.persistence.chat.usage import SqlUsage
from adapters.persistence.jobs import SqlJobs
from adapters.persistence.notes import SqlNotes
from adapters.persistence.replies import SqlReplies
from adapters.queue.celery import Celery, CeleryQueue
from adapters.queue.celery import create as celery_app
from adapters.queue.celery import ping as ping_broker
from adapters.redis.client import Redis, connect
from adapters.redis.feed import BLOCK, RedisFeed
from adapters.redis.room_lists import RedisRoomLists
from adapters.redis.scripts import Scripts
from adapters.runner import Runner
from adapters.settings import Settings
from adapters.wiring.accounts import account_ports, account_rules, seals
from adapters.wiring.attachments import attachment_store
from adapters.wiring.billing import billing_ports, offer, terms
from adapters.wiring.events import event_ports
from gemini_core.core import BillingRules, ChatPorts, ChatRules, JobPorts, JobRules, Policy, Ports, build
from gemini_core.model.jobs import Backoff, Lease
from gemini_core.model.replies import Timeouts
from gemini_core.use_cases.replies.answering import ModelChoice


def policy(settings: Settings) -> Policy:
    """What the operator decides, in the core's words."""
    return Policy(
        accounts=account_rules(settings),
        chat=ChatRules(
            plans=settings.plans,
            choice=ModelChoice(
                default=settings.gemini_model,
                fallback=settings.gemini_fallback_model,
                # The demo model would only say again that it is one.
                scribe=settings.gemini_small_model if settings.gemini_api_key else None,
                timeouts=Timeouts(
                    first=settings.gemini_first_chunk_timeout,
                    between=settings.gemini_chunk_timeout,
                    total=settings.gemini_total_timeout,
                ),
                backoff=Backoff(attempts=settings.gemini_attempts, total=settings.gemini_total_timeout),
            ),
        ),
        billing=BillingRules(offer=offer(settings), terms=terms(settings)),
        jobs=JobRules(
            threads=settings.worker_threads,
            lease_for=timedelta(seconds=settings.lease_seconds),
            renew_every=settings.renew_seconds,
            around=_in_the_log,
        ),
    )


def _in_the_log(lease: Lease) -> AbstractContextManager[Any]:
    """Every line about a job names it, and the request that it came from."""
    return structlog.contextvars.bound_contextvars(
        request_id=lease.request_id, job_id=str(lease.id), kind=lease.kind, attempt=lease.attempt
    )


def probes(database: engine.Engine, redis: "Redis", broker: Celery) -> dict[str, Probe]:
    """What `/readyz/` asks. Without Redis or the queue, messages are still accepted, and answered a little later."""
    return {
        "database": Probe(lambda: engine.ping(database)),
        "redis": Probe(redis.ping, needed=False),
        "queue": Probe(lambda: ping_broker(broker), needed=False),
    }


class Container(DeclarativeContainer):
    """The product. Give it `settings`."""

    settings = Dependency(instance_of=Settings)

    # technology
    clock = ThreadSafeSingleton(SystemClock)
    database = ThreadSafeSingleton(
        engine.create, settings.provided.database_url, pool_size=settings.provided.database_pool_size
    )
    redis = ThreadSafeSingleton(connect, settings.provided.redis_url)
    scripts = ThreadSafeSingleton(Scripts, redis)
    redis_waiting = ThreadSafeSingleton(connect, settings.provided.redis_url, timeout=BLOCK + 3)
    broker = ThreadSafeSingleton(celery_app, settings.provided.broker_url)
    attachments = ThreadSafeSingleton(attachment_store, settings)

    # jobs
    jobs = ThreadSafeSingleton(SqlJobs, database)
    queue = ThreadSafeSingleton(CeleryQueue, broker)

    # accounts
    accounts = ThreadSafeSingleton(account_ports, settings, database, scripts, attachments, clock)

    # billing
    billing = ThreadSafeSingleton(billing_ports, settings, database, clock)

    # events
    events = ThreadSafeSingleton(event_ports, settings, clock)

    # chat
    rooms = ThreadSafeSingleton(SqlRooms, database)
    messages = ThreadSafeSingleton(SqlMessages, database)
    replies = ThreadSafeSingleton(SqlReplies, database)
    notes = ThreadSafeSingleton(SqlNotes, database)
    usage = ThreadSafeSingleton(SqlUsage, database)
    search = ThreadSafeSingleton(SqlSearch, database)
    feed = ThreadSafeSingleton(RedisFeed, redis, redis_waiting)
    room_lists = ThreadSafeSingleton(RedisRoomLists, scripts)
    llm = Selector(
        Callable(lambda settings: "gemini" if settings.gemini_api_key else "demo", settings),
        gemini=ThreadSafeSingleton(
            GeminiClient,
            settings.provided.gemini_api_key,
            base_url=settings.provided.gemini_base_url,
            api_version=settings.provided.gemini_api_version,
        ),
        demo=ThreadSafeSingleton(DemoModel),
    )

    ports = ThreadSafeSingleton(
        Ports,
        clock=clock,
        accounts=accounts,
        chat=ThreadSafeSingleton(
            ChatPorts,
            rooms=rooms,
            messages=messages,
            replies=replies,
            notes=notes,
            usage=usage,
            search=search,
            feed=feed,
            room_lists=room_lists,
            attachments=attachments,
            llm=llm,
        ),
        billing=billing,
        jobs=ThreadSafeSingleton(JobPorts, jobs=jobs, leases=jobs, admin=jobs, queue=queue),
        events=events,
    )
    core = ThreadSafeSingleton(build, ports, ThreadSafeSingleton(policy, settings))

    # processes
    edge = ThreadSafeSingleton(
        Edge,
        clock=clock,
        public_url=settings.provided.public_url,
        cursor_keys=Callable(lambda settings: seals(settings).derived("cursors"), settings),
        probes=ThreadSafeSingleton(probes, database, redis, broker),
        trusted_proxies=settings.provided.trusted_proxies,
        cors_origins=settings.provided.cors_origins,
        threads=settings.provided.api_threads,
        stopping=ThreadSafeSingleton(stop_signal),
    )
    api = ThreadSafeSingleton(create_api, core, edge)
    runner = ThreadSafeSingleton(
        Runner,
        core,
        grace=settings.provided.worker_grace,
    )
