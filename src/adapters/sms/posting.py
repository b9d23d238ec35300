"""One HTTP call that brings a text, and what its failure means."""

from typing import Any

import httpx2

from gemini_core.ports.accounts.codes import SendFailed

# Seconds. A sender that takes longer has perhaps sent: that is said, and never tried again.
CONNECT, ANSWER = 3.0, 10.0


def client() -> httpx2.Client:
    """Follows no redirect and reads no proxy settings. How many may send at a time is the worker's to say."""
    return httpx2.Client(
        timeout=httpx2.Timeout(ANSWER, connect=CONNECT),
        limits=httpx2.Limits(max_keepalive_connections=20),
        follow_redirects=False,
        trust_env=False,
    )


def post(http: httpx2.Client, url: str, **content: Any) -> None:
    """One POST, as `call`; any answer but a 2xx is a refusal."""
    accepted(call(http, "POST", url, **content))


def call(http: httpx2.Client, method: str, url: str, **content: Any) -> httpx2.Response:
    """One call, no retry. Raises `SendFailed`, which quotes nothing of the request."""
    try:
        return http.request(method, url, **content)
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise SendFailed(f"the sender cannot be reached: {type(error).__name__}") from None
    except httpx2.HTTPError as error:
        raise SendFailed(f"the sender did not answer: {type(error).__name__}", uncertain=True) from None


def accepted(answer: httpx2.Response) -> None:
    """Raises `SendFailed` for any answer but a 2xx."""
    if not answer.is_success:
        raise SendFailed(f"the sender refused: {answer.status_code}")
