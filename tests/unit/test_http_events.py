"""An event stream on the wire, and how it ends."""

import threading
from collections.abc import Iterator

import pytest
from falcon.testing import TestClient, create_req
from tests.fakes import house

from adapters.http.app import assemble
from adapters.http.events import Event, EventStream, wanted


def answer(source: Iterator[Event | None]) -> list[str]:
    edge = house.edge()
    result = TestClient(assemble(house.house(edge, source=lambda: source), edge)).simulate_get("/ticks/")
    assert result.headers["content-type"] == "text/event-stream"
    assert result.headers["cache-control"] == "no-store"
    assert result.headers["x-accel-buffering"] == "no"
    return result.text.split("\n\n")[:-1]


def test_events_are_id_name_and_one_line_of_json() -> None:
    said = answer(iter([Event("1:5", "delta", {"text": "a\nb\r\n\u2028😀"}), None, Event("1:6", "done", {})]))
    assert said == ['id: 1:5\nevent: delta\ndata: {"text":"a\\nb\\r\\n\u2028😀"}', "id: 1:6\nevent: done\ndata: {}"]


def test_a_quiet_stream_has_a_heartbeat_every_15_seconds() -> None:
    seconds = iter(range(0, 1000, 5))
    stream = EventStream(iter([None] * 4), threading.Event(), "r-1", lambda: float(next(seconds)))
    assert b"".join(stream) == b": still here\n\n"


def test_a_source_that_breaks_ends_the_stream_and_tells_nothing() -> None:
    def breaking() -> Iterator[Event | None]:
        yield Event("1:1", "delta", {})
        raise RuntimeError("hunter2")

    assert answer(breaking()) == ["id: 1:1\nevent: delta\ndata: {}"]


class Source:
    """Ticks for ever, and knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Iterator[Event | None]:
        return self

    def __next__(self) -> Event | None:
        return Event("1:1", "delta", {})

    def close(self) -> None:
        self.closed = True


def test_a_stream_ends_when_the_process_stops() -> None:
    source, stopping = Source(), threading.Event()
    stream = EventStream(source, stopping, "r-1")
    assert next(stream).startswith(b"id: 1:1")
    stopping.set()
    assert list(stream) == []
    assert source.closed


def test_closing_lets_go_of_the_source_also_before_it_began() -> None:
    source = Source()
    EventStream(source, threading.Event(), "r-1").close()
    assert source.closed


@pytest.mark.parametrize(
    ("accept", "is_wanted"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream, application/json;q=0.5", True),
        ("text/event-stream;q=0, application/json", False),
        ("text/event-stream;q=x", False),
        ("*/*", False),
        ("application/json", False),
    ],
)
def test_a_stream_is_sent_to_whom_asks_for_one_by_name(accept: str, is_wanted: bool) -> None:
    req = create_req(headers={"Accept": accept})
    assert wanted(req) is is_wanted
