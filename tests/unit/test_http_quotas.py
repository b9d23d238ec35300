"""What is left of a day, told in headers that any client can read."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from tests.fakes.chat_api import ChatApi
from tests.quotas import Quota, quota

from adapters.http import ratelimits
from adapters.memory.model import ScriptedModel
from gemini_core.model.billing.plans import BASIC, PRO, Plans

ANN = uuid4()


def test_every_answer_to_a_message_tells_what_is_left_of_the_day() -> None:
    api = ChatApi.of(ScriptedModel(["One.", "Two."]), plans=Plans(replace(BASIC, daily_messages=2), PRO))
    room = api.room(ANN)

    def send(**headers: str) -> Any:
        return api.call(ANN, "POST", f"{room}message/", json={"content": "hello"}, headers=headers)

    accepted = send()
    api.final(ANN, room, accepted.json["reply"])
    streamed, refused = send(Accept="text/event-stream"), send()
    assert [answer.status_code for answer in (accepted, streamed, refused)] == [202, 200, 402]
    for answer, remaining in ((accepted, 1), (streamed, 0), (refused, 0)):
        standing = quota(answer)
        assert standing == Quota("daily", 2, ratelimits.DAY, remaining, standing.reset)
        assert standing.reset <= ratelimits.DAY
    assert "retry-after" in refused.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"ratelimit-policy": "daily;q=5;w=86400", "ratelimit": "daily;r=0;t=1"},
        {"ratelimit-policy": '"daily";q="5";w=86400', "ratelimit": '"daily";r=0;t=1'},
        {"ratelimit-policy": '"daily";q=5;w=86400', "ratelimit": '"daily";r=-1;t=1'},
        {"ratelimit-policy": '"daily";q=5;w=86400', "ratelimit": '"hourly";r=0;t=1'},
        {"ratelimit-policy": '"daily";q=5;w=86400', "ratelimit": '"daily";r=0;t=2', "retry-after": "1"},
        {"ratelimit-policy": '"daily" q=5', "ratelimit": '"daily";r=0;t=1'},
    ],
    ids=["a token", "a string for a number", "below zero", "another rule", "too early", "no structure"],
)
def test_the_reading_is_strict(headers: dict[str, str]) -> None:
    class Answer:
        pass

    answer = Answer()
    answer.headers = headers  # type: ignore[attr-defined]
    with pytest.raises((AssertionError, ValueError)):
        quota(answer)
