"""How our own POSTs are signed: Standard Webhooks, symmetric (https://www.standardwebhooks.com/)."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable
from datetime import datetime

PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """The key in a secret: the base64 after `whsec_`, else the text's own bytes. Raises `ValueError`."""
    encoded = secret.removeprefix(PREFIX)
    return secret.encode() if encoded == secret else b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)


def signed(keys: Iterable[bytes], id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers. With several keys there are several signatures, so that a receiver may change its own."""
    seconds = str(int(at.timestamp()))
    content = f"{id}.{seconds}.".encode() + body
    seals = (b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys)
    return {
        "webhook-id": id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{seal}" for seal in seals),
    }
