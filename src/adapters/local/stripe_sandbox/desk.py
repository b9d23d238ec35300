"""What every call of the API works with."""

from dataclasses import dataclass

from adapters.local.stripe_sandbox.shelf import Shelf
from adapters.local.stripe_sandbox.shop import Shop


@dataclass(frozen=True, slots=True)
class Desk:
    """The things, the rules they live by, and where the hosted pages are."""

    shelf: Shelf
    shop: Shop
    public_url: str
