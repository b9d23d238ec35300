"""Which keys take real money, and where such a key may go. `stripe` itself is not needed to know."""

from urllib.parse import urlsplit

API = "https://api.stripe.com"
_LIVE = ("sk_live_", "rk_live_")


def is_live(key: str) -> bool:
    """It takes real money."""
    return key.startswith(_LIVE)


def goes_astray(key: str, base_url: str) -> bool:
    """It takes real money, and would go to an address that is not Stripe's, or not encrypted."""
    return is_live(key) and urlsplit(base_url)[:2] != urlsplit(API)[:2]
