"""One HTTP call that brings a text, and what its failure means."""

from typing import Any

import httpx2

from gemini_core.ports.accounts.codes import SendFailed

# Seconds. A sender that takes longer has perhaps sent: that is said, and never tried again.
CONNECT, ANSWER = 3.0, 10.0


def client() -> httpx2.Client:
    """Follows no redirect and reads no proxy settings."""
    return httpx2.Client(timeout=httpx2.Timeout(ANSWER, connect=CONNECT), follow_redirects=False, trust_env=False)


def post(http: httpx2.Client, url: str, **content: Any) -> None:
    """One POST, no retry. Raises `SendFailed`, which quotes nothing of the request."""
    try:
        answer = http.post(url, **content)
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise SendFailed(f"the sender cannot be reached: {type(error).__name__}") from None
    except httpx2.HTTPError as error:
        raise SendFailed(f"the sender did not answer: {type(error).__name__}", uncertain=True) from None
    if not answer.is_success:
        raise SendFailed(f"the sender refused: {answer.status_code}")
