"""Chat over HTTP: what a client sees of rooms, messages and replies."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.fakes.chat_api import ChatApi

from adapters.memory.embedded import chat
from adapters.memory.model import ScriptedModel
from gemini_core.errors import Failure, NotFound, Unavailable
from gemini_core.model.chat import Message, Usage
from gemini_core.model.replies import Piece
from gemini_core.ports.chat import MessageRepo

JSON = {"Content-Type": "application/json"}
ANN, BOB = uuid4(), uuid4()
NOBODYS = UUID("019e35ce-b600-7c6e-be7d-5e91df7a0702")


@pytest.fixture
def api() -> ChatApi:
    return ChatApi.of(ScriptedModel([f"Answer {number}." for number in range(20)]))


def test_another_reply_is_accepted_like_a_message_and_the_earlier_one_stays_an_alternative(api: ChatApi) -> None:
    room = api.room(ANN, title="Tea")
    sent = api.send(ANN, room, "hello")
    earlier = api.final(ANN, room, sent["reply"])
    again = api.call(ANN, "POST", f"{room}message/{earlier['id']}/regenerate/")
    assert again.status_code == 202, again.text
    assert again.json["message"] == sent["message"]
    reply = again.json["reply"]
    assert again.headers["location"] == f"{room}message/{reply['id']}/"
    assert "r=3" in again.headers["ratelimit"]
    final = api.final(ANN, room, reply)
    assert (final["content"], final["reply_to"]) == ("Answer 1.", sent["message"]["id"])
    asked = {"reply_to": sent["message"]["id"]}
    listed = api.call(ANN, "GET", f"{room}message/", params=asked).json
    assert listed == {"items": [earlier | {"superseded": True}, final], "next_cursor": None}
    first = api.call(ANN, "GET", f"{room}message/", params={**asked, "limit": 1}).json
    second = api.call(ANN, "GET", f"{room}message/", params={**asked, "limit": 1, "cursor": first["next_cursor"]}).json
    assert [*first["items"], *second["items"]] == listed["items"]
    current = api.call(ANN, "GET", f"{room}message/").json["items"]
    assert [message["id"] for message in current] == [sent["message"]["id"], reply["id"]]


def test_a_reply_tells_which_model_answered_in_the_models_own_words() -> None:
    said = [Piece("Hi", model="model-002"), Piece(usage=Usage(3, 1), finish_reason="stop", model="model-002")]
    api = ChatApi.of(ScriptedModel([said, "Nobody says who speaks."]))
    room = api.room(ANN)
    for model in ("model-002", "model"):
        assert api.final(ANN, room, api.send(ANN, room, "hello")["reply"])["model"] == model


def test_an_edit_goes_on_from_there(api: ChatApi) -> None:
    room = api.room(ANN)
    first = api.send(ANN, room, "one")
    api.final(ANN, room, first["reply"])
    edited = api.call(ANN, "POST", f"{room}message/{first['message']['id']}/edit/", json={"content": " eins "})
    assert edited.status_code == 202, edited.text
    assert edited.json["message"]["content"] == "eins"
    assert "superseded" not in edited.json["message"]
    api.final(ANN, room, edited.json["reply"])
    shown = api.call(ANN, "GET", room).json
    assert [message["content"] for message in shown["messages"]] == ["eins", "Answer 1."]
    assert shown["message_count"] == 2
    old = api.call(ANN, "GET", f"{room}message/{first['message']['id']}/").json
    assert (old["content"], old["superseded"]) == ("one", True)


def test_an_edit_with_the_same_key_has_its_effect_once(api: ChatApi) -> None:
    room = api.room(ANN)
    path = f"{room}message/{api.send(ANN, room, 'one')['message']['id']}/edit/"
    key = {"Idempotency-Key": "k"}
    first, again = (api.call(ANN, "POST", path, headers=key, json={"content": "eins"}) for _ in range(2))
    assert (first.json, again.headers["idempotent-replayed"]) == (again.json, "true")
    other = api.call(ANN, "POST", path, headers=key, json={"content": "uno"})
    assert (other.status_code, other.json["type"]) == (422, "/problems/idempotency-key-reused")


@pytest.mark.parametrize("deed", ["regenerate", "cancel"])
def test_what_takes_no_body_refuses_one_that_says_anything(api: ChatApi, deed: str) -> None:
    room = api.room(ANN)
    reply = api.final(ANN, room, api.send(ANN, room, "one")["reply"])
    path, form = f"{room}message/{reply['id']}/{deed}/", {"Content-Type": "application/x-www-form-urlencoded"}
    refused = api.call(ANN, "POST", path, json={"x": 1})
    assert [(error["field"], error["code"]) for error in refused.json["errors"]] == [("x", "unknown_field")]
    assert api.call(ANN, "POST", path, body="x=1", headers=form).status_code == 415
    assert len(api.call(ANN, "GET", f"{room}message/", params={"reply_to": reply["reply_to"]}).json["items"]) == 1
    done = {"regenerate": 202, "cancel": 409}[deed]
    for body, headers in (b"{}", JSON), (b"", JSON), (b"", form), (b"", {}):
        answer = api.call(ANN, "POST", path, body=body, headers=headers)
        assert answer.status_code == done, answer.text
        if done == 202:
            api.final(ANN, room, answer.json["reply"])
            path = f"{room}message/{answer.json['reply']['id']}/{deed}/"


def test_a_message_is_measured_when_it_is_trimmed(api: ChatApi) -> None:
    room, longest = api.room(ANN), "\U0001f375" * 32_000
    path = f"{room}message/{api.send(ANN, room, ' ' * 130_000 + 'a')['message']['id']}/edit/"
    for where in (f"{room}message/", path):
        sent = api.call(ANN, "POST", where, json={"content": f"{longest}{' ' * 130_000}"})
        assert sent.json["message"]["content"] == longest
        (error,) = api.call(ANN, "POST", where, json={"content": f"{longest}."}).json["errors"]
        assert (error["field"], error["code"]) == ("content", "too_long")


def test_another_reply_is_streamed_where_the_client_asks_for_it(api: ChatApi) -> None:
    room = api.room(ANN)
    sent = api.send(ANN, room, "one")
    api.final(ANN, room, sent["reply"])
    path = f"{room}message/{sent['reply']['id']}/regenerate/"
    streamed = api.call(ANN, "POST", path, headers={"Accept": "text/event-stream"})
    assert streamed.status_code == 200
    assert streamed.text.count("event: done") == 1


def test_one_user_follows_so_many_replies_at_a_time_that_others_have_room() -> None:
    api = ChatApi.of(ScriptedModel(["Tea."]), threads=3)
    room = api.room(ANN)
    reply = api.final(ANN, room, api.send(ANN, room, "hello")["reply"])
    message = f"{room}message/{reply['id']}/"
    followed = [api.open(ANN, f"{message}stream/") for _ in range(2)]
    for refused in (f"{message}stream/", f"{message}?wait=1"):
        answer = api.call(ANN, "GET", refused)
        assert (answer.status_code, answer.json["type"]) == (429, "/problems/rate-limited")
    assert api.call(ANN, "GET", message).status_code == 200
    accepting = {"Accept": "text/event-stream"}
    sent = api.call(ANN, "POST", f"{room}message/", json={"content": "more"}, headers=accepting)
    assert (sent.status_code, sent.json["message"]["content"]) == (202, "more"), "it is accepted all the same"
    assert api.call(BOB, "GET", f"{api.room(BOB)}message/{NOBODYS}/stream/").status_code == 404
    followed.pop().close()
    assert b"event: done" in b"".join(followed.pop())
    for path in (f"{message}stream/", f"{message}?wait=1", f"{message}stream/"):
        assert api.call(ANN, "GET", path).status_code == 200


class Gone:
    """Messages of which there is nothing to be read any more."""

    def __init__(self, messages: MessageRepo, why: Failure) -> None:
        self._messages = messages
        self._why = why

    def show(self, *_: Any) -> Message:
        raise self._why

    def __getattr__(self, name: str) -> Any:
        return getattr(self._messages, name)


@pytest.mark.parametrize("why", [Unavailable("The database is away."), NotFound("The room is gone.")])
def test_a_message_that_is_accepted_but_cannot_be_followed_is_told_as_accepted(why: Failure) -> None:
    core = chat(ScriptedModel(["Tea."]))
    follow = core.follow_reply
    api = ChatApi.on(replace(core, follow_reply=replace(follow, messages=Gone(follow.messages, why))))
    path = f"{api.room(ANN)}message/"
    sent = api.call(ANN, "POST", path, json={"content": "hello"}, headers={"Accept": "text/event-stream"})
    assert (sent.status_code, sent.headers["content-type"]) == (202, "application/json")
    assert sent.json["message"]["content"] == "hello"


def test_what_cannot_be_gone_on_from_is_told_apart(api: ChatApi) -> None:
    room = api.room(ANN)
    sent = api.send(ANN, room, "one")
    said, reply = (f"{room}message/{sent[part]['id']}/" for part in ("message", "reply"))
    api.final(ANN, room, sent["reply"])
    edit = {"content": "two"}
    for user, path, body, status, slug in (
        (ANN, f"{reply}edit/", edit, 404, "not-found"),
        (BOB, f"{said}edit/", edit, 404, "not-found"),
        (BOB, f"{reply}regenerate/", None, 404, "not-found"),
        (ANN, f"{room}message/{NOBODYS}/regenerate/", None, 404, "not-found"),
        (ANN, f"{said}edit/", {"content": "  "}, 422, "invalid-request"),
        (ANN, f"{said}edit/", {}, 422, "invalid-request"),
        (ANN, f"{said}edit/", {**edit, "model": "x"}, 422, "invalid-request"),
    ):
        answer = api.call(user, "POST", path, **({} if body is None else {"json": body}))
        assert (answer.status_code, answer.json["type"]) == (status, f"/problems/{slug}"), (path, answer.text)
    assert api.call(ANN, "POST", f"{said}edit/", json=edit).status_code == 202
    for path, extra in ((f"{said}edit/", {"json": edit}), (f"{reply}regenerate/", {})):
        answer = api.call(ANN, "POST", path, **extra)
        assert (answer.status_code, answer.json["type"]) == (409, "/problems/superseded")


def test_before_and_reply_to_do_not_go_together(api: ChatApi) -> None:
    room = api.room(ANN)
    answer = api.call(ANN, "GET", f"{room}message/", params={"before": str(NOBODYS), "reply_to": str(NOBODYS)})
    assert answer.status_code == 422


def test_a_search_finds_the_users_own_words_with_room_and_snippet(api: ChatApi) -> None:
    room = api.room(ANN, title="Tea")
    sent = api.send(ANN, room, "What is matcha?")
    api.final(ANN, room, sent["reply"])
    found = api.call(ANN, "GET", "/chatroom/search/", params={"q": "matcha"})
    assert found.status_code == 200, found.text
    (hit,) = found.json["items"]
    assert hit.items() >= sent["message"].items()
    assert hit["chatroom"] == {"id": sent["message"]["chatroom_id"], "title": "Tea"}
    ((start, length),) = hit["highlights"]
    assert hit["snippet"][start : start + length] == "matcha"
    assert api.call(BOB, "GET", "/chatroom/search", params={"q": "matcha"}).json["items"] == []


@pytest.mark.parametrize("query", ["", "?q=", "?q=%20", "?q=" + "a" * 201, "?q=a&q=b", "?q=%00", "?q=a&limit=0"])
def test_a_search_for_nothing_or_too_much_is_refused(api: ChatApi, query: str) -> None:
    answer = api.call(ANN, "GET", f"/chatroom/search/{query}")
    assert (answer.status_code, answer.json["type"]) == (422, "/problems/invalid-request")


@pytest.mark.parametrize("query", ["?q=%FF", "?q=%ED%A0%80", "?q=%27%22%5C", "?q=a%26%7C%21"])
def test_a_search_for_anything_is_answered(api: ChatApi, query: str) -> None:
    assert api.call(ANN, "GET", f"/chatroom/search/{query}").status_code in (200, 422)


def test_a_search_is_paged_by_a_cursor_of_its_own(api: ChatApi) -> None:
    room = api.room(ANN)
    for number in range(3):
        api.final(ANN, room, api.send(ANN, room, f"matcha {number}")["reply"])
    seen, cursor = [], None
    while True:
        asked = {"q": "matcha", "limit": 2, **({"cursor": cursor} if cursor else {})}
        page = api.call(ANN, "GET", "/chatroom/search/", params=asked).json
        seen += [hit["id"] for hit in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
        other = api.call(ANN, "GET", "/chatroom/search/", params={"q": "sencha", "cursor": cursor})
        assert (other.status_code, other.json["type"]) == (400, "/problems/bad-cursor")
    assert len(seen) == len(set(seen)) == 3
