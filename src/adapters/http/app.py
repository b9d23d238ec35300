"""The HTTP API: all routes on this page."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import falcon
from prometheus_client import CollectorRegistry

from adapters.http import openapi
from adapters.http.accounts.inbox import DevelopmentInbox
from adapters.http.accounts.keys import Keys
from adapters.http.accounts.passwords import Passwords
from adapters.http.accounts.profile import Account
from adapters.http.accounts.sessions import Sessions
from adapters.http.accounts.signing_in import SignIn
from adapters.http.auth import Authentication
from adapters.http.billing import PaymentReturn, Subscriptions, Webhook
from adapters.http.chat.attachments import OneAttachment
from adapters.http.chat.messages import Messages, OneMessage
from adapters.http.chat.rooms import Room, Rooms
from adapters.http.chat.search import Search
from adapters.http.chat.streams import Streams
from adapters.http.chat.usage import Usages
from adapters.http.documentation import Documentation
from adapters.http.middleware import Cors, Requests, StandardHeaders
from adapters.http.operations import Healthz, Metrics, Probe, Readyz
from adapters.http.paging import Cursors
from adapters.http.problems import Answers, ProblemPages
from adapters.http.routing import Route, Router, Topic
from adapters.http.shares import Shares
from gemini_core.core import Core
from gemini_core.core.chat import ChatVerbs
from gemini_core.ports.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What the HTTP side needs to know beside the core.

    `public_url` has no slash at its end. `cursor_keys`: 32 random bytes each, newest first. `stopping` is set when the
    process is about to end, so that event streams end too. `threads`: how many calls the process can have open.
    `registry` is where this process keeps its figures.
    """

    clock: Clock
    public_url: str
    cursor_keys: tuple[bytes, ...]
    probes: Mapping[str, Probe]
    trusted_proxies: int = 0
    cors_origins: tuple[str, ...] = ()
    threads: int = 1024
    stopping: threading.Event = field(default_factory=threading.Event)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def new_body_shares(self) -> Shares:
        """How many bodies a network may let us wait for, counted from 0.

        A crowd that sends at once needs about half of the threads.
        """
        return Shares(self.threads - self.threads // 4)

    def new_reply_shares(self) -> Shares:
        """How many replies a user may follow or wait for, counted from 0: all threads but a few for everybody else."""
        return Shares(self.threads - max(1, self.threads // 64))


def topics(core: Core, edge: Edge) -> tuple[Topic, ...]:
    """Every path of the product, by topic."""
    return (_accounts(core, edge), chat(core, edge), _billing(core))


def _accounts(core: Core, edge: Edge) -> Topic:
    sign_in, passwords, account = SignIn(core), Passwords(core), Account(core)
    sessions = Sessions(core, Cursors(*edge.cursor_keys))
    development = (Route("/dev/inbox/", DevelopmentInbox(core.inbox)),) if core.inbox else ()
    return Topic(
        "Accounts",
        (
            Route("/auth/signup/", sign_in, "signup"),
            Route("/auth/send-otp/", sign_in, "send_otp"),
            Route("/auth/verify-otp/", sign_in, "verify_otp"),
            Route("/auth/refresh/", sessions, "refresh"),
            Route("/auth/forgot-password/", passwords, "forgot_password"),
            Route("/auth/change-password/", passwords, "change_password"),
            Route("/auth/logout/", sessions, "logout"),
            Route("/auth/logout-all/", sessions, "logout_all"),
            Route("/auth/sessions/", sessions),
            Route("/auth/sessions/{session_id:uuid}/", sessions, "one"),
            Route("/user/me/", account),
            Route("/user/me/export/", account, "export"),
            Route("/.well-known/jwks.json", Keys(core)),
            *development,
        ),
    )


def chat(core: ChatVerbs, edge: Edge) -> Topic:
    """Chat alone, where users are known from elsewhere."""
    cursors = Cursors(*edge.cursor_keys)
    followed = edge.new_reply_shares()
    streams = Streams(core, edge.stopping, followed)
    message = OneMessage(core, streams, followed)
    return Topic(
        "Chat",
        (
            Route("/chatroom/", Rooms(core, cursors)),
            Route("/chatroom/search/", Search(core, cursors)),
            Route("/chatroom/{room_id:uuid}/", Room(core)),
            Route("/chatroom/{room_id:uuid}/message/", Messages(core, cursors, streams)),
            Route("/chatroom/{room_id:uuid}/message/{message_id:uuid}/", message),
            Route("/chatroom/{room_id:uuid}/message/{message_id:uuid}/stream/", message, "stream"),
            Route("/chatroom/{room_id:uuid}/message/{message_id:uuid}/cancel/", message, "cancel"),
            Route("/chatroom/{room_id:uuid}/message/{message_id:uuid}/regenerate/", message, "regenerate"),
            Route("/chatroom/{room_id:uuid}/message/{message_id:uuid}/edit/", message, "edit"),
            Route(
                "/chatroom/{room_id:uuid}/message/{message_id:uuid}/attachment/{attachment_id:uuid}/",
                OneAttachment(core),
            ),
            Route("/user/me/usage/", Usages(core)),
        ),
    )


def _billing(core: Core) -> Topic:
    subscriptions, back = Subscriptions(core), PaymentReturn(core)
    return Topic(
        "Subscriptions",
        (
            Route("/subscribe/pro/", subscriptions, "subscribe"),
            Route("/subscription/status/", subscriptions, "status"),
            Route("/subscription/cancel/", subscriptions, "cancel"),
            Route("/subscription/portal/", subscriptions, "portal"),
            Route("/webhook/stripe/", Webhook(core)),
            Route("/payment/success/", back, "success"),
            Route("/payment/cancel/", back, "cancel"),
            Route("/payment/return/", back, "return"),
        ),
    )


def create(core: Core, edge: Edge) -> "falcon.App[falcon.Request, falcon.Response]":
    """The WSGI application."""
    app = assemble(topics(core, edge), edge)
    app.add_middleware(Authentication(core.authenticate))
    return app


def with_operations(topics: tuple[Topic, ...], edge: Edge) -> tuple[Topic, ...]:
    """These topics, and what every service has beside its product: health, figures, and the description of it all."""
    problems = ProblemPages()
    documentation = Documentation(lambda: openapi.document(every, edge.public_url))
    operations = Topic(
        "Operations",
        (
            Route("/healthz/", Healthz()),
            Route("/readyz/", Readyz(edge.probes)),
            Route("/metrics", Metrics(edge.registry)),
            Route("/openapi.json", documentation),
            Route("/docs/", documentation, "page"),
            Route("/problems/", problems),
            Route("/problems/{slug}/", problems, "one"),
        ),
    )
    every = (*topics, operations)
    return every


def assemble(topics: tuple[Topic, ...], edge: Edge) -> "falcon.App[falcon.Request, falcon.Response]":
    """A WSGI application that answers these topics' routes, and the operations, by the house's conventions."""
    app = falcon.App(router=Router())
    app.add_middleware(Requests(edge.trusted_proxies, edge.new_body_shares(), edge.registry))
    app.add_middleware(StandardHeaders())
    if edge.cors_origins:
        app.add_middleware(Cors(edge.cors_origins))
    Answers(edge.clock, f"{edge.public_url}/subscribe/pro/").install(app)
    for topic in with_operations(topics, edge):
        for route in topic.routes:
            app.add_route(route.path, route.resource, suffix=route.suffix)
    return app
