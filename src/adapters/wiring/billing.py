"""How billing is put together: who takes the money, and what is sold."""

from typing import TYPE_CHECKING

import structlog

from adapters.memory.billing.nothing import NothingForSale
from adapters.persistence.billing.checkouts import SqlCheckouts
from adapters.persistence.billing.events import SqlBillingEvents
from adapters.persistence.billing.manual import ManualGateway
from adapters.persistence.billing.records import SqlBillingRecords
from adapters.persistence.billing.subscriptions import SqlSubscriptions
from adapters.persistence.engine import Engine
from adapters.settings import Settings
from adapters.stripe.keys import API
from gemini_core.core import BillingPorts
from gemini_core.model.billing.checkouts import Offer
from gemini_core.model.billing.subscriptions import Terms
from gemini_core.ports.clock import Clock

if TYPE_CHECKING:
    from adapters.stripe.gateway import StripeGateway

log = structlog.get_logger()

# What is sold where no vendor gives it a name.
PRO = "pro"


def offer(settings: Settings) -> Offer:
    """Pro, and the pages around buying it."""
    return Offer(
        price=settings.stripe_pro_price_id or PRO,
        success_url=f"{settings.public_url}/payment/success/?session_id={{CHECKOUT_SESSION_ID}}",
        cancel_url=f"{settings.public_url}/payment/cancel/",
        return_url=f"{settings.public_url}/payment/return/",
    )


def terms(settings: Settings) -> Terms:
    """What counts as paid."""
    return Terms(prices=frozenset({settings.stripe_pro_price_id or PRO}))


def billing_ports(settings: Settings, database: Engine, clock: Clock) -> BillingPorts:
    """Billing on PostgreSQL, with the gateway that is configured."""
    gateway = _gateway(settings, database, clock)
    records = SqlBillingRecords(database)
    return BillingPorts(
        gateway=gateway,
        gateway_events=gateway,
        checkouts=SqlCheckouts(database),
        subscriptions=SqlSubscriptions(database),
        events=SqlBillingEvents(database),
        records=records,
        reconciliation=records,
        approvals=gateway if isinstance(gateway, ManualGateway) else None,
    )


def lacking(settings: Settings) -> list[str]:
    """What Stripe needs beside its key and is not set: a sentence each."""
    needed = {
        "STRIPE_PRO_PRICE_ID is empty: nothing can be bought.": settings.stripe_pro_price_id,
        "STRIPE_WEBHOOK_SECRET is empty: webhooks are refused.": settings.stripe_webhook_secret,
    }
    return [said for said, value in needed.items() if not value]


def _gateway(settings: Settings, database: Engine, clock: Clock) -> "StripeGateway | ManualGateway | NothingForSale":
    if settings.payments == "manual":
        return ManualGateway(database, clock)
    if not settings.stripe_secret_key:
        return NothingForSale()
    for missing in lacking(settings):
        log.warning(missing)
    from adapters.stripe.gateway import StripeGateway

    return StripeGateway(
        settings.stripe_secret_key,
        base_url=settings.stripe_base_url or API,
        webhook_secrets=settings.stripe_webhook_secret,
    )
