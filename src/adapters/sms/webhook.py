"""Texts handed to a service of the operator's own, signed."""

import json
from uuid import uuid4

from adapters.sms.posting import call, client, post
from adapters.standard_webhooks import key_of, signed
from gemini_core.ports.clock import Clock


class SmsWebhook:
    """`OtpSender`. Posts `{"to", "text"}`, signed like the events: a text has one id, and is posted once."""

    def __init__(self, url: str, secret: str, clock: Clock) -> None:
        self._url = url
        self._key = key_of(secret)
        self._clock = clock
        self._http = client()

    def send(self, number: str, text: str) -> None:
        body = json.dumps({"to": number, "text": text}).encode()
        headers = signed([self._key], str(uuid4()), self._clock.now(), body)
        post(self._http, self._url, content=body, headers={"Content-Type": "application/json", **headers})

    def check(self) -> None:
        """Somebody answers there, whatever they answer; nothing is sent. Raises `SendFailed`."""
        call(self._http, "HEAD", self._url)
