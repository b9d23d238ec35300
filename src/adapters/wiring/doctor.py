"""What `gemini-backend doctor` looks at: the settings, and everything that they point to."""

from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

from adapters.breaches.pwned import PwnedPasswords
from adapters.cli.context import Finding
from adapters.persistence.migrate import is_current
from adapters.queue.celery import ping as ping_broker
from adapters.settings import Settings
from adapters.sms.twilio import Twilio
from adapters.sms.webhook import SmsWebhook
from adapters.stripe.gateway import StripeGateway
from adapters.webhooks.events import EventWebhook
from adapters.wiring.billing import lacking
from adapters.wiring.container import Container
from gemini_core.errors import Failure, Unavailable
from gemini_core.model.replies import ModelFailure
from gemini_core.ports.accounts.codes import SendFailed


def examine(settings: Settings) -> list[Finding]:
    """All findings. Nothing is changed, sent or spent."""
    container = Container(settings=settings)
    checks: dict[str, Callable[[], str]] = {
        "settings": lambda: f"{settings.app_env}, API at {settings.public_url}",
        "database": lambda: _database(container),
        "redis": lambda: _asked(container.redis().ping, "reached"),
        "queue": lambda: _asked(lambda: ping_broker(container.broker()), "reached"),
        "files": lambda: _files(settings, container),
        "model": lambda: _model(settings, container),
        "payments": lambda: payments(settings, container),
        "codes": lambda: codes(settings, container),
        "breaches": lambda: breaches(settings, container),
        "events": lambda: _events(settings, container),
    }
    return [_finding(name, check) for name, check in checks.items()]


def _finding(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, ok=True, detail=check())
    except Failure as failure:
        return Finding(name, ok=False, detail=failure.detail)


def _database(container: Container) -> str:
    if not is_current(container.database()):
        raise Unavailable("Reached, but not migrated: run `gemini-backend migrate`.")
    return "reached, and up to date"


def _asked(ask: Callable[[], Any], answer: str) -> str:
    """Every driver has exceptions of its own; here they all mean the same."""
    try:
        ask()
    except Exception as error:
        raise Unavailable(f"Cannot be reached ({type(error).__name__}).") from error
    return answer


def _files(settings: Settings, container: Container) -> str:
    container.attachments().check()
    return f"kept in {settings.attachments_url or f'a folder in {settings.data_dir}'}"


def _model(settings: Settings, container: Container) -> str:
    if not settings.gemini_api_key:
        return "the demo model, because GEMINI_API_KEY is empty"
    client = container.llm()
    named = [settings.gemini_model, *filter(None, [settings.gemini_fallback_model])]
    for model in named:
        try:
            client.check(model)
        except ModelFailure as failure:
            raise Unavailable(f"{model}: {failure.error.code} ({failure.operator_detail}).") from failure
    with suppress(Exception):
        client.close()
    return f"Gemini knows {' and '.join(named)}"


def payments(settings: Settings, container: Container) -> str:
    """Who takes the money, and what is sold. Raises `Unavailable` with what is wrong."""
    gateway = container.billing().gateway
    if settings.payments == "manual":
        return "an operator approves, because PAYMENTS=manual"
    if not isinstance(gateway, StripeGateway):
        return "nothing is for sale, because STRIPE_SECRET_KEY is empty"
    for missing in lacking(settings):
        raise Unavailable(missing)
    with closing(gateway):
        return gateway.examine(settings.stripe_pro_price_id)


def codes(settings: Settings, container: Container) -> str:
    """Who brings codes to phones; nothing is sent. Raises `Unavailable` with what is wrong."""
    sender = container.accounts().sender
    if not isinstance(sender, Twilio | SmsWebhook):
        return "shown in the inbox of this machine, because OTP_SENDER=inbox"
    try:
        sender.check()
    except SendFailed as failure:
        raise Unavailable(f"OTP_SENDER={settings.otp_sender}: {failure}.") from failure
    return f"sent by {settings.otp_sender}, which answers"


def breaches(settings: Settings, container: Container) -> str:
    """Who knows breached passwords; nobody's is asked for. Raises `Unavailable`."""
    breached = container.accounts().breached
    if not isinstance(breached, PwnedPasswords):
        return "nobody is asked, because BREACHES_URL is empty"
    return _asked(breached.check, f"asked of {urlsplit(settings.breaches_url).hostname}, which answers")


def _events(settings: Settings, container: Container) -> str:
    webhook = container.events().webhook
    if not isinstance(webhook, EventWebhook):
        return "nobody listens, because EVENTS_WEBHOOK_URL is empty"
    return _asked(webhook.check, f"posted to {urlsplit(settings.events_webhook_url).hostname}, which answers")
