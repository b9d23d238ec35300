"""`gemini-backend doctor` against what is there, and what is not."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread

import pytest
from tests.crowd import at_once
from tests.fakes.program import COMMAND, environ

from adapters.memory.store import SystemClock
from adapters.settings import Settings
from adapters.sms.webhook import SmsWebhook
from adapters.wiring.container import Container
from adapters.wiring.doctor import breaches, codes
from gemini_core.errors import Unavailable

NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
TWILIO = {
    "OTP_SENDER": "twilio",
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "a-good-token",
    "TWILIO_FROM": "+15005550006",
}


class Vendor(ThreadingHTTPServer):
    """Answers with `status`, as soon as `together` are asking; keeps what it was asked."""

    request_queue_size = 256

    def __init__(self, status: int, together: int) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.status, self.asking = status, Barrier(together)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answering(BaseHTTPRequestHandler):
    server: Vendor

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.asking.wait(20)
        self.send_response(self.server.status)
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def vendor(status: int = 200, *, together: int = 1) -> Iterator[Vendor]:
    with Vendor(status, together) as running:
        thread = Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def told(check: Callable[[Settings, Container], str], folder: Path, **environ: str) -> str:
    """What it finds, or why not."""
    settings = Settings.load(NOWHERE | {"DATA_DIR": str(folder)} | environ)
    try:
        return check(settings, Container(settings=settings))
    except Unavailable as failure:
        return failure.detail


def test_where_all_is_well_the_doctor_speaks_on_standard_output_alone(
    postgres_url: str, valkey_url: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": postgres_url, "REDIS_URL": valkey_url, "DATA_DIR": str(tmp_path)}
    done = subprocess.run([*COMMAND, "doctor"], env=environ(**settings), capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, b""), done.stdout
    assert b"ok    database     reached, and up to date\n" in done.stdout


@pytest.mark.parametrize(
    ("status", "finding"),
    [(200, "sent by twilio, which answers"), (401, "OTP_SENDER=twilio: the sender refused: 401.")],
)
def test_twilio_is_asked_for_the_account_and_sends_nothing(status: int, finding: str, tmp_path: Path) -> None:
    with vendor(status) as twilio:
        assert told(codes, tmp_path, **TWILIO, TWILIO_BASE_URL=twilio.url) == finding
    assert twilio.asked == ["GET /2010-04-01/Accounts/AC1.json"]


def test_a_service_for_texts_is_there_whatever_it_answers_and_is_sent_nothing(tmp_path: Path) -> None:
    with vendor(405) as service:
        posted_to = {"OTP_SENDER": "webhook", "OTP_WEBHOOK_URL": f"{service.url}/texts"}
        assert told(codes, tmp_path, **posted_to) == "sent by webhook, which answers"
    assert service.asked == ["HEAD /texts"]
    assert told(codes, tmp_path, **posted_to) == "OTP_SENDER=webhook: the sender cannot be reached: ConnectError."


def test_the_list_of_breached_passwords_is_asked_for_nobodys(tmp_path: Path) -> None:
    with vendor() as service:
        assert told(breaches, tmp_path, BREACHES_URL=service.url) == "asked of 127.0.0.1, which answers"
    assert service.asked == ["GET /range/00000"]
    assert told(breaches, tmp_path, BREACHES_URL=service.url) == "Cannot be reached (ConnectError)."


def test_nobody_waits_for_a_connection_while_a_crowd_of_codes_leaves() -> None:
    with vendor(204, together=120) as slow:
        sender = SmsWebhook(slow.url, "a secret", SystemClock())
        at_once(120, lambda _: sender.send("+14155552671", "123456"))
    assert len(slow.asked) == 120
