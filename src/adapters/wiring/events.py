"""How events are put together: who listens."""

from adapters.settings import Settings
from adapters.webhooks.events import EventWebhook
from gemini_core.core import EventPorts
from gemini_core.ports.clock import Clock


def event_ports(settings: Settings, clock: Clock) -> EventPorts:
    """Whoever the operator named."""
    if not settings.events_webhook_url:
        return EventPorts()
    return EventPorts(webhook=EventWebhook(settings.events_webhook_url, settings.events_webhook_secret, clock))
