"""The phone of development: what is "sent" can be read by everybody, so it exists nowhere else."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from gemini_core.ports.clock import Clock

log = structlog.get_logger()

SHOWN = 200


class LocalInbox:
    """`OtpSender` and `Inbox`, in a file that all processes of this machine append to."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / "otp-inbox.jsonl"
        self._clock = clock

    def send(self, number: str, text: str) -> None:
        at = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"at": at, "mobile_number": number, "text": text}) + "\n"
        # One write of one line: appends of several processes do not mix.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
        log.info("development inbox", mobile_number=number, text=text)

    def messages(self) -> Sequence[Mapping[str, str]]:
        if not self._path.exists():
            return []
        lines = self._path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in reversed(lines[-SHOWN:])]
