"""Files that come with messages: what is taken, what is refused, and what becomes of them."""

from base64 import b64encode
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from tests.fakes.chat_api import ChatApi

from adapters.local.processes import until
from adapters.memory.attachments import MemoryAttachments
from adapters.memory.embedded import chat
from adapters.memory.model import ScriptedModel
from gemini_core.errors import Unavailable
from gemini_core.model.attachments import File
from gemini_core.model.billing.plans import BASIC, PRO, Plans
from gemini_core.model.chat import Sent
from gemini_core.ports.chat import MessageRepo

ANN, BOB = uuid4(), uuid4()
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
LIMIT = 3_000
# In the process everybody is on the basic plan.
GENEROUS = Plans(replace(BASIC, attachments=True, max_attachment_bytes=LIMIT, daily_messages=20), PRO)
SAMPLES = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0rest",
    "image/webp": b"RIFF\0\0\0\0WEBPVP8 ",
    "image/heic": b"\0\0\0\x18ftypheic\0\0",
    "application/pdf": b"%PDF-1.7\n",
    "audio/wav": b"RIFF\0\0\0\0WAVEfmt ",
    "audio/mpeg": b"ID3\x04",
    "audio/ogg": b"OggS\0",
    "audio/flac": b"fLaC\0",
    "text/plain": "Grüße 🫖".encode(),
}


def file(media_type: str = "image/png", data: bytes = PNG) -> dict[str, str]:
    return {"media_type": media_type, "data": b64encode(data).decode()}


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(["A teapot."])


@pytest.fixture
def api(model: ScriptedModel) -> ChatApi:
    return ChatApi.of(model, plans=GENEROUS)


def stored(api: ChatApi) -> dict[Any, bytes]:
    store = api.core.send_message.attachments.store
    assert isinstance(store, MemoryAttachments)
    return store.files


def refused(api: ChatApi, room: str, *files: Any) -> Any:
    answer = api.call(ANN, "POST", f"{room}message/", json={"content": "look", "attachments": list(files)})
    assert answer.status_code == 422, answer.text
    assert stored(api) == {}
    assert api.call(ANN, "GET", f"{room}message/").json["items"] == []
    return answer.json


def test_files_go_to_the_model_with_the_message_and_are_told_of_wherever_it_is_shown(
    api: ChatApi, model: ScriptedModel
) -> None:
    room = api.room(ANN)
    sent = api.send(ANN, room, "look", attachments=[file(), file("text/plain", SAMPLES["text/plain"])])
    told = sent["message"]["attachments"]
    assert [(each["media_type"], each["size"]) for each in told] == [("image/png", 108), ("text/plain", 12)]
    assert "attachments" not in sent["reply"]
    api.final(ANN, room, sent["reply"])
    assert model.prompts[0].turns[-1].attachments == (File("image/png", PNG), File("text/plain", SAMPLES["text/plain"]))
    listed = api.call(ANN, "GET", f"{room}message/").json["items"]
    assert listed[0] == sent["message"]


class GoesAway:
    """Messages in the process, of a store that sends and is gone before it has said so, the first time."""

    def __init__(self, messages: MessageRepo) -> None:
        self._messages = messages
        self._gone = False

    def send(self, *args: Any, **about: Any) -> Sent:
        sent = self._messages.send(*args, **about)
        if not self._gone:
            self._gone = True
            raise Unavailable("The database is away.")
        return sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._messages, name)


def test_files_of_a_message_of_which_nobody_knows_whether_it_was_sent_are_kept(model: ScriptedModel) -> None:
    core = chat(model, plans=GENEROUS)
    send = core.send_message
    api = ChatApi.on(replace(core, send_message=replace(send, messages=GoesAway(send.messages))))
    room = api.room(ANN)
    asked: Any = {"json": {"content": "look", "attachments": [file()]}, "headers": {"Idempotency-Key": "k-1"}}
    assert api.call(ANN, "POST", f"{room}message/", **asked).status_code == 503
    again = api.call(ANN, "POST", f"{room}message/", **asked)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert api.call(ANN, "GET", path_of(room, again.json)).content == PNG


def path_of(room: str, sent: Any, place: int = 0) -> str:
    """Where a file of a sent message is."""
    message = sent["message"]
    return f"{room}message/{message['id']}/attachment/{message['attachments'][place]['id']}/"


@pytest.mark.parametrize("media_type", SAMPLES)
def test_every_type_that_is_promised_is_taken_and_given_back_byte_for_byte(api: ChatApi, media_type: str) -> None:
    room = api.room(ANN)
    sent = api.send(ANN, room, "look", attachments=[file(media_type, SAMPLES[media_type])])
    assert sent["message"]["attachments"][0]["media_type"] == media_type
    given = api.call(ANN, "GET", path_of(room, sent))
    assert (given.status_code, given.content, given.headers["content-type"]) == (200, SAMPLES[media_type], media_type)


def test_a_file_is_given_back_only_to_be_saved_and_by_nobody_in_between(api: ChatApi) -> None:
    room = api.room(ANN)
    page = b"<script>alert(1)</script>"
    sent = api.send(ANN, room, "look", attachments=[file(), file("text/plain", page)])
    given = api.call(ANN, "GET", path_of(room, sent, 1))
    id = sent["message"]["attachments"][1]["id"]
    assert given.content == page
    assert given.headers["content-disposition"] == f'attachment; filename="{id}.txt"'
    assert given.headers["x-content-type-options"] == "nosniff"
    assert given.headers["cache-control"] == "private, no-store"
    head = api.call(ANN, "HEAD", path_of(room, sent, 1))
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(page)))


def test_a_file_is_found_under_its_own_message_alone_and_not_after_its_room_is_gone(api: ChatApi) -> None:
    room = api.room(ANN)
    sent = api.send(ANN, room, "look", attachments=[file()])
    other = api.send(ANN, room, "look", attachments=[file()])
    path = path_of(room, sent)
    id, others = (each["message"]["attachments"][0]["id"] for each in (sent, other))
    for strange in (path.replace(id, others), path.replace(id, str(uuid4())), path.replace(id, "0")):
        answer = api.call(ANN, "GET", strange)
        assert (answer.status_code, answer.json["type"]) == (404, "/problems/not-found"), answer.text
    assert api.call(ANN, "GET", path).status_code == 200
    assert api.call(ANN, "DELETE", room).status_code == 204
    assert api.call(ANN, "GET", path).status_code == 404


def test_a_file_that_the_store_has_lost_is_not_found(api: ChatApi) -> None:
    room = api.room(ANN)
    sent = api.send(ANN, room, "look", attachments=[file()])
    stored(api).clear()
    assert api.call(ANN, "GET", path_of(room, sent)).status_code == 404


@pytest.mark.parametrize(
    ("bad", "field", "code"),
    [
        (file("image/svg+xml"), "attachments.1.media_type", "not_a_choice"),
        (file("IMAGE/PNG"), "attachments.1.media_type", "not_a_choice"),
        (file("image/jpeg"), "attachments.1.data", "wrong_type"),
        (file("text/plain"), "attachments.1.data", "wrong_type"),
        (file("application/pdf", b" %PDF-"), "attachments.1.data", "wrong_type"),
        (file(data=b""), "attachments.1.data", "too_short"),
        ({"media_type": "image/png", "data": "!!"}, "attachments.1.data", "invalid_format"),
        ({"media_type": "image/png"}, "attachments.1", "missing"),
        ({**file(), "name": "x"}, "attachments.1", "unknown_field"),
        ("x", "attachments.1", "wrong_type"),
    ],
)
def test_a_file_that_is_not_taken_is_named_and_nothing_is_kept(api: ChatApi, bad: Any, field: str, code: str) -> None:
    (error,) = refused(api, api.room(ANN), file(), bad)["errors"]
    assert (error["field"], error["code"]) == (field, code)


def test_files_beyond_the_plans_size_are_refused_with_the_limit(api: ChatApi) -> None:
    room = api.room(ANN)
    (error,) = refused(api, room, *[file("text/plain", b"x" * 1_001)] * 3)["errors"]
    assert (error["field"], error["code"]) == ("attachments", "too_large")
    assert "3,000 bytes" in error["message"]
    api.send(ANN, room, "look", attachments=[file("text/plain", b"x" * 1_000)] * 3)
    assert len(stored(api)) == 3


def test_more_files_than_ten_are_refused(api: ChatApi) -> None:
    (error,) = refused(api, api.room(ANN), *[file("text/plain", b"x")] * 11)["errors"]
    assert (error["field"], error["code"]) == ("attachments", "too_long")


def test_a_body_beyond_what_any_plan_takes_is_too_large() -> None:
    api = ChatApi.of(ScriptedModel(["x"]))
    room = api.room(ANN)
    limit = 1024 * 1024 + 4 * PRO.max_attachment_bytes // 3
    for size, status in ((limit, 422), (limit + 1, 413)):
        body = b'{"content": "' + b"x" * (size - 15) + b'"}'
        answer = api.call(ANN, "POST", f"{room}message/", body=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text


def test_a_plan_without_attachments_names_the_one_that_has_them() -> None:
    api = ChatApi.of(ScriptedModel(["x"]))
    room = api.room(ANN)
    answer = api.call(ANN, "POST", f"{room}message/", json={"content": "look", "attachments": [file()]})
    assert (answer.status_code, answer.json["type"]) == (403, "/problems/attachments-not-in-plan")
    assert "pro" in answer.json["detail"]
    assert stored(api) == {}
    api.send(ANN, room, "look", attachments=[])


def test_where_no_plan_has_attachments_messages_are_sent_without() -> None:
    api = ChatApi.of(ScriptedModel(["x"]), plans=Plans(BASIC, replace(PRO, attachments=False)))
    room = api.room(ANN)
    answer = api.call(ANN, "POST", f"{room}message/", json={"content": "look", "attachments": [file()]})
    assert (answer.status_code, answer.json["type"]) == (403, "/problems/attachments-not-in-plan")
    assert "not offered" in answer.json["detail"]
    api.send(ANN, room, "look")


def test_files_of_a_message_that_is_not_accepted_are_not_kept(api: ChatApi) -> None:
    room = api.room(BOB)
    answer = api.call(ANN, "POST", f"{room}message/", json={"content": "look", "attachments": [file()]})
    assert answer.status_code == 404
    assert stored(api) == {}


def test_a_replay_keeps_one_copy_and_other_files_are_another_request(api: ChatApi) -> None:
    room = api.room(ANN)
    key = {"Idempotency-Key": "k"}
    body = {"content": "look", "attachments": [file()]}
    first, again = (api.call(ANN, "POST", f"{room}message/", json=body, headers=key) for _ in range(2))
    assert first.status_code == again.status_code == 202
    assert (first.json, again.headers["idempotent-replayed"]) == (again.json, "true")
    assert len(stored(api)) == 1
    body["attachments"] = [file(data=PNG + b"!")]
    other = api.call(ANN, "POST", f"{room}message/", json=body, headers=key)
    assert (other.status_code, other.json["type"]) == (422, "/problems/idempotency-key-reused")
    assert len(stored(api)) == 1


def test_files_stay_with_an_edited_message_and_go_with_the_room(api: ChatApi, model: ScriptedModel) -> None:
    room, other = api.room(ANN), api.room(ANN)
    sent = api.send(ANN, room, "look", attachments=[file()])
    api.send(ANN, other, "look", attachments=[file()])
    edited = api.call(ANN, "POST", f"{room}message/{sent['message']['id']}/edit/", json={"content": "look again"})
    assert edited.json["message"]["attachments"] == sent["message"]["attachments"]
    api.final(ANN, room, edited.json["reply"])
    assert model.prompts[-1].turns[-1].attachments == (File("image/png", PNG),)
    assert api.call(ANN, "DELETE", room).status_code == 204
    assert until(lambda: len(stored(api)) == 1, within=10)
