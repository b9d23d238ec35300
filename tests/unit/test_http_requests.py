"""What happens around every request: ids, callers, paths, headers, figures, log lines."""

import json
import re
from io import StringIO
from typing import Any

import pytest
from falcon.testing import TestClient
from tests.fakes import house

from adapters import logs

CLIENT = TestClient(house.app())
ID = "0197a000-0000-7000-8000-000000000000"


def caller(proxies: int = 0, **environ: str) -> Any:
    answer = house.call(house.app(trusted_proxies=proxies), PATH_INFO="/caller/", **environ)
    assert answer.status_code == 200
    return answer.json


@pytest.mark.parametrize("asked", ["a", "A.b_c-9", "x" * 64])
def test_a_well_formed_request_id_is_kept(asked: str) -> None:
    answer = CLIENT.simulate_get("/caller/", headers={"X-Request-ID": asked})
    assert answer.headers["x-request-id"] == asked == answer.json["request_id"]


@pytest.mark.parametrize("asked", ["", "x" * 65, "a b", "a\n", "ä", "a,b", "<script>"])
def test_any_other_request_id_is_replaced(asked: str) -> None:
    given = house.call(house.app(), PATH_INFO="/caller/", HTTP_X_REQUEST_ID=asked).headers["x-request-id"]
    assert given != asked
    assert re.fullmatch(r"[0-9a-f]{32}", given)


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "ip"),
    [
        (0, "9.9.9.9", "1.1.1.1", "9.9.9.9"),
        (0, "9.9.9.9", "", "9.9.9.9"),
        (1, "9.9.9.9", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        (1, "9.9.9.9", "", "9.9.9.9"),
        (2, "9.9.9.9", "6.6.6.6,1.1.1.1 , 8.8.8.8", "1.1.1.1"),
        (2, "9.9.9.9", "1.1.1.1", "1.1.1.1"),
        (1, "9.9.9.9", "6.6.6.6, nonsense", "9.9.9.9"),
        (1, "9.9.9.9", "1.1.1.1:4711", "1.1.1.1"),
        (1, "9.9.9.9", "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "9.9.9.9", "::ffff:1.1.1.1", "1.1.1.1"),
        (0, "fe80::1%eth0", "", "fe80::1"),
        (0, "unix", "", "0.0.0.0"),
    ],
)
def test_the_client_is_the_right_most_hop_that_is_not_ours(proxies: int, peer: str, forwarded: str, ip: str) -> None:
    assert caller(proxies, REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)["client"]["ip"] == ip


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("9.9.9.9", "9.9.9.9"),
        ("::ffff:9.9.9.9", "9.9.9.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
    ],
)
def test_limits_count_a_home_network_as_one(peer: str, network: str) -> None:
    assert caller(REMOTE_ADDR=peer)["client"]["network"] == network


def test_the_user_agent_is_kept_short_and_printable() -> None:
    agent = caller(HTTP_USER_AGENT="Best\x00 Browser\x1b[31m " + "x" * 9999)["client"]["user_agent"]
    assert agent.startswith("Best Browser[31m x")
    assert len(agent) <= 512


@pytest.mark.parametrize("path", ["/things/", "/things", "/healthz", "/healthz/", "/problems/refused", "/metrics/"])
def test_a_path_answers_with_and_without_its_slash(path: str) -> None:
    assert CLIENT.simulate_get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/things//", "/thing/", "/THINGS/", "/things/x/", "/things/\0/", "/things/a\nb", "/ÿ/"]
)
def test_any_other_path_is_404(path: str) -> None:
    tunnelled = path.encode().decode("latin-1")
    assert house.call(house.app(), PATH_INFO=tunnelled).json["type"] == "/problems/not-found"


def test_a_canonical_id_is_a_path() -> None:
    assert CLIENT.simulate_get(f"/things/{ID}/").json == {"id": ID}
    assert CLIENT.simulate_get(f"/things/{ID.upper()}").json == {"id": ID}


@pytest.mark.parametrize(
    "name", ["1", ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", ID.replace("7", "٧"), f"{ID}0", f" {ID}"]
)
def test_any_other_spelling_of_an_id_is_404(name: str) -> None:
    assert CLIENT.simulate_get(f"/things/{name}/").status_code == 404


def test_head_is_get_without_the_body() -> None:
    get, head = CLIENT.simulate_get("/things/"), CLIENT.simulate_head("/things/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))


def test_options_lists_the_methods() -> None:
    answer = CLIENT.simulate_options("/things/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_answers_are_not_sniffed_framed_or_kept() -> None:
    headers = CLIENT.simulate_get("/things/").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_a_page_may_use_its_own_style_and_nothing_else() -> None:
    policy = CLIENT.simulate_get("/docs/").headers["content-security-policy"]
    assert re.search(r"default-src 'none'; style-src 'sha256-[\w+/=]+';", policy)


def test_without_origins_no_page_elsewhere_may_read() -> None:
    answer = CLIENT.simulate_get("/things/", headers={"Origin": "https://app.test"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_page_of_an_allowed_origin_may_read() -> None:
    client = TestClient(house.app(cors_origins=("https://app.test", "https://other.test")))
    allowed = client.simulate_get("/things/", headers={"Origin": "https://app.test"}).headers
    assert allowed["access-control-allow-origin"] == "https://app.test"
    assert "Retry-After" in allowed["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in allowed
    assert allowed["vary"] == "Origin"
    stranger = client.simulate_get("/things/", headers={"Origin": "https://evil.test"}).headers
    assert "access-control-allow-origin" not in stranger
    assert stranger["vary"] == "Origin"


def test_a_preflight_is_answered() -> None:
    client = TestClient(house.app(cors_origins=("https://app.test",)))
    headers = {
        "Origin": "https://app.test",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    answer = client.simulate_options("/things/", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, POST"
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
    error = client.simulate_get("/nowhere/", headers={"Origin": "https://app.test"})
    assert error.headers["access-control-allow-origin"] == "https://app.test"


def test_requests_are_counted_by_route_method_and_status() -> None:
    app = house.app()
    client = TestClient(app)
    client.simulate_get(f"/things/{ID}/", query_string="token=hunter2")
    client.simulate_get("/nowhere/at/all/")
    house.call(app, REQUEST_METHOD="NONSENSE", PATH_INFO="/things")
    figures = client.simulate_get("/metrics").text
    assert 'http_requests_total{method="GET",route="/things/{thing_id:uuid}",status="200"} 1.0' in figures
    assert 'http_requests_total{method="GET",route="none",status="404"} 1.0' in figures
    assert 'http_requests_total{method="OTHER",route="/things",status="405"} 1.0' in figures
    assert 'http_request_duration_seconds_count{method="GET",route="/things/{thing_id:uuid}"} 1.0' in figures
    assert "hunter2" not in figures
    assert "nowhere" not in figures


@pytest.mark.usefixtures("logs_restored")
def test_a_request_is_one_log_line_without_what_the_client_chose() -> None:
    out = StringIO()
    logs.setup("json", "info", out)
    TestClient(house.app()).simulate_get(f"/things/{ID}/", query_string="q=hunter2", headers={"X-Request-ID": "r-7"})
    (line,) = out.getvalue().splitlines()
    said = json.loads(line)
    assert said.pop("ms") >= 0
    assert said.pop("at").endswith("Z")
    assert said == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "request_id": "r-7",
        "route": "/things/{thing_id:uuid}",
        "status": 200,
    }


@pytest.mark.parametrize(
    "query", ["%", "%zz", "%ff", "%00", "=", "&&&", "a" * 60_000, "q=%F0%9F", "limit=%00", "cursor=%ff", "\xff"]
)
def test_no_query_is_an_error_of_ours(query: str) -> None:
    for path in ("/caller/", "/things/", "/docs/", "/problems/"):
        assert house.call(house.app(), PATH_INFO=path, QUERY_STRING=query).status_code < 500


@pytest.mark.parametrize(
    "header",
    [
        "ACCEPT",
        "AUTHORIZATION",
        "ORIGIN",
        "COOKIE",
        "X_FORWARDED_FOR",
        "USER_AGENT",
        "HOST",
        "IF_NONE_MATCH",
        "RANGE",
        "EXPECT",
    ],
)
@pytest.mark.parametrize("value", ["", "\xff\xfe", "\x00", "a" * 10_000, ";;==,,", '"', "*/*;q=nan", "text/html;q=9"])
def test_no_header_is_an_error_of_ours(header: str, value: str) -> None:
    app = house.app(trusted_proxies=1, cors_origins=("https://app.test",))
    for path in ("/things/", "/docs/", "/problems/", "/nowhere/"):
        assert house.call(app, PATH_INFO=path, **{f"HTTP_{header}": value}).status_code < 500
