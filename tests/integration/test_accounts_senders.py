"""The senders of texts, against services on loopback."""

import hashlib
import json
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path
from urllib.parse import parse_qs

import httpx2
import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs
from tests.fakes.receiver import SECRETS
from tests.integration.account_house import house

from adapters.breaches.pwned import PwnedPasswords
from adapters.local.inbox import LocalInbox
from adapters.local.processes import until
from adapters.redis.client import connect
from adapters.sms import posting
from adapters.sms.twilio import Twilio
from adapters.sms.webhook import SmsWebhook
from gemini_core.ports.accounts.codes import OtpSender, SendFailed

NUMBER, TEXT = "+14155552671", "123456 is your code — don't share\n@chat.example #123456"
AT = datetime(2026, 5, 17, 12, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return AT


class Service(ThreadingHTTPServer):
    """Keeps what it is sent, and answers what it is told to; None: never."""

    def __init__(self, status: int | None) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.status = status
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.closing = threading.Event()
        self.text = ""
        self.drops: Iterator[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answering(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers.items()), body))
        if self.server.status is None:
            self.server.closing.wait()
            return
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers.items()), b""))
        if self.server.drops is not None:
            with suppress(OSError):
                while not self.server.closing.wait(0.02):
                    self.wfile.write(next(self.server.drops))
            return
        self.send_response(self.server.status or 500)
        self.end_headers()
        self.wfile.write(self.server.text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def service(status: int | None = 201) -> Iterator[Service]:
    with Service(status) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.closing.set()
            running.shutdown()
            thread.join()


def twilio(url: str) -> Twilio:
    return Twilio("AC1", "secret", "+15005550006", base_url=url)


def webhook(url: str) -> SmsWebhook:
    return SmsWebhook(f"{url}/texts", "a secret", Clock())


def test_twilio_gets_one_message() -> None:
    with service() as fake:
        twilio(fake.url).send(NUMBER, TEXT)
    ((path, headers, body),) = fake.requests
    assert path == "/2010-04-01/Accounts/AC1/Messages.json"
    assert b64decode(headers["Authorization"].removeprefix("Basic ")) == b"AC1:secret"
    assert parse_qs(body.decode()) == {"To": [NUMBER], "From": ["+15005550006"], "Body": [TEXT]}


def test_a_messaging_service_takes_the_place_of_a_number() -> None:
    with service() as fake:
        Twilio("AC1", "secret", "MG42", base_url=fake.url).send(NUMBER, TEXT)
    assert parse_qs(fake.requests[0][2].decode())["MessagingServiceSid"] == ["MG42"]


def test_a_webhook_can_tell_that_it_was_us_and_when() -> None:
    with service(204) as fake:
        webhook(fake.url).send(NUMBER, TEXT)
    ((path, headers, body),) = fake.requests
    assert path == "/texts"
    assert json.loads(body) == {"to": NUMBER, "text": TEXT}
    assert headers["webhook-timestamp"] == str(int(AT.timestamp()))
    assert headers["webhook-signature"] == Webhook(b"a secret").sign(headers["webhook-id"], AT, body.decode())


def test_a_webhooks_secret_may_be_written_as_its_standard_has_it() -> None:
    with service(204) as fake:
        SmsWebhook(fake.url, SECRETS[0], Clock()).send(NUMBER, TEXT)
    ((_, headers, body),) = fake.requests
    assert headers["webhook-signature"] == Webhook(SECRETS[0]).sign(headers["webhook-id"], AT, body.decode())


@pytest.mark.parametrize("sender", [twilio, webhook])
@pytest.mark.parametrize("status", [302, 400, 401, 429, 500, 503])
def test_a_refusal_is_certain_and_nothing_is_tried_again(sender: Callable[[str], OtpSender], status: int) -> None:
    with service(status) as fake, pytest.raises(SendFailed) as failed:
        sender(fake.url).send(NUMBER, TEXT)
    assert not failed.value.uncertain
    assert "123456" not in str(failed.value)
    assert len(fake.requests) == 1


def test_a_code_that_its_sender_refuses_costs_nothing_and_may_be_asked_for_at_once(
    postgres_url: str, valkey_url: str, tmp_path: Path
) -> None:
    with (
        service(500) as fake,
        house(postgres_url, valkey_url, tmp_path, OTP_SENDER="webhook", OTP_WEBHOOK_URL=fake.url) as (api, container),
    ):
        core = container.core()
        api.post("/auth/signup/", {"mobile_number": NUMBER})
        challenges = set()
        for refused in range(6):  # three an hour would be the limit, and a minute between two of them
            fake.status = 500 if refused < 5 else 204
            challenges.add(api.ask(NUMBER)["challenge_id"])
            for job in core.due_jobs(limit=10):
                core.run_job(job)
            assert len(fake.requests) == refused + 1
        (challenge,) = challenges
        code = json.loads(fake.requests[-1][2])["text"].split()[0]
        proof = {"challenge_id": challenge, "otp": code}
        assert api.post("/auth/verify-otp/", proof).status_code == 200


def test_the_broker_hears_of_a_code_by_the_id_of_its_promise_alone(
    postgres_url: str, valkey_url: str, tmp_path: Path
) -> None:
    unsent = {"OTP_SENDER": "webhook", "OTP_WEBHOOK_URL": "http://127.0.0.1:9/"}
    with (
        house(postgres_url, valkey_url, tmp_path, clock=None, BROKER_URL=valkey_url, **unsent) as (api, container),
        connect(valkey_url) as redis,
    ):
        api.post("/auth/signup/", {"mobile_number": NUMBER})
        api.ask(NUMBER)
        assert until(lambda: redis.llen("gemini-backend") == 1, within=10)
        (job,) = container.core().due_jobs(limit=10)
        body = json.loads(redis.lindex("gemini-backend", 0))["body"]
        arguments, named, _ = json.loads(b64decode(body))
        assert (arguments, named) == ([[str(job)]], {})


@pytest.mark.parametrize("sender", [twilio, webhook])
def test_a_service_that_is_not_there_has_certainly_not_sent(sender: Callable[[str], OtpSender]) -> None:
    with service() as fake:
        url = fake.url
    with pytest.raises(SendFailed) as failed:
        sender(url).send(NUMBER, TEXT)
    assert not failed.value.uncertain


def test_a_service_that_hangs_has_perhaps_sent_and_is_called_once() -> None:
    with (
        service(None) as fake,
        httpx2.Client(timeout=0.3, trust_env=False) as impatient,
        pytest.raises(SendFailed) as failed,
    ):
        posting.post(impatient, fake.url, content=b"x")
    assert failed.value.uncertain
    assert until(lambda: bool(fake.requests), within=10)
    assert len(fake.requests) == 1


def test_the_inbox_shows_what_every_process_of_this_machine_sent(tmp_path: Path) -> None:
    assert LocalInbox(tmp_path, Clock()).messages() == []
    for digit in range(3):
        LocalInbox(tmp_path, Clock()).send(f"+1415555267{digit}", TEXT)
    newest, *_, oldest = LocalInbox(tmp_path, Clock()).messages()
    assert newest == {"at": "2026-05-17T12:00:00.000Z", "mobile_number": "+14155552672", "text": TEXT}
    assert oldest["mobile_number"] == "+14155552670"
    assert (tmp_path / "otp-inbox.jsonl").stat().st_mode & 0o077 == 0


def test_a_breached_password_is_found_without_telling_it() -> None:
    digest = hashlib.sha1(b"correct horse").hexdigest().upper()
    with service(200) as fake:
        fake.text = f"{'0' * 35}:12\r\n{digest[5:]}:3\r\n{'F' * 35}:0"
        asked = PwnedPasswords(fake.url)
        assert asked.holds("correct horse")
        assert not asked.holds("another horse")
        fake.text = f"{digest[5:]}:0"  # padding
        assert not asked.holds("correct horse")
    assert fake.requests[0][0] == f"/range/{digest[:5]}"


def test_a_password_passes_while_nobody_can_be_asked() -> None:
    with capture_logs() as said:
        with service(503) as fake:
            assert not PwnedPasswords(fake.url).holds("correct horse")
        assert not PwnedPasswords(fake.url).holds("correct horse")
    assert [(line["log_level"], line["event"]) for line in said] == [
        ("warning", "breached passwords cannot be asked")
    ] * 2


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_password_passes_whose_answer_comes_byte_by_byte(begun: bytes) -> None:
    with service(200) as fake:
        fake.drops = chain([begun], repeat(b"A"))
        began = time.monotonic()
        assert not PwnedPasswords(fake.url, patience=0.5).holds("correct horse")
        assert 0.5 <= time.monotonic() - began < 10
