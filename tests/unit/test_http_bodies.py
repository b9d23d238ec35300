"""Bodies are read strictly, and every fault is named."""

import json
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from falcon.testing import TestClient
from hypothesis import given
from hypothesis import strategies as some
from tests.fakes import house

from adapters.http import bodies
from gemini_core.model.chat import Role

CLIENT = TestClient(house.app())


def post(body: bytes | str, content_type: str = "application/json") -> Any:
    return CLIENT.simulate_post("/things/", body=body, headers={"Content-Type": content_type})


def errors(body: bytes | str) -> list[tuple[str, str]]:
    answer = post(body)
    assert (answer.status_code, answer.json["type"]) == (422, "/problems/invalid-request"), answer.text
    assert all(error["message"] for error in answer.json["errors"])
    return [(error["field"], error["code"]) for error in answer.json["errors"]]


def test_a_good_body_is_read_and_written() -> None:
    body = {"name": "añ👩‍👩‍👧", "owner": "0197a000-0000-7000-8000-000000000000", "made_at": "2026-01-02T03:04:05+02:00"}
    answer = post(json.dumps(body))
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == body | {
        "count": 0, "weight": 0.0, "colour": "red", "parts": [], "made_at": "2026-01-02T03:04:05+02:00",
    }  # fmt: skip


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json; profile=any",
    ],
)
def test_json_in_utf_8_is_the_media_type(content_type: str) -> None:
    assert post('{"name": "a"}', content_type).status_code == 201


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/jsonx",
        "ÿ",
    ],
)
def test_any_other_media_type_is_415(content_type: str) -> None:
    answer = post('{"name": "a"}', content_type)
    assert (answer.status_code, answer.json["type"]) == (415, "/problems/unsupported-media-type")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"name": "a"', b'{"name": "a"} x', b"{'name': 1}", b'{"name": "\xff"}', b'\xef\xbb\xbf{"name": "a"}',
     b'{"name": "a\nb"}', b'{"name": "a\x00b"}', b'{"name": "\\x"}', b"nul", b'{"name": "a",}',
     '{"name": "a"}'.encode("utf-16")],
)  # fmt: skip
def test_what_is_not_json_is_400(body: bytes) -> None:
    answer = post(body)
    assert (answer.status_code, answer.json["type"]) == (400, "/problems/malformed-json")


@pytest.mark.parametrize("body", ["[]", "null", "1", '"name"', "true", "[[]]"])
def test_the_body_is_an_object(body: str) -> None:
    assert errors(body) == [("", "wrong_type")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{}", [("name", "missing")]),
        ('{"name": ""}', [("name", "too_short")]),
        ('{"name": "12345678901"}', [("name", "too_long")]),
        ('{"name": 1}', [("name", "wrong_type")]),
        ('{"name": null}', [("name", "wrong_type")]),
        ('{"name": "a", "count": "1"}', [("count", "wrong_type")]),
        ('{"name": "a", "count": 1.5}', [("count", "wrong_type")]),
        ('{"name": "a", "count": true}', [("count", "wrong_type")]),
        ('{"name": "a", "count": -1}', [("count", "too_small")]),
        ('{"name": "a", "colour": "green"}', [("colour", "not_a_choice")]),
        ('{"name": "a", "owner": "x"}', [("owner", "invalid_format")]),
        ('{"name": "a", "made_at": "yesterday"}', [("made_at", "invalid_format")]),
        ('{"name": "a", "role": "admin"}', [("role", "unknown_field")]),
        ('{"name": "a", "parts": [{"size": 1}, {"size": "x"}]}', [("parts.1.size", "wrong_type")]),
        ('{"name": "a", "parts": [{}]}', [("parts.0", "missing")]),
        ('{"name": "a", "parts": [{"size": 1, "x": 1}]}', [("parts.0", "unknown_field")]),
        ('{"name": "a", "name": "b"}', [("name", "duplicate")]),
        ('{"name": "a", "n\\u0061me": "b"}', [("name", "duplicate")]),
        ('{"name": "a", "parts": [{"size": 1, "size": 1}]}', [("size", "duplicate")]),
        ('{"name": "a", "weight": NaN}', [("weight", "invalid_number")]),
        ('{"name": "a", "weight": -Infinity}', [("weight", "invalid_number")]),
        ('{"name": "a", "weight": 1e999}', [("weight", "invalid_number")]),
        ('{"name": "a", "parts": [NaN]}', [("parts.0", "invalid_number")]),
        ('{"name": "a\\u0000"}', [("name", "invalid_text")]),
        ('{"name": "\\ud83d"}', [("name", "invalid_text")]),
        ('{"name": "a", "\\u0000": 1}', [("", "invalid_text")]),
        ('{"name": "a", "\\udc00": 1}', [("", "invalid_text")]),
    ],
)  # fmt: skip
def test_each_fault_has_its_field_and_code(body: str, expected: list[tuple[str, str]]) -> None:
    assert errors(body) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"name": 1}', "must be a string"),
        ('{"name": "a", "count": "1"}', "must be a whole number"),
        ('{"name": "a", "owner": 1}', "must be a UUID or null"),
        ('{"name": "a", "parts": {}}', "must be a list"),
        ('{"name": "12345678901"}', "is too long"),
    ],
)
def test_faults_are_told_in_the_words_of_json(body: str, message: str) -> None:
    assert post(body).json["errors"][0]["message"] == message


def test_all_faults_are_told_at_once() -> None:
    body = '{"count": -1, "weight": "heavy", "colour": 3, "extra": 1}'
    assert sorted(errors(body)) == [
        ("colour", "wrong_type"), ("count", "too_small"), ("extra", "unknown_field"), ("name", "missing"),
        ("weight", "wrong_type"),
    ]  # fmt: skip


def test_a_surrogate_pair_is_a_character() -> None:
    assert post('{"name": "\\ud83d\\ude00"}').json["name"] == "😀"


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    assert errors('{"name": "a", "count": ' + "9" * 5000 + "}") == [("", "too_large")]


@pytest.mark.parametrize("opening", ["[", '{"name":', '{"name": ["a", '])
def test_deep_nesting_is_refused(opening: str) -> None:
    assert errors(opening * 50_000) == [("", "too_deep")]


def test_brackets_in_a_string_are_no_nesting() -> None:
    assert errors(json.dumps({"name": '[{"' * 5000})) == [("name", "too_long")]


def test_too_large_a_body_is_413() -> None:
    answer = post(b'{"name": "' + b"a" * bodies.MAX_BYTES)
    assert (answer.status_code, answer.json["type"]) == (413, "/problems/content-too-large")


def test_too_large_a_body_of_unknown_length_is_413_before_it_is_read_to_its_end() -> None:
    endless = BytesIO(b"a" * (3 * bodies.MAX_BYTES))
    answer = CLIENT.simulate_post(
        "/things/", headers={"Content-Type": "application/json"}, extras={"wsgi.input": endless}
    )
    assert answer.status_code == 413
    assert endless.tell() <= bodies.MAX_BYTES + 128 * 1024


def test_a_body_that_ends_early_is_400() -> None:
    answer = CLIENT.simulate_post(
        "/things/",
        headers={"Content-Type": "application/json", "Content-Length": "50"},
        extras={"wsgi.input": BytesIO(b'{"name": "a"}')},
    )
    assert (answer.status_code, answer.json["type"]) == (400, "/problems/bad-request")


@pytest.mark.parametrize("length", ["abc", "-1", "1.5"])
def test_a_content_length_that_is_none_is_400(length: str) -> None:
    answer = house.call(
        house.app(), REQUEST_METHOD="POST", PATH_INFO="/things", CONTENT_LENGTH=length, CONTENT_TYPE="application/json"
    )
    assert (answer.status_code, answer.json["type"]) == (400, "/problems/bad-request")


def test_no_body_will_do_where_nothing_is_required() -> None:
    thing = "/things/0197a000-0000-7000-8000-000000000000/"
    assert CLIENT.simulate_patch(thing).json == {"name": "none"}
    assert CLIENT.simulate_post("/things/").status_code == 415


def test_answers_speak_rfc_3339_and_plain_words() -> None:
    value = {
        "at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), "id": UUID(int=7), "none": None, "role": Role.USER,
    }  # fmt: skip
    assert json.loads(bodies.write(value)) == {
        "at": "2026-01-02T03:04:05.678901Z", "id": "00000000-0000-0000-0000-000000000007", "none": None, "role": "user",
    }  # fmt: skip


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = some.sampled_from(["name", "count", "weight", "colour", "parts", "made_at", "owner", "role"])


@given(some.dictionaries(FIELDS, JSON) | JSON)
def test_no_json_is_an_error_of_ours(value: Any) -> None:
    assert post(json.dumps(value)).status_code in (201, 422)


@given(some.binary(max_size=60))
def test_no_bytes_are_an_error_of_ours(body: bytes) -> None:
    assert post(body).status_code in (400, 422)
