"""Accounts over HTTP, with the shipped parts: PostgreSQL, Redis, and the settings of development."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from falcon.testing import StartResponseMock, create_environ
from hypothesis import assume, given, settings
from hypothesis import strategies as some
from psycopg import sql
from tests.fakes.clock import StandingClock
from tests.integration.account_house import NUMBER, Api, house

from adapters.argon2.hasher import Argon2Hasher
from adapters.local.processes import until
from adapters.local.valkey import Valkey
from adapters.wiring.container import Container
from gemini_core.errors import Unavailable
from gemini_core.model.accounts.people import Client
from gemini_core.model.jobs import JobState

OTHER = "+14155552672"
PASSWORD = "correct horse"
House = tuple[Api, Container]


def cut_off(postgres_url: str) -> None:
    """From now on nobody gets at this database."""
    server, _, name = postgres_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


@pytest.fixture
def at_home(postgres_url: str, valkey_url: str, tmp_path: Path) -> Iterator[House]:
    with house(postgres_url, valkey_url, tmp_path) as found:
        yield found


@pytest.fixture
def api(at_home: House) -> Api:
    return at_home[0]


def test_the_journey_from_a_number_to_an_account_and_out_again(api: Api) -> None:
    welcome = api.sign_up(name="Ann", email="Ann@Example.com", username="ann")
    assert welcome.keys() == {"access", "refresh", "token_type", "expires_in", "user"}
    me = api.get("/user/me/", token=welcome["access"])
    assert me.json == welcome["user"]
    assert {k: me.json[k] for k in ("mobile_number", "name", "email", "username", "plan")} == {
        "mobile_number": NUMBER,
        "name": "Ann",
        "email": "Ann@example.com",
        "username": "ann",
        "plan": "basic",
    }
    pair = api.post("/auth/refresh/", {"refresh": welcome["refresh"]})
    assert pair.json.keys() == {"access", "refresh", "token_type", "expires_in"}
    assert api.post("/auth/refresh/", {"refresh": welcome["refresh"]}).json == pair.json
    sessions = api.get("/auth/sessions", token=pair.json["access"])
    assert [item["current"] for item in sessions.json["items"]] == [True]
    assert api.post("/auth/logout/", token=pair.json["access"]).status_code == 204
    gone = api.get("/user/me/", token=welcome["access"])
    assert gone.status_code == 401
    assert gone.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert api.post("/auth/refresh/", {"refresh": pair.json["refresh"]}).status_code == 401


def test_whose_account_goes_while_they_call_is_signed_out_and_signing_out_of_nothing_is_done(at_home: House) -> None:
    api, container = at_home
    token = api.sign_up()["access"]
    assert api.get("/user/me/", token=token).status_code == 200
    with container.database().connect() as connection:  # this moment: nobody has been told yet
        connection.exec_driver_sql("UPDATE users SET status = 'erasing'")
    for method, path in (
        ("GET", "/user/me/"),
        ("PATCH", "/user/me/"),
        ("DELETE", "/user/me/"),
        ("GET", "/user/me/usage/"),
        ("POST", "/chatroom/"),
        ("POST", "/subscribe/pro/"),
        ("GET", "/subscription/status/"),
        ("POST", "/subscription/cancel/"),
        ("POST", "/subscription/portal/"),
        ("POST", "/auth/logout-all/"),
    ):
        answer = api.call(method, path, {} if method == "PATCH" else None, token=token)
        assert (answer.status_code, answer.json["type"]) == (401, "/problems/unauthenticated"), path
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert api.post("/auth/logout/", token=token).status_code == 204


def test_a_number_finds_its_challenge_from_the_same_address_only(api: Api) -> None:
    api.post("/auth/signup/", {"mobile_number": NUMBER})
    sent = api.ask()
    body = {"mobile_number": NUMBER, "otp": sent["otp"]}
    assert api.post("/auth/verify-otp/", body, ip="198.51.100.1").status_code == 400
    assert api.post("/auth/verify-otp/", body).status_code == 200


def test_every_code_that_is_not_right_gets_the_same_answer(postgres_url: str, valkey_url: str, tmp_path: Path) -> None:
    clock = StandingClock()
    with house(postgres_url, valkey_url, tmp_path, clock=clock) as (api, _):
        api.sign_up()
        expired = api.ask()
        clock.go_on(seconds=300)
        used, locked = api.ask(ip="198.51.100.1"), api.ask(OTHER)
        assert api.type_in(used, ip="198.51.100.1").status_code == 200
        answers = [
            api.type_in(expired),
            api.type_in(used, ip="198.51.100.1"),
            *(api.type_in({**locked, "otp": "12345x"}) for _ in range(7)),
            api.type_in({"challenge_id": "A" * 24, "otp": "123456"}),
            api.type_in({"challenge_id": "é", "otp": "1"}),
            api.post("/auth/verify-otp/", {"mobile_number": OTHER, "otp": "1"}, ip="198.51.100.9"),
        ]
    bodies = {json.dumps({k: v for k, v in answer.json.items() if k != "instance"}) for answer in answers}
    headers = {json.dumps({k: v for k, v in answer.headers.items() if k != "x-request-id"}) for answer in answers}
    assert (len(bodies), len(headers)) == (1, 1)
    assert {answer.status_code for answer in answers} == {400}
    assert json.loads(bodies.pop())["type"] == "/problems/invalid-otp"


def test_a_code_opens_the_challenge_that_it_was_made_for_and_no_other(at_home: House) -> None:
    api, container = at_home
    signups = [api.post("/auth/signup/", {"mobile_number": number}) for number in (NUMBER, OTHER)]
    here, there = (api.ask(signup.json["user"]["mobile_number"]) for signup in signups)
    assert api.type_in({**there, "otp": here["otp"]}).status_code == 400
    with container.database().connect() as connection:
        tries = connection.exec_driver_sql("SELECT id, attempts FROM challenges").all()
    assert {tuple(row) for row in tries} == {(here["challenge_id"], 0), (there["challenge_id"], 1)}
    assert [api.type_in(sent).status_code for sent in (here, there)] == [200, 200]


def test_an_account_with_a_password_needs_it_and_tells_nobody_that_it_has_one(api: Api) -> None:
    api.sign_up(password=PASSWORD)
    without = api.ask(ip="198.51.100.1")
    unknown = api.ask(OTHER, ip="198.51.100.1")
    assert "otp" not in without
    assert without.keys() == unknown.keys()
    wrong = api.post("/auth/send-otp/", {"mobile_number": NUMBER, "password": "wrong horse"}, ip="198.51.100.2")
    nobody = api.post("/auth/send-otp/", {"mobile_number": OTHER, "password": "wrong horse"}, ip="198.51.100.2")
    assert (wrong.status_code, wrong.json["type"]) == (401, "/problems/invalid-credentials")
    assert {**wrong.json, "instance": ""} == {**nobody.json, "instance": ""}
    assert api.sign_in(password=PASSWORD)["user"]["mobile_number"] == NUMBER


def test_wrong_passwords_run_out(api: Api) -> None:
    api.sign_up(password=PASSWORD)
    body = {"mobile_number": NUMBER, "password": "wrong horse"}
    answers = [api.post("/auth/send-otp/", body, ip="198.51.100.2") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert int(answers[5].headers["retry-after"]) <= 900


def test_a_password_that_nobody_came_to_compare_costs_no_try_and_no_code(at_home: House) -> None:
    api, parts = at_home
    welcome = api.sign_up(password=PASSWORD)
    core, here, there = parts.core(), Client("192.0.2.1", "192.0.2.1"), Client("198.51.100.2", "198.51.100.2")
    full = Argon2Hasher(at_once=1, waiting=-1)
    send = replace(core.send_code, check=replace(core.send_code.check, hasher=full))
    change = replace(core.change_password, replace=replace(core.change_password.replace, hasher=full))
    for _ in range(6):
        with pytest.raises(Unavailable):
            send(there, NUMBER, password=PASSWORD)
        with pytest.raises(Unavailable):
            change(core.authenticate(welcome["access"]), here, "another horse", PASSWORD)
    assert api.sign_in(password=PASSWORD, ip=there.ip)["user"]["mobile_number"] == NUMBER
    body = {"new_password": "another horse", "current_password": PASSWORD}
    assert api.post("/auth/change-password/", body, token=welcome["access"]).status_code == 204


def test_a_sign_up_for_a_number_that_has_an_account_changes_nothing_and_looks_the_same(api: Api) -> None:
    api.sign_up(name="Ann")
    mallory, fresh = (
        api.post("/auth/signup/", {"mobile_number": number, "name": "Mallory", "password": PASSWORD}, ip="198.51.100.3")
        for number in (NUMBER, OTHER)
    )
    assert (mallory.status_code, mallory.json.keys()) == (fresh.status_code, fresh.json.keys())
    assert {**mallory.json["user"], "mobile_number": OTHER} == fresh.json["user"]
    owner = api.sign_in()
    assert owner["user"]["name"] == "Ann"
    wrong = {"mobile_number": NUMBER, "password": PASSWORD}
    assert api.post("/auth/send-otp/", wrong, ip="198.51.100.3").status_code == 401


def test_a_profile_given_by_somebody_else_never_becomes_the_owners(api: Api) -> None:
    mallory = {"mobile_number": NUMBER, "name": "Mallory", "password": PASSWORD}
    assert api.post("/auth/signup/", mallory, ip="198.51.100.3").status_code == 201
    assert "otp" not in api.ask(ip="192.0.2.9")
    api.post("/auth/signup/", {"mobile_number": NUMBER}, ip="192.0.2.10")
    owner = api.sign_in(ip="192.0.2.10")
    assert owner["user"]["name"] is None
    wrong = {"mobile_number": NUMBER, "password": PASSWORD}
    assert api.post("/auth/send-otp/", wrong, ip="198.51.100.3").status_code == 401


def test_a_forgotten_password_is_set_anew_and_everything_else_ends(api: Api) -> None:
    before = api.sign_up(password=PASSWORD)
    granted = api.type_in(api.ask(path="/auth/forgot-password/"))
    assert granted.json.keys() == {"reset_token", "expires_in", "next"}
    token = granted.json["reset_token"]
    weak = api.post("/auth/change-password/", {"reset_token": token, "new_password": "password"})
    assert (weak.status_code, weak.json["errors"][0]["field"]) == (422, "new_password")
    strong = {"reset_token": token, "new_password": "another horse"}
    assert api.post("/auth/change-password/", strong).status_code == 204
    assert api.post("/auth/change-password/", strong).status_code == 401
    assert api.get("/user/me/", token=before["access"]).status_code == 401
    assert api.post("/auth/refresh/", {"refresh": before["refresh"]}).status_code == 401
    old = {"mobile_number": NUMBER, "password": PASSWORD}
    assert api.post("/auth/send-otp/", old, ip="198.51.100.3").status_code == 401
    assert api.sign_in(password="another horse")["access"]


def test_a_password_is_changed_with_the_current_one_and_ends_every_other_session(api: Api) -> None:
    here, there = api.sign_up(password=PASSWORD), api.sign_in(password=PASSWORD, ip="198.51.100.1")
    change = {"new_password": "another horse"}
    assert api.post("/auth/change-password/", change, token=here["access"]).status_code == 422
    wrong = api.post("/auth/change-password/", {**change, "current_password": "x"}, token=here["access"])
    assert (wrong.status_code, wrong.json["type"]) == (401, "/problems/invalid-credentials")
    right = api.post("/auth/change-password/", {**change, "current_password": PASSWORD}, token=here["access"])
    assert right.status_code == 204
    assert api.get("/user/me/", token=here["access"]).status_code == 200
    assert api.get("/user/me/", token=there["access"]).status_code == 401
    assert api.post("/auth/refresh/", {"refresh": here["refresh"]}).status_code == 200
    assert api.post("/auth/refresh/", {"refresh": there["refresh"]}).status_code == 401


def test_five_wrong_current_passwords_and_no_more(api: Api) -> None:
    token = api.sign_up(password=PASSWORD)["access"]
    body = {"new_password": "another horse", "current_password": "wrong horse"}
    answers = [api.post("/auth/change-password/", body, token=token).status_code for _ in range(6)]
    assert answers == [401] * 5 + [429]
    assert api.post("/auth/change-password/", {**body, "current_password": PASSWORD}, token=token).status_code == 429


def test_a_first_password_is_set_right_after_signing_in_and_the_user_is_told(at_home: House) -> None:
    api, container = at_home
    token = api.sign_up()["access"]
    assert api.post("/auth/change-password/", {"new_password": PASSWORD}, token=token).status_code == 204
    core = container.core()
    for job in core.due_jobs(limit=100):
        core.run_job(job)
    inbox = api.get("/dev/inbox/").json["items"]
    assert "password was changed" in inbox[0]["text"]
    assert inbox[0]["mobile_number"] == NUMBER


def test_sessions_are_listed_page_by_page(api: Api) -> None:
    tokens = [api.sign_up()["access"], *(api.sign_in(ip=f"198.51.100.{number}")["access"] for number in range(2))]

    def page(query: str, token: str = tokens[0]) -> Any:
        return api.client.simulate_get(
            "/auth/sessions/", query_string=query, headers={"Authorization": f"Bearer {token}"}
        )

    everything = page("").json
    first = page("limit=2").json
    second = page(f"limit=2&cursor={first['next_cursor']}").json
    assert first["items"] + second["items"] == everything["items"]
    assert (len(second["items"]), second["next_cursor"], everything["next_cursor"]) == (1, None, None)
    stranger = api.sign_up(OTHER)["access"]
    for strange in (page("cursor=garbage"), page(f"cursor={first['next_cursor']}", stranger)):
        assert (strange.status_code, strange.json["type"]) == (400, "/problems/bad-cursor")
    assert [page(f"limit={limit}").status_code for limit in ("0", "101", "abc", "100")] == [422, 422, 422, 200]


def test_sessions_are_listed_and_ended_by_their_owner_alone(api: Api) -> None:
    owner, there, stranger = api.sign_up(), api.sign_in(ip="198.51.100.1"), api.sign_up(OTHER)
    items = api.get("/auth/sessions/", token=owner["access"]).json["items"]
    assert [item["current"] for item in items] == [False, True]
    assert items[0].keys() == {"id", "created_at", "last_used_at", "expires_at", "user_agent", "ip", "current"}
    path = f"/auth/sessions/{items[0]['id']}/"
    assert api.call("DELETE", path, token=stranger["access"]).status_code == 404
    assert api.get("/user/me/", token=there["access"]).status_code == 200
    assert api.call("DELETE", path, token=owner["access"]).status_code == 204
    assert api.get("/user/me/", token=there["access"]).status_code == 401
    assert api.post("/auth/logout-all/", token=owner["access"]).status_code == 204
    assert api.get("/user/me/", token=owner["access"]).status_code == 401


def test_whoever_signs_out_with_more_to_say_stays_signed_in(api: Api) -> None:
    token = api.sign_up()["access"]
    for path in ("/auth/logout/", "/auth/logout-all/"):
        assert api.post(path, {"x": 1}, token=token).status_code == 422
        assert api.get("/user/me/", token=token).status_code == 200
    assert api.post("/auth/logout/", {}, token=token).status_code == 204


def test_a_token_with_a_second_spelling_is_still_of_the_session_that_ended(api: Api) -> None:
    token = api.sign_up()["access"]
    assert api.post("/auth/logout/", token=token).status_code == 204
    for spelling in (token, token + "=", token + "=="):
        assert api.get("/user/me/", token=spelling).status_code == 401


def test_the_tokens_do_not_stand_for_each_other(api: Api) -> None:
    welcome = api.sign_up()
    assert api.get("/user/me/", token=welcome["refresh"]).status_code == 401
    assert api.post("/auth/refresh/", {"refresh": welcome["access"]}).status_code in (401, 422)


def test_a_profile_is_changed_in_what_is_named(api: Api) -> None:
    token = api.sign_up(name="Ann", username="ann")["access"]
    changed = api.call("PATCH", "/user/me/", {"name": "Anna", "username": None}, token=token)
    assert (changed.json["name"], changed.json["username"]) == ("Anna", None)
    for forbidden in (
        {"plan": "pro"},
        {"mobile_number": OTHER},
        {"credential_version": 1},
        {"verified": True},
        {"id": "x"},
    ):
        refused = api.call("PATCH", "/user/me/", forbidden, token=token)
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, next(iter(forbidden)))
    assert api.call("PATCH", "/user/me/", {"email": "nonsense"}, token=token).json["errors"][0]["field"] == "email"
    assert api.get("/user/me/", token=token).json == changed.json


def test_no_field_but_those_that_are_described_can_be_set(api: Api) -> None:
    """Whatever it is called, and whatever is to become of it."""
    token = api.sign_up(name="Ann")["access"]
    before = api.get("/user/me/", token=token).json
    calls = {
        ("PATCH", "/user/me/"): ({"name": "Eve"}, {"name", "email", "username"}),
        ("POST", "/auth/signup/"): (
            {"mobile_number": OTHER},
            {"mobile_number", "name", "email", "username", "password"},
        ),
        ("POST", "/auth/change-password/"): (
            {"new_password": PASSWORD},
            {"new_password", "current_password", "reset_token"},
        ),
    }
    likely = some.sampled_from(["plan", "role", "verified", "cred_ver", "status", "password_hash", "__proto__", "user"])
    anything = some.none() | some.booleans() | some.integers() | some.text(max_size=9) | some.lists(some.integers())

    @settings(max_examples=50)
    @given(call=some.sampled_from(list(calls)), name=likely | some.text(min_size=1, max_size=9), value=anything)
    def refuses(call: tuple[str, str], name: str, value: Any) -> None:
        good, fields = calls[call]
        assume(name not in fields)
        assert api.call(*call, {**good, name: value}, token=token).status_code == 422

    refuses()
    assert api.get("/user/me/", token=token).json == before
    assert api.sign_in()["user"] == before


def near_at_hand(container: Container) -> list[bytes]:
    """What Redis has of rooms and replies."""
    redis = container.redis()
    lists = [field for key in redis.scan_iter("rooms:*") for field in redis.hkeys(key)]
    return [*redis.scan_iter("feed:*"), *(field for field in lists if field not in (b"version", b"closed"))]


def test_of_a_deleted_account_nothing_that_was_said_stays_in_redis(at_home: House) -> None:
    api, container = at_home
    token, core = api.sign_up()["access"], container.core()

    def work() -> None:
        for job in core.due_jobs(limit=100):
            core.run_job(job)

    room = api.post("/chatroom/", {"title": "A secret"}, token=token).json["id"]
    assert api.post(f"/chatroom/{room}/message/", {"content": "hello"}, token=token).status_code == 202
    work()
    assert until(lambda: bool(api.get("/chatroom/", token=token) and near_at_hand(container)[1:]), within=5)
    assert api.call("DELETE", "/user/me/", token=token).status_code == 202
    work()
    assert near_at_hand(container) == []


def test_a_deleted_account_is_out_at_once_and_erased_by_the_promise(at_home: House) -> None:
    api, container = at_home
    welcome = api.sign_up(name="Ann", password=PASSWORD)
    assert api.call("DELETE", "/user/me/", token=welcome["access"]).status_code == 202
    assert api.get("/user/me/", token=welcome["access"]).status_code == 401
    assert api.post("/auth/refresh/", {"refresh": welcome["refresh"]}).status_code == 401
    core = container.core()
    for job in core.due_jobs(limit=100):
        core.run_job(job)
    assert core.job_admin.list_jobs(state=JobState.DEAD, kind=None, limit=10, after=None).items == ()
    with container.database().connect() as connection:
        for table in ("users", "sessions", "signups", "challenges", "phones"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() == 0, table
    again = api.sign_up(ip="198.51.100.1")
    assert (again["user"]["name"], again["user"]["id"] == welcome["user"]["id"]) == (None, False)


def test_users_get_everything_that_is_held_about_them(api: Api) -> None:
    token = api.sign_up(name="Ann")["access"]
    answer = api.get("/user/me/export/", token=token)
    held = json.loads(answer.text)
    assert held["account"][0]["name"] == "Ann"
    assert "password_hash" not in held["account"][0]
    assert len(held["sessions"]) == 1
    assert "session.opened" in {event["event"] for event in held["events"]}


def test_an_export_does_not_begin_where_nothing_can_be_read(api: Api, postgres_url: str) -> None:
    token = api.sign_up()["access"]
    cut_off(postgres_url)
    answer = api.get("/user/me/export/", token=token)
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/unavailable")
    assert "content-disposition" not in answer.headers


def test_an_export_that_breaks_off_on_its_way_is_no_json_and_says_why(api: Api, postgres_url: str) -> None:
    told = StartResponseMock()
    headers = {"Authorization": f"Bearer {api.sign_up()['access']}"}
    pieces = iter(api.client.app(create_environ("/user/me/export/", headers=headers), told))
    began = next(pieces)
    cut_off(postgres_url)
    text = b"".join((began, *pieces)).decode()
    assert told.status == "200 OK"
    assert text.startswith('{"account":[{"')
    assert text.endswith('\n"incomplete": "The database cannot be reached right now."')


def test_an_access_token_is_no_refresh_token_however_long_the_name_of_its_issuer(
    postgres_url: str, valkey_url: str, tmp_path: Path
) -> None:
    with house(postgres_url, valkey_url, tmp_path, PUBLIC_URL=f"https://api.example/{'a' * 300}") as (api, _):
        access = api.sign_up()["access"]
        assert len(access) > 800
        assert api.post("/auth/refresh/", {"refresh": access}).status_code == 401


def test_every_answer_about_accounts_is_kept_by_nobody(api: Api) -> None:
    welcome = api.sign_up()
    answers = [
        api.post("/auth/signup/", {"mobile_number": OTHER}),
        api.post("/auth/signup/", {"mobile_number": "x"}),
        api.post("/auth/verify-otp/", {"challenge_id": "x", "otp": "1"}),
        api.post("/auth/refresh/", {"refresh": welcome["refresh"]}),
        api.get("/user/me/", token="x"),
        api.get("/auth/sessions/", token=welcome["access"]),
    ]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}


def test_the_public_keys_are_published(api: Api) -> None:
    answer = api.get("/.well-known/jwks.json")
    assert [key["crv"] for key in answer.json["keys"]] == ["Ed25519", "Ed25519"]
    assert all("d" not in key for key in answer.json["keys"])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/auth/signup/", {}, "mobile_number"),
        ("/auth/signup/", {"mobile_number": 14155552671}, "mobile_number"),
        ("/auth/signup/", {"mobile_number": NUMBER, "role": "admin"}, "role"),
        ("/auth/signup/", {"mobile_number": NUMBER, "password": "short"}, "password"),
        ("/auth/signup/", {"mobile_number": NUMBER, "email": "x"}, "email"),
        ("/auth/signup/", {"mobile_number": "+19005550123"}, "mobile_number"),
        ("/auth/send-otp/", {"mobile_number": "+1415"}, "mobile_number"),
        ("/auth/verify-otp/", {"otp": 12345, "challenge_id": "x"}, "otp"),
        ("/auth/verify-otp/", {"otp": "123456"}, "challenge_id"),
        ("/auth/verify-otp/", {"otp": "123456", "challenge_id": "x", "mobile_number": NUMBER}, "challenge_id"),
        ("/auth/refresh/", {"refresh": None}, "refresh"),
        ("/auth/change-password/", {}, "new_password"),
    ],
)
def test_a_body_that_is_not_as_it_should_be_names_the_field(api: Api, path: str, body: Any, field: str) -> None:
    answer = api.post(path, body)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)


def test_asking_again_too_soon_says_how_long_to_wait(postgres_url: str, valkey_url: str, tmp_path: Path) -> None:
    with house(postgres_url, valkey_url, tmp_path, clock=StandingClock()) as (api, _):
        api.post("/auth/signup/", {"mobile_number": NUMBER})
        for number in (NUMBER, OTHER):
            api.ask(number)
            again = api.post("/auth/send-otp/", {"mobile_number": number})
            assert (again.status_code, again.json["type"]) == (429, "/problems/rate-limited")
            assert again.headers["retry-after"] == "60"
            assert again.headers["ratelimit-policy"].startswith('"resend"')


def test_a_number_gets_three_codes_an_hour_wherever_they_are_asked_for(api: Api) -> None:
    api.sign_up(ip="192.0.2.1")
    assert ["otp" in api.ask(ip=f"192.0.2.{host}") for host in range(2, 6)] == [True, True, False, False]
    assert len(api.get("/dev/inbox/").json["items"]) == 3


def test_who_asked_for_all_three_codes_is_told_so(api: Api) -> None:
    api.sign_up()
    for _ in range(2):
        api.sign_in()
    fourth = api.post("/auth/send-otp/", {"mobile_number": NUMBER})
    assert fourth.status_code == 429
    assert fourth.headers["ratelimit-policy"] == '"send-phone-hour";q=3;w=3600'
    assert 3500 < int(fourth.headers["retry-after"]) <= 3600


def test_without_redis_no_code_leaves_nobody_is_locked_out_and_what_ended_stays_ended(
    postgres_url: str, private_valkey: Valkey, tmp_path: Path
) -> None:
    with house(postgres_url, private_valkey.url, tmp_path) as (api, container):
        welcome, ended = api.sign_up(), api.sign_in(ip="198.51.100.1")
        open_challenge = api.ask(OTHER)
        assert api.post("/auth/logout/", token=ended["access"]).status_code == 204
        sent_before = len(api.get("/dev/inbox/").json["items"])
        private_valkey.kill()
        refused = api.post("/auth/send-otp/", {"mobile_number": NUMBER}, ip="198.51.100.2")
        assert refused.status_code == 503
        assert len(api.get("/dev/inbox/").json["items"]) == sent_before
        assert api.get("/user/me/", token=welcome["access"]).status_code == 200
        assert api.get("/user/me/", token=ended["access"]).status_code == 401
        assert api.post("/auth/refresh/", {"refresh": welcome["refresh"]}).status_code == 200
        wrong = {"challenge_id": open_challenge["challenge_id"], "otp": "x"}
        statuses = Counter(api.post("/auth/verify-otp/", wrong).status_code for _ in range(8))
        assert statuses == {400: 8}
        with container.database().connect() as connection:
            compared = "SELECT count(*) FROM audit WHERE event = 'code.compared' AND detail->>'right' = 'false'"
            assert connection.exec_driver_sql(compared).scalar_one() == 5


def test_what_ended_while_redis_was_away_has_ended_when_it_is_back(
    postgres_url: str, private_valkey: Valkey, tmp_path: Path
) -> None:
    with (
        house(postgres_url, private_valkey.url, tmp_path) as (api, _),
        house(postgres_url, private_valkey.url, tmp_path) as (another, _),
    ):
        welcome, other = api.sign_up(), api.sign_in(ip="198.51.100.1")
        assert another.get("/user/me/", token=welcome["access"]).status_code == 200
        private_valkey.kill()
        assert api.post("/auth/logout/", token=welcome["access"]).status_code == 204
        private_valkey.start()
        for process in (another, api):
            assert process.get("/user/me/", token=other["access"]).status_code == 200
            assert process.get("/user/me/", token=welcome["access"]).status_code == 401


def test_a_logout_at_a_process_that_cannot_reach_redis_is_a_promise_that_outlives_it(
    postgres_url: str, valkey_url: str, tmp_path: Path
) -> None:
    with (
        house(postgres_url, valkey_url, tmp_path) as (api, container),
        house(postgres_url, "redis://127.0.0.1:1/0", tmp_path) as (cut_off, _),
    ):
        welcome, other = api.sign_up(), api.sign_in(ip="198.51.100.1")
        assert api.get("/user/me/", token=welcome["access"]).status_code == 200
        assert cut_off.post("/auth/logout/", token=welcome["access"]).status_code == 204
        core = container.core()
        for job in core.due_jobs(limit=10):
            core.run_job(job)
        assert api.get("/user/me/", token=welcome["access"]).status_code == 401
        assert api.get("/user/me/", token=other["access"]).status_code == 200


def test_the_cap_on_a_days_codes_says_so_and_calls_no_sender(
    postgres_url: str, valkey_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with house(postgres_url, valkey_url, tmp_path, OTP_SENDS_PER_DAY="10") as (api, _):
        for digit in range(10):
            api.sign_up(f"+1415555267{digit}")
        assert not caplog.records
        api.post("/auth/signup/", {"mobile_number": "+14155552680"})
        refused = api.post("/auth/send-otp/", {"mobile_number": "+14155552680"})
        assert (refused.status_code, refused.json["type"]) == (503, "/problems/temporary-reduced-capacity")
        assert len(api.get("/dev/inbox/").json["items"]) == 10
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("ERROR", "no codes leave: the cap on a day's codes is reached")
    ]


def test_the_switch_stops_every_code(postgres_url: str, valkey_url: str, tmp_path: Path) -> None:
    with house(postgres_url, valkey_url, tmp_path, OTP_SENDING="no") as (api, _):
        api.post("/auth/signup/", {"mobile_number": NUMBER})
        for path in ("/auth/send-otp/", "/auth/forgot-password/"):
            refused = api.post(path, {"mobile_number": NUMBER})
            assert (refused.status_code, refused.json["type"]) == (503, "/problems/temporary-reduced-capacity")
        assert api.get("/dev/inbox/").json["items"] == []


def test_countries_that_are_not_served_are_told_so(postgres_url: str, valkey_url: str, tmp_path: Path) -> None:
    with house(postgres_url, valkey_url, tmp_path, SMS_COUNTRIES="IN") as (api, _):
        refused = api.post("/auth/send-otp/", {"mobile_number": NUMBER})
        assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "country_not_served")
        assert api.sign_up("+919876543210")["access"]


def test_a_network_is_an_ipv6_64(postgres_url: str, valkey_url: str, tmp_path: Path) -> None:
    with house(postgres_url, valkey_url, tmp_path, OTP_SENDS_PER_IP_HOUR="3") as (api, _):
        statuses = [
            api.post("/auth/send-otp/", {"mobile_number": f"+1415555267{host}"}, ip=f"2001:db8::{host:x}:1").status_code
            for host in range(5)
        ]
        assert statuses == [200, 200, 200, 429, 429]
        other = api.post("/auth/send-otp/", {"mobile_number": "+14155552679"}, ip="2001:db8:0:1::1")
        assert other.status_code == 200


def test_decoys_give_back_what_others_share(at_home: House) -> None:
    api, _ = at_home
    for host in range(1, 6):
        assert "otp" not in api.ask(ip=f"203.0.113.{host}")
    assert api.sign_up()["access"]


def test_the_description_of_the_whole_product_is_there(api: Api) -> None:
    described = api.get("/openapi.json")
    assert described.status_code == 200
    answer = described.json["paths"]["/auth/verify-otp/"]["post"]["responses"]["200"]
    names = [kind["$ref"].rpartition("/")[2] for kind in answer["content"]["application/json"]["schema"]["anyOf"]]
    assert names == ["Welcome", "ResetAnswer"]
    assert "verify-otp" in api.get("/docs/").text
