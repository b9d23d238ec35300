"""What telling others needs of the world."""

from typing import Protocol

from gemini_core.model.events import Event


class EventSink(Protocol):
    """Somebody who wants to know what happened."""

    def tell(self, event: Event) -> None:
        """Returns when they have heard it. They may hear it again, under the same id. Raises `NotHeard`."""
        ...


class NotHeard(Exception):
    """The listener did not take it. `retry_after`: seconds they asked us to wait; `for_good`: they want no more.

    The words are for the operator: no secret is in them.
    """

    def __init__(self, why: str, *, retry_after: float | None = None, for_good: bool = False) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        self.for_good = for_good
