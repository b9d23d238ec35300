"""Nobody reaches what is somebody else's: route by route, as the table of routes has them."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from tests.fakes.chat_api import ChatApi
from tests.fakes.house import edge

from adapters.http.app import chat
from adapters.http.routing import methods_of
from adapters.memory.model import ScriptedModel
from gemini_core.model.billing.plans import BASIC, PRO, Plans

ANN, BOB = uuid4(), uuid4()
FILE = {"media_type": "text/plain", "data": b64encode(b"Ann's").decode()}
TEXT = {"content": "x"}
BODIES: dict[str, Any] = {"POST message": TEXT, "POST edit": TEXT, "PATCH {room_id:uuid}": {"title": "mine"}}
# What a user has, and no room: another user has it too, and nothing of Ann's is in it.
OWN = {"GET /chatroom/", "POST /chatroom/", "GET /chatroom/search/", "GET /user/me/usage/"}


@pytest.fixture
def api() -> ChatApi:
    """Ann has a room, with a message, a file, a reply and an alternative to it."""
    plans = Plans(replace(BASIC, attachments=True, max_attachment_bytes=100), PRO)
    return ChatApi.of(ScriptedModel(["Matcha is a tea."]), plans=plans)


def routes(api: ChatApi) -> Iterator[tuple[str, str, Any]]:
    """Every method and path of chat, with a body that it takes."""
    for route in chat(api.core, edge()).routes:
        for method in methods_of(route):
            if method not in ("OPTIONS", "HEAD"):
                yield method, route.path, BODIES.get(f"{method} {route.path.rstrip('/').rpartition('/')[2]}")


def anns(api: ChatApi) -> tuple[str, list[dict[str, str]]]:
    """Her room's path; the names in paths for each of its messages."""
    room = api.room(ANN, title="Tea")
    sent = api.send(ANN, room, "What is matcha?", attachments=[FILE])
    message, first = sent["message"], api.final(ANN, room, sent["reply"])
    again = api.call(ANN, "POST", f"{room}message/{first['id']}/regenerate/").json["reply"]
    fixed = {"room_id": message["chatroom_id"], "attachment_id": message["attachments"][0]["id"]}
    return room, [{**fixed, "message_id": each["id"]} for each in (message, first, api.final(ANN, room, again))]


def at(path: str, names: dict[str, str]) -> str:
    return path.replace(":uuid", "").format(**names)


def test_anothers_room_message_stream_file_and_alternative_are_not_there_by_any_route(api: ChatApi) -> None:
    room, messages = anns(api)
    before = api.call(ANN, "GET", f"{room}message/").json
    asked = 0
    for method, path, body in routes(api):
        if f"{method} {path}" in OWN:
            continue
        for names in messages:
            for id in (names["room_id"], str(uuid4())):
                for headers in ({}, {"Accept": "text/event-stream"}):
                    more = {} if body is None else {"json": body}
                    call = at(path, {**names, "room_id": id})
                    answer = api.call(BOB, method, call, headers=headers, **more)
                    assert (answer.status_code, answer.json["type"]) == (404, "/problems/not-found"), (method, call)
                    asked += 1
    assert asked > 100
    alternatives = {"reply_to": messages[0]["message_id"]}
    assert api.call(BOB, "GET", f"{room}message/", params=alternatives).status_code == 404
    assert api.call(ANN, "GET", f"{room}message/").json == before
    assert api.call(ANN, "GET", room).json["title"] == "Tea"


def test_the_same_calls_reach_what_is_ones_own(api: ChatApi) -> None:
    _, messages = anns(api)
    refused = [
        (method, path)
        for method, path, _ in routes(api)
        if method == "GET"
        and all(api.call(ANN, method, at(path, names), params={"q": "matcha"}).status_code != 200 for names in messages)
    ]
    assert refused == []


def test_what_belongs_to_a_user_and_to_no_room_has_nothing_of_anothers(api: ChatApi) -> None:
    anns(api)
    own = {f"{method} {path}" for method, path, _ in routes(api) if "{" not in path}
    assert own == OWN
    assert api.call(BOB, "GET", "/chatroom/").json["items"] == []
    assert api.call(BOB, "GET", "/chatroom/search/", params={"q": "matcha"}).json["items"] == []
    assert api.call(BOB, "GET", "/user/me/usage/").json["used_today"] == 0
    assert len(api.call(ANN, "GET", "/chatroom/").json["items"]) == 1
    assert api.call(ANN, "GET", "/user/me/usage/").json["used_today"] == 2
