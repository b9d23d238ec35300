"""Whatever goes wrong leaves as a problem."""

import ast
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import falcon
import pytest
from falcon.testing import TestClient
from tests.fakes import house

from adapters.http.kinds import KINDS
from adapters.http.problems import kind_of
from gemini_core import errors
from gemini_core.errors import (
    Conflict,
    Failure,
    FieldError,
    Forbidden,
    Invalid,
    LimitReached,
    NotFound,
    RateLimited,
    Refused,
    Unauthenticated,
    Unavailable,
)
from gemini_core.model.requests import no_user

SOURCES = Path(errors.__file__).parents[1]
# Said by verbs of the operator's command line alone.
NOT_OVER_HTTP = {
    "keys-are-fixed",
    "rotated-already",
    "key-in-use",
    "grant-in-the-past",
    "customer-taken",
    "number-taken",
    "no-approvals",
    "subscription-ended",
}
WORDS = {word.__name__: word for word in Failure.__subclasses__()}


def answer_to(error: Exception) -> Any:
    trouble = house.Trouble()
    trouble.error = error
    return TestClient(house.app(trouble)).simulate_get("/trouble/", headers={"X-Request-ID": "r-1"})


@pytest.mark.parametrize(
    ("failure", "status", "slug"),
    [
        (Invalid("Bad."), 422, "invalid-request"),
        (Invalid("Bad.", code="idempotency-key-reused"), 422, "idempotency-key-reused"),
        (Refused("No."), 400, "refused"),
        (Refused("No.", code="invalid-otp"), 400, "invalid-otp"),
        (Unauthenticated("Who?"), 401, "unauthenticated"),
        (Forbidden("Not you."), 403, "forbidden"),
        (NotFound("Nothing."), 404, "not-found"),
        (Conflict("Not now.", code="already-subscribed"), 409, "already-subscribed"),
        (Unavailable("Away."), 503, "unavailable"),
        (Conflict("Not now.", code="never-heard-of"), 409, "conflict"),
    ],
)
def test_a_failure_becomes_its_problem(failure: Failure, status: int, slug: str) -> None:
    answer = answer_to(failure)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json
    assert problem.pop("errors", []) == []
    assert problem == {
        "type": f"/problems/{slug}",
        "title": KINDS[slug].title,
        "status": status,
        "detail": failure.detail,
        "instance": "r-1",
    }


def test_each_field_at_fault_is_named() -> None:
    answer = answer_to(Invalid("Bad.", FieldError("content", "is too long", "too_long")))
    assert answer.json["errors"] == [{"field": "content", "message": "is too long", "code": "too_long"}]


def test_who_is_signed_in_and_no_user_any_more_is_answered_as_signed_out() -> None:
    gone, ended = answer_to(no_user()), answer_to(Unauthenticated("This session has ended."))
    assert (gone.status_code, gone.json, gone.headers) == (401, ended.json, ended.headers)


def test_401_challenges_for_a_bearer_token() -> None:
    assert answer_to(Unauthenticated("Who?")).headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("code", ["invalid-credentials", "invalid-reset-token"])
def test_401_for_what_is_in_the_body_does_not_blame_the_token(code: str) -> None:
    assert answer_to(Unauthenticated("No.", code=code)).headers["www-authenticate"] == "Bearer"


def test_402_tells_the_limit_and_the_way_out() -> None:
    resets_at = house.NOON + timedelta(hours=12)
    answer = answer_to(LimitReached("Enough for today.", limit=5, used=5, resets_at=resets_at))
    assert answer.status_code == 402
    assert answer.headers["retry-after"] == "43200"
    assert answer.headers["ratelimit"] == '"daily";r=0;t=43200'
    assert answer.headers["ratelimit-policy"] == '"daily";q=5;w=86400'
    assert answer.json["type"] == "/problems/daily-limit-reached"
    assert {key: answer.json[key] for key in ("limit", "used", "resets_at", "upgrade_url")} == {
        "limit": 5,
        "used": 5,
        "resets_at": "2026-11-23T00:00:00Z",
        "upgrade_url": "https://api.test/subscribe/pro/",
    }


def test_402_tells_a_use_of_nothing_too() -> None:
    answer = answer_to(LimitReached("No messages in this plan.", limit=0, used=0, resets_at=house.NOON))
    assert (answer.json["limit"], answer.json["used"], answer.headers["retry-after"]) == (0, 0, "1")


def test_429_tells_when_to_come_back_and_by_which_rule() -> None:
    answer = answer_to(RateLimited("Slow down.", retry_after=17, limit=3, window=3600, policy="otp"))
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "17"
    assert answer.headers["ratelimit"] == '"otp";r=0;t=17'
    assert answer.headers["ratelimit-policy"] == '"otp";q=3;w=3600'


def test_503_tells_when_to_come_back() -> None:
    assert answer_to(Unavailable("Away.", retry_after=7)).headers["retry-after"] == "7"


def test_an_unexpected_error_tells_nothing_and_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    answer = answer_to(RuntimeError("password=hunter2 in table users"))
    assert answer.status_code == 500
    assert answer.json["type"] == "/problems/internal-error"
    assert answer.json["instance"] == "r-1"
    assert "hunter2" not in answer.text
    assert "half an answer" not in answer.text
    assert "hunter2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (falcon.HTTPInvalidHeader("bad", "Content-Length"), 400, "bad-request"),
        (falcon.HTTPUriTooLong(), 400, "bad-request"),
        (falcon.HTTPContentTooLarge(), 413, "content-too-large"),
        (falcon.HTTPBadGateway(), 500, "internal-error"),
    ],
)
def test_an_error_of_falcons_becomes_a_problem(error: falcon.HTTPError, status: int, slug: str) -> None:
    answer = answer_to(error)
    assert (answer.status_code, answer.json["status"], answer.json["type"]) == (status, status, f"/problems/{slug}")
    assert answer.json["detail"]


def test_an_unknown_path_is_404() -> None:
    answer = TestClient(house.app()).simulate_get("/nowhere/")
    assert (answer.status_code, answer.json["type"]) == (404, "/problems/not-found")
    assert answer.json["instance"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "PROPFIND", "NONSENSE"])
def test_a_known_path_with_another_method_is_405_with_allow(method: str) -> None:
    answer = house.call(house.app(), REQUEST_METHOD=method, PATH_INFO="/things")
    assert (answer.status_code, answer.json["type"]) == (405, "/problems/method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST, OPTIONS"


def test_the_method_that_falcon_keeps_for_itself_is_400() -> None:
    answer = house.call(house.app(), REQUEST_METHOD="WEBSOCKET", PATH_INFO="/things")
    assert (answer.status_code, answer.json["type"]) == (400, "/problems/bad-request")
    assert answer.json["instance"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("slug", sorted(KINDS))
def test_every_kind_of_problem_has_its_page(slug: str) -> None:
    client = TestClient(house.app())
    for path in (f"/problems/{slug}", f"/problems/{slug}/"):
        answer = client.simulate_get(path)
        assert answer.json == {
            "type": f"/problems/{slug}",
            "status": KINDS[slug].status,
            "title": KINDS[slug].title,
            "text": KINDS[slug].text,
        }
    page = client.simulate_get(f"/problems/{slug}", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert f"<code>{slug}</code>" in page.text


def test_the_problems_are_listed() -> None:
    client = TestClient(house.app())
    assert [item["type"] for item in client.simulate_get("/problems/").json["items"]] == [
        f"/problems/{slug}" for slug in sorted(KINDS)
    ]
    assert 'href="/problems/bad-cursor/"' in client.simulate_get("/problems", headers={"Accept": "text/html"}).text
    assert client.simulate_get("/problems/never-heard-of/").status_code == 404


def test_every_word_of_failure_has_a_kind() -> None:
    assert {word.code for word in WORDS.values()} <= KINDS.keys()


def codes_in_the_sources() -> list[tuple[str, str, str]]:
    """Every `Word(..., code="...")` and `code = "..."` in the sources: (file, word, code)."""
    found = []
    for file in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WORDS:
                found += [
                    (file.name, node.func.id, keyword.value.value)
                    for keyword in node.keywords
                    if keyword.arg == "code"
                    and isinstance(keyword.value, ast.Constant)
                    and isinstance(keyword.value.value, str)
                ]
    return found


def test_every_code_in_the_sources_has_its_kind_with_the_status_of_its_word() -> None:
    codes = codes_in_the_sources()
    assert codes
    for file, word, code in codes:
        if code in NOT_OVER_HTTP:
            continue
        assert code in KINDS, f"{file}: {code} is not in adapters.http.kinds.KINDS"
        assert KINDS[code].status == KINDS[WORDS[word].code].status, f"{file}: {code}"


def test_kind_of_an_unknown_code_is_that_of_its_word() -> None:
    assert kind_of(Refused("No.", code="never-heard-of")) == ("refused", KINDS["refused"])


def test_an_answer_to_head_has_no_body() -> None:
    answer = TestClient(house.app()).simulate_head("/nowhere/")
    assert (answer.status_code, answer.content) == (404, b"")
    assert int(answer.headers["content-length"]) > 100


def test_problem_bodies_are_json() -> None:
    assert json.loads(answer_to(NotFound("Nothing.")).content)["status"] == 404
