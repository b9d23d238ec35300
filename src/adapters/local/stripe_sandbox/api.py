"""The API that the `stripe` package calls: the part of Stripe's v1 that a subscription's life needs."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from adapters.local.stripe_sandbox import customers
from adapters.local.stripe_sandbox.desk import Desk
from adapters.local.stripe_sandbox.params import Params, refused
from adapters.local.stripe_sandbox.routes import ROUTES
from adapters.local.stripe_sandbox.shelf import ApiError, Thing
from adapters.local.stripe_sandbox.shop import DAY

KEY_PREFIX = "sk_test_sandbox"
LONGEST_KEY = 255
VERSION = re.compile(r"20\d\d-\d\d-\d\d(\.[a-z]+)?")
AGAIN = {"Idempotent-Replayed": "true"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, what to say, and what to say beside it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Api:
    """One call in, one answer out; one call at a time, and whoever repeats one that is under way is told so."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.calls: list[str] = []
        self._said: dict[str, tuple[bytes, int, Answer]] = {}
        self._under_way: set[str] = set()
        self._lock = threading.Lock()

    def call(
        self,
        method: str,
        path: str,
        params: Params,
        headers: Mapping[str, str],
        *,
        work: Callable[[], object] = lambda: None,
        fail: bool = False,
    ) -> Answer:
        """Answer as Stripe would: authorised, once per idempotency key, errors in Stripe's form.

        `work`: what takes time where the answer is not known yet. `fail`: a 500 after the work has begun, which is what
        the key stands for from then on.
        """
        try:
            authorise(headers)
            key = headers.get("Idempotency-Key", "") if method == "POST" else ""
            with self._alone(key):
                self.calls.append(f"{method} {path}")
                if key not in self._said:
                    work()
                with self.desk.shelf.lock:
                    return self._once(key, method, path, params, fail=fail)
        except ApiError as error:
            return Answer(error.status, json.dumps(error.body).encode(), error.headers)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        if len(key) > LONGEST_KEY:
            raise refused("An idempotency key has at most 255 characters.")
        with self._lock:
            if key and key in self._under_way:
                raise ApiError(
                    409,
                    "idempotency_error",
                    "There is currently another in-progress request using this Idempotency-Key.",
                    code="idempotency_key_in_use",
                    headers={"Stripe-Should-Retry": "true"},
                )
            self._under_way.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(key)

    def _once(self, key: str, method: str, path: str, params: Params, *, fail: bool) -> Answer:
        asked = hashlib.sha256(json.dumps([method, path, params], sort_keys=True).encode()).digest()
        first, at, answer = self._said.get(key, (asked, 0, None))
        if answer is not None and at > self.desk.shelf.now() - DAY:
            if first != asked:
                said = "Keys for idempotent requests can only be used with the parameters they were first used with."
                raise ApiError(400, "idempotency_error", said)
            return replace(answer, headers=AGAIN)
        body = BROKEN if fail else self._answer(method, path, params)
        answer = Answer(500 if fail else 200, json.dumps(body).encode())
        if key:
            self._said[key] = (asked, self.desk.shelf.now(), answer)
        return answer

    def _answer(self, method: str, path: str, params: Params) -> Thing:
        for route_method, pattern, known, handler in ROUTES:
            if route_method == method and (found := pattern.fullmatch(path)):
                expand = params.pop("expand", ())
                if unknown := params.keys() - known:
                    param = min(unknown)
                    raise refused(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)
                made = handler(self.desk, found.groupdict().get("id", ""), params)
                if "customer" in expand and made.get("customer"):
                    return made | {"customer": customers.retrieve(self.desk, made["customer"], {})}
                return made
        raise ApiError(404, "invalid_request_error", f"Unrecognized request URL ({method}: {path}).")


BROKEN: Thing = {"error": {"type": "api_error", "message": "The sandbox was told to fail."}}


def _key(header: str) -> str:
    """The key: as a bearer's token, or as the user name that `curl -u` sends."""
    scheme, _, said = header.partition(" ")
    if scheme != "Basic":
        return said
    try:
        return base64.b64decode(said).decode().partition(":")[0]
    except ValueError:
        return ""


def authorise(headers: Mapping[str, str]) -> None:
    """Only the sandbox's own keys: a key for the real Stripe never belongs here."""
    if not _key(headers.get("Authorization", "")).startswith(KEY_PREFIX):
        said = f"Invalid API Key provided. This is a sandbox: it takes only keys that begin with {KEY_PREFIX}."
        raise ApiError(401, "invalid_request_error", said)
    if not VERSION.fullmatch(version := headers.get("Stripe-Version", "2026-10-28.endive")):
        raise refused(f"Invalid Stripe API version: {version}")
