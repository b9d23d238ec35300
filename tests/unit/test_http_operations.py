"""Operations: health, readiness, and a description that is true to the code."""

import re
import threading
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from falcon import inspect
from falcon.testing import TestClient
from msgspec import Struct
from tests.fakes import house
from tests.fakes.chat_api import ChatApi

from adapters.http import openapi
from adapters.http.app import assemble, with_operations
from adapters.http.describing import describe
from adapters.http.operations import Probe, Readyz
from adapters.http.routing import Route, Router, Topic
from adapters.memory.model import ScriptedModel
from gemini_core.model.billing.plans import BASIC, PRO, Plans

inspect.register_router(Router)(inspect.inspect_compiled_router)


def fail() -> None:
    raise ConnectionRefusedError("postgresql://root:hunter2@db/")


def test_the_process_answers() -> None:
    assert TestClient(house.app()).simulate_get("/healthz/").json == {"status": "ok"}


def ready(**probes: Probe) -> Any:
    return TestClient(house.app(probes=probes)).simulate_get("/readyz/")


def test_all_there_is_ready() -> None:
    answer = ready(database=Probe(lambda: None), redis=Probe(lambda: 1))
    assert (answer.status_code, answer.json["status"]) == (200, "ready")
    assert {name: check["state"] for name, check in answer.json["checks"].items()} == {"database": "up", "redis": "up"}
    assert all(check["time_ms"] >= 0 for check in answer.json["checks"].values())


def test_something_needed_that_is_down_is_503() -> None:
    answer = ready(database=Probe(fail), redis=Probe(lambda: 1))
    assert (answer.status_code, answer.json["status"]) == (503, "unavailable")
    assert answer.json["checks"]["database"]["state"] == "down"
    assert answer.headers["retry-after"] == "5"
    assert "hunter2" not in answer.text


def test_something_not_needed_that_is_down_is_degraded() -> None:
    answer = ready(database=Probe(lambda: None), redis=Probe(fail, needed=False))
    assert (answer.status_code, answer.json["status"]) == (200, "degraded")


def test_a_probe_that_hangs_is_down_and_is_not_asked_twice_meanwhile() -> None:
    release, asked = threading.Event(), []

    def hang() -> None:
        asked.append(1)
        release.wait()

    readyz = Readyz({"database": Probe(hang), "redis": Probe(lambda: None)}, seconds=0.2)
    client = TestClient(assemble((Topic("Test", (Route("/impatient/", readyz),)),), house.edge()))
    for _ in range(2):
        answer = client.simulate_get("/impatient/")
        assert answer.status_code == 503
        assert answer.json["checks"]["redis"]["state"] == "up"
        assert answer.json["checks"]["database"]["time_ms"] >= 200
    assert asked == [1]
    release.set()


def test_every_route_and_method_is_described_and_nothing_else() -> None:
    edge = house.edge()
    topics = with_operations(house.house(edge), edge)
    described = {
        (method.upper(), path) for path, methods in openapi.document(topics, "")["paths"].items() for method in methods
    }
    answered = {
        (method.method, re.sub(r":\w+", "", route.path))
        for route in inspect.inspect_routes(assemble(house.house(edge), edge))
        for method in route.methods
        if not method.internal and method.method != "HEAD"
    }
    assert {(method, path.rstrip("/")) for method, path in described} == answered


def test_a_responder_without_a_description_is_an_error() -> None:
    class Silent:
        def on_get(self, req: Any, resp: Any) -> None: ...

    with pytest.raises(LookupError, match="GET /silent/ is not described"):
        list(openapi.described((Topic("T", (Route("/silent/", Silent()),)),)))


def description() -> Any:
    return TestClient(house.app()).simulate_get("/openapi.json").json


def test_the_description_names_version_server_and_security() -> None:
    document = description()
    assert document["openapi"] == "3.1.0"


def test_the_description_is_made_of_the_structs() -> None:
    edge = house.edge()
    document = openapi.document(with_operations(house.house(edge), edge), "https://api.test")
    post = document["paths"]["/things/"]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Thing"}
    thing = document["components"]["schemas"]["Thing"]
    assert thing["required"] == ["name"]
    assert thing["additionalProperties"] is False
    assert thing["properties"]["name"] == {"type": "string", "minLength": 1, "maxLength": 10}
    assert set(post["responses"]) == {"201", "400", "413", "415", "422", "429", "500"}
    one = document["paths"]["/things/{thing_id}/"]["patch"]
    assert one["security"] == [{"bearer": []}]
    assert {"401", "404"} <= set(one["responses"])
    assert one["parameters"][0]["schema"] == {"type": "string", "format": "uuid"}
    names = [parameter["name"] for parameter in document["paths"]["/things/"]["get"]["parameters"]]
    assert names == ["limit", "cursor"]


class This(Struct):
    here: str


class That(Struct):
    there: str


def test_an_answer_that_may_be_this_or_that_is_described_as_such() -> None:
    class Either:
        @describe("This or that", answers={200: This | That}, signed_in=False)
        def on_get(self, req: Any, resp: Any) -> None: ...

    document = openapi.document((Topic("T", (Route("/either/", Either()),)),), "")
    answer = document["paths"]["/either/"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"anyOf": [{"$ref": "#/components/schemas/This"}, {"$ref": "#/components/schemas/That"}]}
    assert document["components"]["schemas"]["That"]["required"] == ["there"]


def test_a_type_is_told_in_one_line_and_its_times_and_choices_are_named() -> None:
    schemas = ChatApi.of(ScriptedModel(["Yes."])).client.simulate_get("/openapi.json").json["components"]["schemas"]
    assert [name for name, schema in schemas.items() if "\n" in schema["description"]] == []
    message = schemas["MessageAnswer"]["properties"]
    assert message["created_at"] == {"type": "string", "format": "date-time"}
    assert schemas["Role"]["enum"] == ["model", "user"]
    assert message["status"] == {"$ref": "#/components/schemas/Status"}


def test_what_a_query_or_header_may_be_is_described_as_it_is_checked() -> None:
    api = ChatApi.of(ScriptedModel(["Yes."]))
    paths = api.client.simulate_get("/openapi.json").json["paths"]
    message = "/chatroom/{room_id}/message/{message_id}/"
    schemas = {
        parameter["name"]: parameter["schema"]
        for operation in (paths["/chatroom/"]["get"], paths["/chatroom/"]["post"], paths[message]["get"])
        for parameter in operation["parameters"]
    }
    assert schemas["limit"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    assert schemas["wait"] == {"type": "integer", "minimum": 0, "maximum": 30, "default": 0}
    visible = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    assert schemas["Idempotency-Key"] == visible
    for limit, status in ((0, 422), (1, 200), (100, 200), (101, 422)):
        assert api.call(UUID(int=1), "GET", f"/chatroom/?limit={limit}").status_code == status
    for key, status in (("!" * 255, 201), ("!" * 256, 422), ("~", 201), ("a b", 422)):
        answer = api.call(UUID(int=1), "POST", "/chatroom/", json={}, headers={"Idempotency-Key": key})
        assert answer.status_code == status


def test_every_header_that_is_sent_is_described() -> None:
    api, user = ChatApi.of(ScriptedModel(["Yes."]), plans=Plans(replace(BASIC, daily_messages=1), PRO)), UUID(int=1)
    described = api.client.simulate_get("/openapi.json").json["paths"]["/chatroom/{room_id}/message/"]["post"]
    room = api.room(user)
    everywhere = {name.lower() for name in TestClient(house.app()).simulate_get("/healthz/").headers}
    for status in (202, 402):
        answer = api.call(user, "POST", f"{room}message/", json={"content": "a"})
        assert answer.status_code == status
        told = {name.lower() for name in described["responses"][str(status)]["headers"]}
        assert answer.headers.keys() - everywhere <= told
        assert {"ratelimit", "ratelimit-policy"} <= told
    assert set(described["responses"]["429"]["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}


def test_every_reference_leads_somewhere_and_every_operation_has_its_own_id() -> None:
    document = openapi.document(with_operations(house.house(house.edge()), house.edge()), "https://api.test")
    schemas = document["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", str(document))) <= schemas.keys()
    ids = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(ids) == len(set(ids))


def test_the_page_shows_every_call_and_runs_no_script() -> None:
    document = description()
    page = TestClient(house.app()).simulate_get("/docs/").text
    for path, methods in document["paths"].items():
        assert f"<code>{path}</code>" in page
        for operation in methods.values():
            assert operation["summary"] in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
