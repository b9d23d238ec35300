"""Logs have everything but secrets."""

import json
import logging
from io import StringIO
from typing import Any

import pytest
import structlog

from adapters import logs

JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


pytestmark = pytest.mark.usefixtures("logs_restored")


@pytest.fixture
def out() -> StringIO:
    out = StringIO()
    logs.setup("json", "info", out)
    return out


def said(out: StringIO) -> Any:
    (line,) = out.getvalue().splitlines()
    return json.loads(line)


def test_a_line_is_json_with_what_is_bound(out: StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="r-1")
    structlog.get_logger().info("hello", name="Ann")
    line = said(out)
    assert (line["event"], line["level"], line["name"], line["request_id"]) == ("hello", "info", "Ann", "r-1")


def test_what_libraries_say_comes_out_the_same_way(out: StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="r-1")
    logging.getLogger("celery").warning("lost %s", "connection")
    line = said(out)
    assert (line["event"], line["level"], line["logger"], line["request_id"]) == (
        "lost connection", "warning", "celery", "r-1",
    )  # fmt: skip


def test_lower_levels_are_silent(out: StringIO) -> None:
    structlog.get_logger().debug("x")
    logging.getLogger("celery").debug("x")
    logging.getLogger("httpx").info("GET https://vendor.test/?key=hunter2")
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    "key",
    ["password", "new_password", "otp", "authorization", "Authorization", "refresh_token", "client_secret", "api_key",
     "stripe_secret_key", "cookie", "access", "refresh", "token", "pepper"],
)  # fmt: skip
def test_what_is_secret_by_name_is_blacked_out_at_any_depth(out: StringIO, key: str) -> None:
    structlog.get_logger().info("x", **{key: "hunter2"}, inner={"deep": [{key: "hunter2"}]})
    assert "hunter2" not in out.getvalue()
    assert said(out)[key] == logs.REDACTED


@pytest.mark.parametrize(
    "text",
    [f"Authorization: Bearer {JWT}", f"bad token {JWT}", "key sk_live_abcDEF123", "whsec_abcDEF123+/=",
     "AIzaSyA-1234567890_abcdefghijklmno", "postgresql://root:abcDEF123@db/x", "https://v.test/x?key=abcDEF123&a=1"],
)  # fmt: skip
def test_what_is_secret_by_its_looks_is_blacked_out(out: StringIO, text: str) -> None:
    structlog.get_logger().info(text, seen=text)
    logging.getLogger("x").error("%s", text)
    assert logs.REDACTED in out.getvalue()
    for secret in (JWT, "abcDEF123", "AIzaSyA-1234567890_abcdefghijklmno"):
        assert secret not in out.getvalue()


def test_a_secret_in_an_exception_is_blacked_out(out: StringIO) -> None:
    try:
        int(JWT)
    except ValueError:
        structlog.get_logger().exception("ours")
        logging.getLogger("x").exception("theirs")
    assert out.getvalue().count("ValueError") >= 2
    assert JWT not in out.getvalue()


@pytest.mark.parametrize("key", ["prompt_tokens", "idempotency_key", "otp_challenge_id", "passwordless", "accessed"])
def test_what_only_sounds_secret_is_kept(out: StringIO, key: str) -> None:
    structlog.get_logger().info("x", **{key: 7})
    assert said(out)[key] == 7


def test_people_get_plain_lines() -> None:
    out = StringIO()
    logs.setup("console", "info", out)
    structlog.get_logger().info("hello", name="Ann")
    logging.getLogger("celery").warning("careful")
    first, second = out.getvalue().splitlines()
    assert "hello" in first
    assert "name=Ann" in first
    assert "careful" in second
