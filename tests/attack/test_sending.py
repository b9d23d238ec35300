"""Texts that cost their owner money, asked for by somebody who types in none of the codes."""

import pytest
from tests.attack.target import Report, Target

from adapters.local.processes import until

# Out of the way is what else would stop it: neighbours share a prefix; each asks from an address of their own.
OBEYING = {
    "APP_ENV": "production",
    "OTP_BUDGETS": "obey",
    "OTP_SENDS_PER_PREFIX_HOUR": "1000",
    "SMS_COUNTRIES": "*",
    "STRIPE_SECRET_KEY": "sandbox",
}
NEIGHBOURS = [f"+62812345{number:05}" for number in range(500)]


@pytest.mark.rows("15")
def test_five_hundred_neighbours_in_a_country_where_nobody_types_in_a_code(victim: Target, found: Report) -> None:
    url = victim.site.api(**OBEYING).url
    asks = []
    for number in NEIGHBOURS:
        body, headers = {"mobile_number": number}, {"X-Forwarded-For": victim.ip()}
        assert victim.http.post(f"{url}/auth/signup/", json=body, headers=headers).status_code == 201
        asks.append(victim.http.post(f"{url}/auth/send-otp/", json=body, headers=headers))
    assert {answer.status_code for answer in asks} == {200}
    assert len({tuple(answer.json()) for answer in asks}) == 1
    under_way = "SELECT count(*) FROM jobs WHERE kind = 'send_code'"
    assert until(lambda: victim.site.ask(under_way) == [(0,)], within=60)
    texts = sum(len(victim.phones.texts[number]) for number in NEIGHBOURS)
    assert texts == 3
    found(f"500 asked for, {texts} texts sent; 500 answers alike")
