"""Whether Stripe is set up for selling; nothing is changed there."""

import stripe

from adapters.stripe.calls import is_missing
from gemini_core.errors import Unavailable


def examine(client: stripe.StripeClient, price_id: str, *, live: bool) -> str:
    """What is sold, in a sentence. Raises `Unavailable` with what an operator must mend, and stripe's errors."""
    mode = "live" if live else "test"
    try:
        price = client.v1.prices.retrieve(price_id)
        portals = client.v1.billing_portal.configurations.list({"is_default": True, "active": True, "limit": 1})
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise unfit(f"Stripe does not take this key ({error.code or error.http_status}).") from None
    except stripe.InvalidRequestError as error:
        if is_missing(error):
            raise unfit(f"There is no price {price_id} in {mode} mode, which is the key's.") from None
        raise
    if price.livemode != live:
        raise unfit(f"The price {price_id} is not of {mode} mode, which is the key's.")
    if not price.active:
        raise unfit(f"The price {price_id} is not active: nobody can buy it.")
    if price.type != "recurring":
        raise unfit(f"The price {price_id} is paid once: pro needs a recurring one.")
    if not portals.data:
        raise unfit(f"There is no customer portal in {mode} mode: save its settings once in Stripe's dashboard.")
    return f"{price_id} is sold in {mode} mode"


def unfit(what: str) -> Unavailable:
    """Something that an operator must mend."""
    return Unavailable(what, code="payments-misconfigured")
