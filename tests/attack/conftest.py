"""The target of all attacks, and the table of what became of them."""

from collections.abc import Callable, Iterator

import pytest
from tests.attack.target import Report, Target, target
from tests.fakes.gemini.script import Script


@pytest.fixture(scope="session")
def victim() -> Iterator[Target]:
    with target(Script()) as found:
        yield found


@pytest.fixture
def found(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Report:
    """Where a test tells what it found."""
    marker = request.node.get_closest_marker("rows")
    assert marker is not None
    record_property("rows", marker.args[0])
    record_property("attack", request.node.name.removeprefix("test_").replace("_", " "))
    return lambda text: record_property("found", text)


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
