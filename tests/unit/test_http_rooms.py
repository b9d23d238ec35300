"""Rooms over HTTP: what they start with, what changes, and what the plan has to say about it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from tests.fakes.chat_api import ChatApi

from adapters.memory.model import ScriptedModel
from gemini_core.model.billing.plans import BASIC, PRO, Plans
from gemini_core.model.chat import RoomChange
from gemini_core.model.ids import UserId

ANN, BOB = uuid4(), uuid4()
# In the process everybody is on the basic plan, and the default model is `model`.
PLANS = Plans(replace(BASIC, models=("model", "small"), max_rooms=3), replace(PRO, models=("model", "small", "large")))


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(["Yes."])


@pytest.fixture
def api(model: ScriptedModel) -> ChatApi:
    return ChatApi.of(model, plans=PLANS)


def test_a_room_starts_with_what_it_is_given_and_goes_by_it(api: ChatApi, model: ScriptedModel) -> None:
    about = {"title": " Tea ", "system_instruction": "Be brief.", "model": "small"}
    answer = api.call(ANN, "POST", "/chatroom/", json=about)
    assert (answer.status_code, answer.headers["location"]) == (201, f"/chatroom/{answer.json['id']}/")
    assert answer.json.items() >= (about | {"title": "Tea", "message_count": 0, "pinned": False}).items()
    room = answer.headers["location"]
    assert api.call(ANN, "GET", room).json == answer.json | {"messages": []}
    api.final(ANN, room, api.send(ANN, room, "Is tea hot?")["reply"])
    assert (model.prompts[0].model, model.prompts[0].system) == ("small", "Be brief.")


def test_where_a_plan_has_not_the_default_model_its_first_one_answers(model: ScriptedModel) -> None:
    api = ChatApi.of(model, plans=Plans(replace(BASIC, models=("small", "tiny")), PRO))
    room = api.room(ANN)
    assert api.call(ANN, "GET", room).json["model"] == "small"
    reply = api.final(ANN, room, api.send(ANN, room, "Is tea hot?")["reply"])
    assert (reply["model"], model.prompts[0].model) == ("small", "small")
    assert (PRO.model_or("", "tiny"), PRO.model_or("")) == ("tiny", ""), "a core may have no default model"


def test_a_room_is_renamed_instructed_pinned_and_archived_one_thing_at_a_time(api: ChatApi) -> None:
    room = api.room(ANN)
    expected = api.call(ANN, "GET", "/chatroom/").json["items"][0]
    changes: list[dict[str, Any]] = [
        {"title": "Tea"}, {"system_instruction": "Be brief."}, {"model": "small"}, {"pinned": True}, {"archived": True},
        {"title": None, "system_instruction": None}, {"pinned": False, "archived": False},
    ]  # fmt: skip
    for change in changes:
        changed = api.call(ANN, "PATCH", room, json=change)
        expected |= change | {"updated_at": changed.json["updated_at"]}
        assert (changed.status_code, changed.json) == (200, expected)
        assert api.call(ANN, "GET", "/chatroom/").json["items"] == [expected]


def test_a_change_of_nothing_leaves_the_room_in_its_place(api: ChatApi) -> None:
    room = api.room(ANN, title="first")
    api.room(ANN, title="second")
    before = api.call(ANN, "GET", "/chatroom/").json["items"]
    changed = api.call(ANN, "PATCH", room, json={})
    assert (changed.status_code, changed.json) == (200, before[1])
    assert api.call(ANN, "GET", "/chatroom/").json["items"] == before
    assert api.call(BOB, "PATCH", room, json={}).status_code == 404


def test_archived_rooms_are_listed_apart(api: ChatApi) -> None:
    kept, archived = api.room(ANN, title="kept"), api.room(ANN, title="archived")
    assert api.call(ANN, "PATCH", archived, json={"archived": True}).status_code == 200
    for asked, titles in (("true", ["archived"]), ("false", ["kept"])):
        listed = api.call(ANN, "GET", "/chatroom/", params={"archived": asked}).json["items"]
        assert [room["title"] for room in listed] == titles
    assert api.call(ANN, "GET", "/chatroom/", params={"archived": "yes"}).status_code == 422
    assert api.call(ANN, "GET", kept).json["archived"] is False


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("title", "x" * 201, "too_long"),
        ("system_instruction", "x" * 8_001, "too_long"),
        ("model", "a model", "invalid_format"),
        ("model", "x" * 101, "too_long"),
        ("model", "", "invalid_format"),
        ("model", "../../x", "invalid_format"),
        ("model", "models/../x", "invalid_format"),
        ("model", "models/..", "invalid_format"),
        ("model", "publishers/x", "invalid_format"),
        ("model", "unheard-of", "not_a_choice"),
        ("pinned", "yes", "wrong_type"),
        ("owner", "me", "unknown_field"),
    ],
)
def test_what_cannot_be_is_named_with_its_limit_and_nothing_changes(
    api: ChatApi, field: str, value: str, code: str
) -> None:
    room = api.room(ANN, title="Tea")
    before = api.call(ANN, "GET", room).json
    answer = api.call(ANN, "PATCH", room, json={field: value})
    assert answer.status_code == 422, answer.text
    (error,) = answer.json["errors"]
    assert (error["field"], error["code"]) == (field, code)
    assert api.call(ANN, "GET", room).json == before
    if field != "pinned":
        assert api.call(ANN, "POST", "/chatroom/", json={field: value}).status_code == 422


def test_the_longest_title_and_instruction_are_taken_whatever_there_is_to_trim(api: ChatApi) -> None:
    longest = {"title": "\U0001f375" * 200, "system_instruction": "\U0001f375" * 8_000}
    padded = {field: " " * 40_000 + text for field, text in longest.items()}
    room = api.room(ANN, **padded)
    assert api.call(ANN, "GET", room).json.items() >= longest.items()
    assert api.call(ANN, "PATCH", room, json=padded).json.items() >= longest.items()


@pytest.mark.parametrize("model", ["gemini-3.8-flash", "models/gemini_3.8", "tunedModels/ours-7x"])
def test_a_model_may_be_named_as_its_provider_names_it(model: str) -> None:
    api = ChatApi.of(ScriptedModel(["Yes."]), plans=Plans(BASIC, PRO))
    assert api.call(ANN, "GET", api.room(ANN, model=model)).json["model"] == model


def test_a_model_outside_the_plan_is_refused_naming_the_plan_that_has_it(api: ChatApi) -> None:
    room = api.room(ANN)
    for answer in (
        api.call(ANN, "POST", "/chatroom/", json={"model": "large"}),
        api.call(ANN, "PATCH", room, json={"model": "large"}),
    ):
        assert (answer.status_code, answer.json["type"]) == (403, "/problems/model-not-in-plan")
        assert answer.json["detail"] == "The model large needs the plan pro."
    assert api.call(ANN, "GET", room).json["model"] == "model"
    assert len(api.call(ANN, "GET", "/chatroom/").json["items"]) == 1


def test_a_room_whose_model_the_plan_no_longer_has_is_answered_by_the_default_model(api: ChatApi) -> None:
    room, _ = api.core.create_room(UserId(ANN))
    now = datetime.now(UTC)
    # Chosen in better days, on the plan pro.
    api.core.change_room.rooms.change(room.user_id, room.id, RoomChange(model="large"), now=now)
    path = f"/chatroom/{room.id}/"
    assert api.call(ANN, "GET", path).json["model"] == "large"
    assert api.final(ANN, path, api.send(ANN, path, "one")["reply"])["model"] == "model"


def test_a_plans_rooms_are_counted(api: ChatApi) -> None:
    rooms = [api.room(ANN) for _ in range(3)]
    answer = api.call(ANN, "POST", "/chatroom/", json={})
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/room-limit-reached")
    assert api.call(ANN, "DELETE", rooms[0]).status_code == 204
    api.room(ANN)
