"""Webhooks on their way: signed as Stripe signs, sent again until somebody says 2xx, and open to every mischief."""

import hashlib
import heapq
import hmac
import http.client
import itertools
import json
import threading
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from adapters.local.stripe_sandbox.shelf import Shelf, Thing

MODES = ("normal", "hold", "drop", "duplicate")
FORMS = ("snapshot", "thin")
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
TRIES = 30
PATIENCE = 10.0


class Deliveries(threading.Thread):
    """Sends each event to one URL, in order while nothing fails; what fails is sent again, later and later.

    `hold` keeps events back until they are released (in order or reversed), `drop` loses them, `duplicate` sends each
    one twice. `form`: the whole object (snapshot) or only its id (thin).
    """

    def __init__(self, shelf: Shelf, url: str, secret: str) -> None:
        super().__init__(name="deliveries", daemon=True)
        self.mode = "normal"
        self.form = "snapshot"
        self.attempts = 0
        self._shelf = shelf
        self.url = url
        self._secret = secret
        self._held: list[Thing] = []
        self._due: list[tuple[float, int, int, Thing]] = []
        self._serial = itertools.count()
        self._changed = threading.Condition()
        self._under_way = 0
        self._stopping = False

    def accept(self, event: Thing) -> None:
        """An event happened. What becomes of it depends on the mode."""
        with self._changed:
            if self.mode == "hold":
                self._held.append(event)
            elif self.mode != "drop":
                self._push(event)
                if self.mode == "duplicate":
                    self._push(event)

    def send(self, event: Thing) -> None:
        """Send this one, now, whatever the mode."""
        with self._changed:
            self._push(event)

    def release(self, *, backwards: bool = False) -> int:
        """Let go of what is held, and go on as normal. Returns how many events that were."""
        with self._changed:
            held, self._held, self.mode = self._held, [], "normal"
            for event in reversed(held) if backwards else held:
                self._push(event)
            return len(held)

    def waiting(self) -> int:
        """Events that are held or not yet taken."""
        with self._changed:
            return len(self._held) + len(self._due) + self._under_way

    def stop(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        """The thread's life."""
        while True:
            with self._changed:
                while not self._stopping and (not self._due or self._due[0][0] > time.monotonic()):
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._stopping:
                    return
                _, _, tries, event = heapq.heappop(self._due)
                self._under_way = 1
            taken = self._post(event)
            with self._changed:
                self._under_way = 0
                if taken:
                    event["pending_webhooks"] = 0
                elif tries + 1 < TRIES:
                    self._push(event, tries + 1, min(LONGEST_PAUSE, FIRST_PAUSE * 2**tries))

    def _push(self, event: Thing, tries: int = 0, pause: float = 0.0) -> None:
        heapq.heappush(self._due, (time.monotonic() + pause, next(self._serial), tries, event))
        self._changed.notify()

    def _post(self, event: Thing) -> bool:
        self.attempts += 1
        with self._shelf.lock:
            body = json.dumps(thin(event) if self.form == "thin" else event, indent=2).encode()
        where = urlsplit(self.url)
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature(body, self._secret)}
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE)
        try:
            connection.request("POST", where.path, body, headers)
            return 200 <= connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def signature(body: bytes, secret: str, at: int | None = None) -> str:
    """The `Stripe-Signature` header: `t` in seconds since 1970, `v1` an HMAC-SHA256 over `t`, a dot and the body."""
    moment = int(time.time()) if at is None else at
    mac = hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={mac}"


def thin(event: Thing) -> dict[str, Any]:
    """The event without its object: only where to look."""
    about = event["data"]["object"]
    kind = about["object"]
    return {
        "id": event["id"],
        "object": "v2.core.event",
        "type": f"v1.{event['type']}",
        "livemode": False,
        "created": datetime.fromtimestamp(event["created"], UTC).isoformat().replace("+00:00", "Z"),
        "context": None,
        "related_object": {"id": about["id"], "type": kind, "url": f"/v1/{kind.replace('.', '/')}s/{about['id']}"},
    }
