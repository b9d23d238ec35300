"""Nudges on their way to the broker."""

from uuid import uuid4

import pytest

from adapters.local.processes import until
from adapters.queue.celery import BATCH, CeleryQueue, create
from gemini_core.model.ids import JobId


def test_what_gathers_while_the_broker_is_away_is_forgotten_as_a_sweep_finds_it_sooner(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("WARNING", "adapters.queue.celery")
    queue = CeleryQueue(create("nobodys://127.0.0.1"))
    queue.nudge(*(JobId(uuid4()) for _ in range(10 * BATCH)))
    assert until(lambda: bool(caplog.records), within=20)
    assert [vars(record)["jobs"] for record in caplog.records] == [10 * BATCH]
