"""The sandbox on loopback: one thread per connection, standard library only."""

import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from adapters.local.stripe_sandbox import forms, pages
from adapters.local.stripe_sandbox.api import BROKEN, Api
from adapters.local.stripe_sandbox.controls import Controls, Fault
from adapters.local.stripe_sandbox.deliveries import Deliveries
from adapters.local.stripe_sandbox.desk import Desk
from adapters.local.stripe_sandbox.shelf import ApiError, Shelf
from adapters.local.stripe_sandbox.shop import Shop

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MAX_BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back over the wire."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, body: Any, **headers: str) -> "Reply":
        """A JSON answer."""
        return cls(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})

    @classmethod
    def html(cls, answer: tuple[int, str]) -> "Reply":
        """A page, or a redirect to another one."""
        status, text = answer
        if status == 303:
            return cls(303, b"", {"Location": text})
        return cls(status, text.encode(), {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"})


CANNED = {
    "error": Reply.json(500, BROKEN),
    "rate_limit": Reply.json(429, {"error": {"type": "invalid_request_error", "code": "rate_limit"}}),
}


class Sandbox:
    """The whole sandbox. `start` returns once it listens; `stop` ends every thread it began."""

    def __init__(self, *, port: int, webhook_url: str, webhook_secret: str, state: Path | None = None) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.shelf = Shelf(state)
        self.shop = Shop(self.shelf)
        self.api = Api(Desk(self.shelf, self.shop, self.url))
        self.pages = pages.Pages(self.shelf, self.shop)
        self.deliveries = Deliveries(self.shelf, webhook_url, webhook_secret)
        self.controls = Controls(self.shelf, self.shop, self.api, self.deliveries)
        self._server.sandbox = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="stripe-sandbox", daemon=True
        )

    def start(self) -> None:
        """Listen, and send again what nobody had taken when the sandbox was last stopped."""
        untaken = [event for event in self.shelf.all("event") if event["pending_webhooks"]]
        for event in reversed(untaken):
            self.deliveries.send(event)
        self.shelf.told = self.deliveries.accept
        self.deliveries.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and sending; keep the state."""
        self.controls.patched_up.set()
        self.deliveries.stop()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.deliveries.join()
        self.shelf.save()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    sandbox: Sandbox
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    """From the wire to the sandbox's doors and back."""

    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 60
    # Head and body leave together: apart, the second waits 40 ms for the first to be acknowledged.
    wbufsize = -1

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the standard library
        """Stay quiet: the calls are kept for whoever asks."""

    def _serve(self, method: str) -> None:
        # A page of the wide web must not reach the levers through a name that it points at loopback.
        if (urlsplit(f"//{self.headers.get('Host', '')}").hostname or "") not in LOOPBACK:
            return self._send(Reply.json(403, {"error": {"message": "The sandbox answers on loopback only."}}))
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            return self._send(Reply.json(413, {"error": {"message": "Too large."}}))
        body = self.rfile.read(int(length)).decode(errors="replace")
        parts = urlsplit(self.path)
        try:
            reply = self._answer(method, parts.path, parts.query, body)
        except ApiError as error:
            reply = (
                Reply.html(pages.sorry(error)) if self._wants_page(parts.path) else Reply.json(error.status, error.body)
            )
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            reply = Reply.json(400, {"error": {"type": "invalid_request_error", "message": f"Bad request: {error}"}})
        if reply is not None:
            if method != "GET":
                self.server.sandbox.shelf.save()
            self._send(reply)
        return None

    def _answer(self, method: str, path: str, query: str, body: str) -> Reply | None:
        parts = [part for part in path.split("/") if part]
        if parts[:1] == ["v1"]:
            fault = self.server.sandbox.controls.fault_for(f"{method} {path}")
            return self._faulty(fault, lambda: self._api(method, path, body or query, fault))
        if parts[:1] == ["sandbox"] or not parts:
            return self._controls(method, parts, body)
        if method == "POST":
            return Reply.html(self.server.sandbox.pages.press(parts, dict(parse_qsl(body))))
        return Reply.html(self.server.sandbox.pages.show(parts))

    def _controls(self, method: str, parts: list[str], body: str) -> Reply:
        controls = self.server.sandbox.controls
        match method, parts:
            case "GET", []:
                return Reply.html((200, controls.overview()))
            case "GET", ["sandbox", "state"]:
                return Reply.json(200, controls.state())
            case "POST", ["sandbox", lever] if self.headers.get_content_type() == "application/json":
                order = json.loads(body or "{}")
                if not isinstance(order, dict):
                    raise ValueError("an order is a JSON object")
                return Reply.json(200, controls.pull(lever, order))
            case _:
                said = "POST /sandbox/<lever> with application/json, or GET /sandbox/state."
                return Reply.json(400, {"error": {"message": said}})

    def _api(self, method: str, path: str, params: str, fault: Fault | None) -> Reply:
        asked, headers = forms.decode(params), dict(self.headers.items())
        kind, seconds = (fault.kind, fault.seconds) if fault else ("", 0.0)
        answer = self.server.sandbox.api.call(
            method,
            path,
            asked,
            headers,
            work=lambda: kind == "slow" and self.server.sandbox.controls.patched_up.wait(seconds),
            fail=kind == "burn",
        )
        about = {"Content-Type": "application/json", "Request-Id": f"req_{secrets.token_hex(7)}"}
        return Reply(answer.status, answer.body, {**about, **answer.headers})

    def _faulty(self, fault: Fault | None, do: Callable[[], Reply]) -> Reply | None:
        """Answer an API call as well as the fault allows. None: hung up without a word."""
        if fault is None or fault.kind in ("burn", "slow"):
            return do()
        if fault.kind == "hang":
            self.server.sandbox.controls.patched_up.wait(fault.seconds)
        if fault.kind in CANNED:
            return CANNED[fault.kind]
        reply = None if fault.kind == "hang" else do()
        if fault.kind == "stale":
            self.server.sandbox.controls.patched_up.wait(fault.seconds)
        if fault.kind == "garble":
            return Reply(200, b"<html>not JSON</html>", {"Content-Type": "text/html"})
        if fault.kind == "stale":
            return reply
        self.close_connection = True
        return None

    def _wants_page(self, path: str) -> bool:
        return path.startswith(("/pay/", "/portal/"))

    def _send(self, reply: Reply) -> None:
        try:
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
        except OSError:  # whoever asked has gone
            self.close_connection = True
