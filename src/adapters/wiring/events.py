"""How events are put together: who listens, and how much of a worker they may keep busy."""

from adapters.settings import Settings
from adapters.webhooks.events import EventWebhook
from gemini_core.core import EventPorts, EventRules
from gemini_core.ports.clock import Clock

# One thread in so many, and never more than that: a listener that hangs costs no reply its place.
SHARE, MOST = 8, 32


def event_ports(settings: Settings, clock: Clock) -> EventPorts:
    """Whoever the operator named."""
    if not settings.events_webhook_url:
        return EventPorts()
    return EventPorts(webhook=EventWebhook(settings.events_webhook_url, settings.events_webhook_secret, clock))


def event_rules(settings: Settings) -> EventRules:
    """A small part of a worker."""
    return EventRules(at_once=max(1, min(MOST, settings.worker_threads // SHARE)))
