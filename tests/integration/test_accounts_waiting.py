"""Who has asked too often is told how long to wait, can rely on it, and learns nothing about anybody else."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.clock import StandingClock
from tests.integration.account_house import NUMBER, Api, house
from tests.quotas import Quota, quota

OTHER = "+14155552672"
PASSWORD = "correct horse"
FEW = {"OTP_SENDS_PER_IP_HOUR": "12", "CALLS_PER_MINUTE": "15", "ACCESS_TTL": "1800"}
# Codes are promised and no worker sends them: so the answer is the one that production gives.
UNSENT = {"OTP_SENDER": "webhook", "OTP_WEBHOOK_URL": "http://127.0.0.1:9/"}

Call = Callable[[], Any]


def asking(api: Api, number: str = NUMBER, **about: str) -> Call:
    return lambda: api.post("/auth/send-otp/", {"mobile_number": number}, **about)


def asking_for_neighbours(api: Api) -> Call:
    numbers = count(4155552600)
    return lambda: api.post("/auth/send-otp/", {"mobile_number": f"+1{next(numbers)}"})


def guessing_a_password(api: Api) -> Call:
    return lambda: api.post("/auth/send-otp/", {"mobile_number": NUMBER, "password": "wrong horse"})


def guessing_the_current_password(api: Api) -> Call:
    token = api.sign_up(password=PASSWORD)["access"]
    change = {"new_password": "another horse", "current_password": "wrong horse"}
    return lambda: api.post("/auth/change-password/", change, token=token)


def signing_up(api: Api) -> Call:
    return lambda: api.post("/auth/signup/", {"mobile_number": NUMBER})


def guessing_a_code(api: Api) -> Call:
    return lambda: api.post("/auth/verify-otp/", {"mobile_number": NUMBER, "otp": "123456"})


@pytest.mark.parametrize(
    ("policy", "calling", "minutes"),
    [
        ("resend", asking, 0),
        ("send-phone-hour", asking, 11),
        ("send-phone-day", asking, 61),
        ("send-network-hour", asking_for_neighbours, 0),
        ("password", guessing_a_password, 0),
        ("password", guessing_the_current_password, 0),
        ("signup", signing_up, 0),
        ("verify", guessing_a_code, 0),
    ],
)
def test_who_waits_as_long_as_they_are_told_is_served_and_nobody_a_second_earlier(
    postgres_url: str, valkey_url: str, tmp_path: Path, policy: str, calling: Callable[[Api], Call], minutes: int
) -> None:
    clock = StandingClock()
    with house(postgres_url, valkey_url, tmp_path, clock=clock, **FEW) as (api, _):
        call = calling(api)
        first = refused = call()
        while refused.status_code == first.status_code:
            clock.go_on(minutes=minutes)
            refused = call()
        wait = int(refused.headers["retry-after"])
        told = quota(refused)
        assert (refused.status_code, told) == (429, Quota(policy, told.limit, told.window, 0, wait))
        clock.go_on(seconds=wait - 1)
        early = call()
        assert (early.status_code, early.headers["retry-after"]) == (429, "1")
        clock.go_on(seconds=1)
        served = call()
        assert (served.status_code, served.json.get("type")) == (first.status_code, first.json.get("type"))


def test_who_waits_for_the_next_day_sends_again(postgres_url: str, valkey_url: str, tmp_path: Path) -> None:
    clock = StandingClock()
    with house(postgres_url, valkey_url, tmp_path, clock=clock) as (api, _):
        welcome = api.sign_up()

        def send(token: str) -> Any:
            room = api.post("/chatroom/", {}, token=token).json["id"]
            return api.post(f"/chatroom/{room}/message/", {"content": "hello"}, token=token)

        answers = [send(welcome["access"]) for _ in range(6)]
        assert [(answer.status_code, quota(answer).remaining) for answer in answers] == [
            *((202, left) for left in (4, 3, 2, 1, 0)),
            (402, 0),
        ]
        clock.go_on(seconds=int(answers[-1].headers["retry-after"]))
        served = send(api.post("/auth/refresh/", {"refresh": welcome["refresh"]}).json["access"])
        assert (served.status_code, quota(served).remaining) == (202, 4)


def test_nobody_elsewhere_learns_that_a_number_has_had_its_codes(
    postgres_url: str, valkey_url: str, tmp_path: Path
) -> None:
    clock = StandingClock()

    def answers(number: str, ip: str) -> list[Any]:
        """To five asks, a minute apart, without what is drawn by lot."""
        call, told = asking(api, number, ip=ip), []
        for _ in range(5):
            answer = call()
            lot = (answer.headers.pop("x-request-id"), answer.json.get("challenge_id"), answer.json.get("instance"))
            told.append((answer.status_code, answer.headers, [v for v in answer.json.items() if v[1] not in lot]))
            clock.go_on(minutes=1)
        return told

    with house(postgres_url, valkey_url, tmp_path, clock=clock, **UNSENT) as (api, _):
        api.post("/auth/signup/", {"mobile_number": NUMBER})
        first = answers(NUMBER, "192.0.2.1")
        assert [status for status, *_ in first] == [200, 200, 200, 429, 429]
        assert answers(NUMBER, "198.51.100.1") == first == answers(OTHER, "198.51.100.2")
