"""The target of all attacks, and the table of what became of them."""

from collections.abc import Iterator

import pytest
from tests.attack.target import Target, target
from tests.fakes.gemini.script import Script


@pytest.fixture(scope="session")
def victim() -> Iterator[Target]:
    with target(Script()) as found:
        yield found


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rows(numbers): the promises that are attacked")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Promise by promise: what was tried, and what was found."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    table = [dict(report.user_properties) for report in reports if report.when == "call"]
    lines = [(str(row["rows"]), str(row["attack"]), str(row.get("found", "FAILED"))) for row in table if "rows" in row]
    if lines:
        terminalreporter.section("what was attacked (rows of the promises)")
        widths = [max(len(line[column]) for line in lines) for column in range(2)]
        for line in lines:
            terminalreporter.write_line(f"{line[0]:<{widths[0]}}  {line[1]:<{widths[1]}}  {line[2]}")
