"""`python -m adapters.local.stripe_sandbox`: the sandbox as a process of its own."""

import argparse
import os
import secrets
import signal
import sys
from pathlib import Path

from adapters.local.stripe_sandbox.server import Sandbox


def main() -> None:
    """Listen until told to stop. The webhook secret comes by the environment, so that no list of processes shows it."""
    parser = argparse.ArgumentParser(prog="stripe-sandbox", description="A Stripe-compatible sandbox. No money moves.")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1 (0: anywhere)")
    parser.add_argument("--webhook-url", required=True, help="where events are sent")
    parser.add_argument("--state", type=Path, help="a file that keeps customers and subscriptions between runs")
    chosen = parser.parse_args()
    secret = os.environ.get("STRIPE_WEBHOOK_SECRET") or f"whsec_{secrets.token_hex(24)}"
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    try:
        sandbox = Sandbox(port=chosen.port, webhook_url=chosen.webhook_url, webhook_secret=secret, state=chosen.state)
    except OSError as error:
        sys.exit(f"The Stripe sandbox cannot listen on port {chosen.port}: {error.strerror}.")
    with sandbox:
        print(sandbox.url, flush=True)  # noqa: T201 - whoever started it learns where it is
        signal.sigwait(stop)


if __name__ == "__main__":
    main()
