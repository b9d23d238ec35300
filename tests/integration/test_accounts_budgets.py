"""Texts that their owner pays for, over HTTP in production while days go by. The attack has who types in none."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.fakes.clock import StandingClock
from tests.integration.account_house import Api, house
from tests.integration.test_accounts_senders import Service, service

from gemini_core.core import Core

# Every limit is as it ships.
OBEYING = {
    "APP_ENV": "production",
    "GEMINI_API_KEY": "demo",
    "STRIPE_SECRET_KEY": "sandbox",
    "SMS_COUNTRIES": "*",
    "OTP_SENDER": "webhook",
    "OTP_BUDGETS": "obey",
}


@dataclass(frozen=True, slots=True)
class Country:
    """Neighbours with accounts, each at an address of their own, ask for codes one after the other, ten an hour."""

    api: Api
    clock: StandingClock
    phones: Service
    core: Core

    def asks(self, place: int, *, types_in: bool) -> bool:
        """Whether a text came. The code in it is typed in, or not."""
        number, ip = f"+62812345{place:05}", f"10.0.{place // 250}.{place % 250}"
        self.clock.go_on(minutes=6)
        self.phones.requests.clear()
        self.core.create_user(number, operator="op", name=None, email=None, username=None)
        challenge = self.api.ask(number, ip=ip)["challenge_id"]
        self._work()
        for _, _, body in self.phones.requests:
            text = json.loads(body)
            assert text["to"] == number
            if types_in:
                proof = {"challenge_id": challenge, "otp": text["text"].split()[0]}
                assert self.api.post("/auth/verify-otp/", proof, ip=ip).status_code == 200
                self._work()
        return bool(self.phones.requests)

    def _work(self) -> None:
        for job in self.core.due_jobs(limit=10):
            self.core.run_job(job)


@pytest.fixture
def country(postgres_url: str, valkey_url: str, tmp_path: Path) -> Iterator[Country]:
    clock = StandingClock()
    with (
        service(204) as phones,
        house(postgres_url, valkey_url, tmp_path, clock=clock, OTP_WEBHOOK_URL=phones.url, **OBEYING) as (api, parts),
    ):
        yield Country(api, clock, phones, parts.core())


def test_five_hundred_codes_leave_where_four_of_five_are_typed_in_and_three_an_hour_where_none_is_any_more(
    country: Country,
) -> None:
    assert all(country.asks(place, types_in=place % 5 < 4) for place in range(500))
    assert sum(country.asks(place, types_in=False) for place in range(500, 510)) == 3
