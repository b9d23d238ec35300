"""Lists come page by page, and cursors fit only where they were given out."""

from typing import Any

import pytest
from falcon.testing import TestClient
from hypothesis import given
from hypothesis import strategies as some
from tests.fakes import house

from adapters.http.paging import Cursors
from gemini_core.errors import Refused
from gemini_core.model.requests import Page

CLIENT = TestClient(house.app())


def get(query: str, user: str = "ann") -> Any:
    return CLIENT.simulate_get("/things/", query_string=query, headers={"X-User": user})


def test_following_the_cursor_leads_through_the_whole_list_once() -> None:
    letters, cursor = "", ""
    while True:
        page = get(f"limit=7{cursor}").json
        letters += "".join(page["items"])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert letters == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_a_page_has_20_items_if_nothing_is_said() -> None:
    assert len(get("").json["items"]) == 20


@pytest.mark.parametrize("limit", ["1", "100", "020"])
def test_a_limit_within_bounds_is_taken(limit: str) -> None:
    assert get(f"limit={limit}").status_code == 200


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1.0", "%D9%A1", "9" * 5000, "1&limit=2", "%00"])
def test_a_limit_out_of_bounds_is_422(limit: str) -> None:
    answer = get(f"limit={limit}")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "limit"


def test_a_cursor_of_another_list_or_user_is_bad() -> None:
    cursor = get("limit=3").json["next_cursor"]
    assert get(f"cursor={cursor}").json["items"][0] == "D"
    answer = get(f"cursor={cursor}", user="bob")
    assert (answer.status_code, answer.json["type"]) == (400, "/problems/bad-cursor")


@pytest.mark.parametrize(
    "cursor", ["", "x", "%FF", "a" * 5000, "null", "bm9wZQ", "bm9wZQ&cursor=bm9wZQ", "%00", "=", "%D9%A1"]
)
def test_a_cursor_that_is_none_is_bad(cursor: str) -> None:
    answer = get(f"cursor={cursor}")
    assert (answer.status_code, answer.json["type"]) == (400, "/problems/bad-cursor")


def test_a_cursor_with_any_character_changed_is_bad() -> None:
    cursor = get("limit=3").json["next_cursor"]
    for index in range(len(cursor)):
        changed = cursor[:index] + ("A" if cursor[index] != "A" else "B") + cursor[index + 1 :]
        assert get(f"cursor={changed}").status_code == 400
    assert get(f"cursor={cursor}=").status_code == 400
    assert get(f"cursor={cursor}A").status_code == 400


def test_unknown_query_parameters_are_ignored() -> None:
    assert get("utm_source=mail&limit=3").json["items"] == ["A", "B", "C"]


def test_a_cursor_of_the_key_before_is_still_read() -> None:
    old, new = b"o" * 32, b"n" * 32
    cursor = Cursors(old).listing(Page(("a",), ("a",)), str, "list").next_cursor
    assert cursor is not None
    assert read(Cursors(new, old), cursor) == ("a",)
    with pytest.raises(Refused):
        read(Cursors(new), cursor)


def read(cursors: Cursors, cursor: str, *scope: object) -> tuple[str, ...]:
    return cursors._read(cursor, scope or ("list",))


@given(some.lists(some.text(some.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_any_position_comes_back(position: list[str]) -> None:
    cursors = Cursors(b"k" * 32)
    cursor = cursors.listing(Page((), tuple(position)), str, "list").next_cursor
    assert cursor is not None
    if len(cursor) <= 1024:
        assert read(cursors, cursor) == tuple(position)


def test_scopes_do_not_run_into_each_other() -> None:
    cursors = Cursors(b"k" * 32)
    cursor = cursors.listing(Page((), ("x",)), str, "ab", "c").next_cursor
    assert cursor is not None
    with pytest.raises(Refused):
        read(cursors, cursor, "a", "bc")
