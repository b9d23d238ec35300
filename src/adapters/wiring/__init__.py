"""The composition root: the one place that knows every adapter. Nothing imports it.

Here are the doors to it: what an installed command, and what a WSGI server calls.
"""

import sys
from collections.abc import Callable
from typing import Any

WsgiApplication = Callable[..., Any]


def main() -> None:
    """The command `gemini-backend`."""
    try:
        from adapters.cli.main import cli
        from adapters.wiring.backend import Backend
    except KeyboardInterrupt:  # while all this is loaded; from then on the command sees to it
        sys.exit("Aborted!")
    cli(obj=Backend(logs_aside=True))


def api() -> WsgiApplication:
    """The WSGI application of this process: what Granian, or any other WSGI server, is to serve."""
    from adapters.http.processor import kept_to_one
    from adapters.wiring.backend import Backend, collect_seldom

    backend = Backend()
    backend.log()
    app: WsgiApplication = backend.container.api()
    collect_seldom()
    return kept_to_one(app) if backend.settings.api_processors == "one" else app
