"""Texts handed to a service of the operator's own, signed."""

import hashlib
import hmac
import json

from adapters.sms.posting import client, post
from gemini_core.ports.clock import Clock

SIGNATURE = "X-Signature"


class SmsWebhook:
    """`OtpSender`. Posts `{"to", "text"}`; `X-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`."""

    def __init__(self, url: str, secret: str, clock: Clock) -> None:
        self._url = url
        self._secret = secret.encode()
        self._clock = clock
        self._http = client()

    def send(self, number: str, text: str) -> None:
        body = json.dumps({"to": number, "text": text}).encode()
        at = int(self._clock.now().timestamp())
        seal = hmac.new(self._secret, b"%d." % at + body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", SIGNATURE: f"t={at},v1={seal}"}
        post(self._http, self._url, content=body, headers=headers)
