"""Somebody at a browser: presses the buttons of the sandbox's pages, and pulls its levers."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Buyer:
    """Does not follow redirects, so that a test sees where it would be sent."""

    def press(self, page: str, button: str, **fields: str) -> tuple[int, str]:
        """Press a button: (status, page), or (303, where it leads)."""
        return self._send(Request(f"{page}/{button}", urlencode(fields).encode()))

    def look(self, page: str) -> tuple[int, str]:
        """Open a page."""
        return self._send(Request(page))

    def pull(self, sandbox: str, lever: str, **order: Any) -> dict[str, Any]:
        """Pull a lever; `sandbox` is any address of it. Answers its state."""
        where = urlsplit(sandbox)
        body = json.dumps(order).encode()
        target = f"{where.scheme}://{where.netloc}/sandbox/{lever}"
        status, text = self._send(Request(target, body, {"Content-Type": "application/json"}))
        assert status == 200, text
        state: dict[str, Any] = json.loads(text)
        return state

    def _send(self, request: Request) -> tuple[int, str]:
        try:
            with build_opener(_Stay).open(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.headers.get("Location") or error.read().decode()
