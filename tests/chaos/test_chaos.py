"""The short form of chaos; `make chaos` is the long one."""

import pytest
from tests.chaos.plan import SHORT
from tests.chaos.running import run


@pytest.mark.timeout(600)
def test_100_messages_while_workers_and_servers_are_killed_are_all_answered_and_counted_once() -> None:
    report = run(SHORT)
    print(report)  # noqa: T201 - shown if it fails
    assert report.kept, report
    assert (report.accepted, report.complete) == (100, 100), report
