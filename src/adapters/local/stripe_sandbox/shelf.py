"""Everything the sandbox knows, each thing in the shape Stripe shows it in."""

import copy
import json
import secrets
import string
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Thing = dict[str, Any]

API_VERSION = "2026-10-28.endive"
PRO_PRICE = "price_sandbox_pro"
PREFIXES = {
    "customer": "cus_",
    "price": "price_",
    "checkout.session": "cs_test_",
    "subscription": "sub_",
    "subscription_item": "si_",
    "invoice": "in_",
    "charge": "ch_",
    "refund": "re_",
    "dispute": "du_",
    "billing_portal.session": "bps_",
    "payment_method": "pm_",
    "test_helpers.test_clock": "clock_",
    "event": "evt_",
}


class ApiError(Exception):
    """A request that Stripe would refuse: `kind` is its error type, `code` and `param` as Stripe documents them."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        told = {"type": kind, "message": message, "code": code, "param": param}
        self.body = {"error": {name: value for name, value in told.items() if value is not None}}


class Shelf:
    """All things by id, oldest first. Whoever reads or writes several at once holds `lock`.

    With a `path` the shelf is written there whenever `save` is called, and starts from what it finds.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.lock = threading.RLock()
        self.things: dict[str, Thing] = {}
        self.offset = 0
        self.declines = 0
        self.told: Callable[[Thing], None] = lambda _event: None
        self._path = path
        if path is not None and path.exists():
            kept = json.loads(path.read_text())
            self.offset, self.things = kept["offset"], kept["things"]
        if PRO_PRICE not in self.things:
            self.empty()

    def empty(self) -> None:
        """Nothing is left but what is for sale."""
        with self.lock:
            self.things.clear()
            self.add("price", id=PRO_PRICE, currency="usd", unit_amount=1000, nickname="Pro", **monthly())

    def now(self) -> int:
        """Seconds since 1970 in the sandbox's own time, which the controls can advance."""
        return int(time.time()) + self.offset

    def add(self, kind: str, **fields: Any) -> Thing:
        """A new thing, with an id and a time of creation unless given."""
        made: Thing = {"id": new_id(kind), "object": kind, "created": self.now(), "livemode": False, **fields}
        self.things[made["id"]] = made
        return made

    def get(self, kind: str, thing_id: str, *, param: str = "id") -> Thing:
        """The thing of this kind and id. Raises `ApiError` as Stripe would."""
        found = self.things.get(thing_id)
        if found is None or found["object"] != kind:
            raise self.missing(kind, thing_id, param=param)
        return found

    def missing(self, kind: str, thing_id: str, *, param: str = "id") -> ApiError:
        """What Stripe says about something it does not have: 404 for the address of a call, 400 for what it names."""
        said = f"No such {kind.rpartition('.')[2]}: '{thing_id}'"
        return ApiError(
            404 if param == "id" else 400, "invalid_request_error", said, code="resource_missing", param=param
        )

    def all(self, kind: str, **where: Any) -> Iterator[Thing]:
        """Things of a kind whose fields are as given, newest first."""
        for thing in reversed(self.things.values()):
            if thing["object"] == kind and all(thing.get(name) == value for name, value in where.items()):
                yield thing

    def emit(self, kind: str, about: Thing) -> None:
        """Something happened: an event is kept, with the thing as it is at this moment, and sent."""
        event = self.add(
            "event",
            type=kind,
            api_version=API_VERSION,
            data={"object": copy.deepcopy(about)},
            pending_webhooks=1,
            request={"id": None, "idempotency_key": None},
        )
        self.told(event)

    def save(self) -> None:
        """Write everything down, whole or not at all."""
        if self._path is None:
            return
        with self.lock:
            text = json.dumps({"offset": self.offset, "things": self.things})
            draft = self._path.with_suffix(".new")
            draft.write_text(text)
            draft.replace(self._path)


def new_id(kind: str) -> str:
    """A fresh id with the prefix Stripe gives to this kind."""
    return PREFIXES[kind] + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(24))


def monthly() -> Thing:
    """The recurring half of a monthly price."""
    return {"active": True, "type": "recurring", "recurring": {"interval": "month", "interval_count": 1}}
