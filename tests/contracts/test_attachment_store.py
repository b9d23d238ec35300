"""The exam for what keeps files; sat by memory, by a folder and by a bucket."""

import logging
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.fakes import s3
from tests.fakes.s3 import FakeS3

from adapters.local.folder import FolderAttachments
from adapters.memory.attachments import MemoryAttachments
from adapters.s3.bucket import TRIES, S3Attachments
from gemini_core.errors import NotFound, Unavailable
from gemini_core.model.ids import ChatroomId, UserId, uuid7
from gemini_core.ports.attachments import AttachmentStore


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeS3]:
    with FakeS3() as fake:
        yield fake


@pytest.fixture
def fake(provider: FakeS3) -> FakeS3:
    provider.objects.clear()
    provider.requests.clear()
    return provider


def bucket(endpoint: str, url: str = f"s3://{s3.BUCKET}/of/ours", **other: Any) -> S3Attachments:
    keys = {"access_key": s3.ACCESS_KEY, "secret_key": s3.SECRET_KEY} | other
    return S3Attachments.at(url, region=s3.REGION, endpoint=endpoint, **keys)


@pytest.fixture(params=["memory", "folder", "bucket", "bucket without a prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> AttachmentStore:
    match request.param:
        case "memory":
            return MemoryAttachments()
        case "folder":
            return FolderAttachments(tmp_path / "files")
        case "bucket":
            return bucket(request.getfixturevalue("fake").url)
        case _:
            return bucket(request.getfixturevalue("fake").url, f"s3://{s3.BUCKET}")


def new() -> UUID:
    return uuid7(datetime.now(UTC))


ANN, BOB = UserId(new()), UserId(new())
ONE, TWO = ChatroomId(new()), ChatroomId(new())
DATA = bytes(range(256)) * 1000


def gone(store: AttachmentStore, owner: UserId, room: ChatroomId, id: UUID) -> bool:
    try:
        store.get(owner, room, id)
    except NotFound:
        return True
    return False


def test_a_file_is_kept_byte_for_byte(store: AttachmentStore) -> None:
    id = new()
    store.put(ANN, ONE, id, DATA)
    assert store.get(ANN, ONE, id) == DATA


def test_a_file_is_found_under_its_own_place_alone(store: AttachmentStore) -> None:
    id = new()
    store.put(ANN, ONE, id, DATA)
    assert gone(store, BOB, ONE, id)
    assert gone(store, ANN, TWO, id)
    assert gone(store, ANN, ONE, new())


EVERYTHING = {"one", "other", "elsewhere", "bobs"}
DROPS: dict[str, tuple[Callable[[AttachmentStore, UUID], None], set[str]]] = {
    "one": (lambda store, id: store.drop(ANN, ONE, id), {"other", "elsewhere", "bobs"}),
    "a room": (lambda store, _: store.drop(ANN, ONE), {"elsewhere", "bobs"}),
    "an owner": (lambda store, _: store.drop(ANN), {"bobs"}),
    "nothing that is there": (lambda store, _: store.drop(ANN, ONE, new()), EVERYTHING),
    "a room without files": (lambda store, _: store.drop(ANN, ChatroomId(new())), EVERYTHING),
}


@pytest.mark.parametrize("what", DROPS)
def test_what_is_dropped_is_gone_and_nothing_else_is(store: AttachmentStore, what: str) -> None:
    owners = {"one": (ANN, ONE), "other": (ANN, ONE), "elsewhere": (ANN, TWO), "bobs": (BOB, ONE)}
    places = {name: (owner, room, new()) for name, (owner, room) in owners.items()}
    for place in places.values():
        store.put(*place, DATA)
    drop, left = DROPS[what]
    for _ in range(2):
        drop(store, places["one"][2])
    assert {name for name, place in places.items() if not gone(store, *place)} == left


def test_many_files_at_once(store: AttachmentStore) -> None:
    ids = [new() for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda id: store.put(ANN, ONE, id, id.bytes), ids))
    assert all(store.get(ANN, ONE, id) == id.bytes for id in ids)


def test_a_folder_that_cannot_be_written_to_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file where a folder should be")
    store = FolderAttachments(tmp_path / "files")
    for deed in (lambda: store.put(ANN, ONE, new(), DATA), lambda: store.get(ANN, ONE, new()), store.check):
        with pytest.raises(Unavailable):
            deed()
    FolderAttachments(tmp_path / "others").check()
    assert not (tmp_path / "others").exists()


def test_a_folder_shows_its_files_to_nobody_else_and_leaves_no_halves(tmp_path: Path) -> None:
    FolderAttachments(tmp_path / "files").put(ANN, ONE, id := new(), DATA)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (path.name, path.stat().st_mode & 0o777) == (str(id), 0o600)


WORDS = b"Nobody else's to read"
DEEDS: dict[str, Callable[[AttachmentStore], object]] = {
    "put": lambda store: store.put(ANN, ONE, new(), WORDS),
    "get": lambda store: store.get(ANN, ONE, new()),
    "drop": lambda store: store.drop(ANN),
    "drop one": lambda store: store.drop(ANN, ONE, new()),
}
AWAY: dict[str, tuple[int, str]] = {
    "forbidden": (403, "AccessDenied"),
    "no bucket": (404, "NoSuchBucket"),
}


def test_a_bucket_holds_files_by_owner_room_and_id(fake: FakeS3) -> None:
    bucket(fake.url).put(ANN, ONE, id := new(), DATA)
    assert fake.objects == {f"of/ours/{ANN}/{ONE}/{id}": DATA}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("refusal", AWAY)
def test_a_bucket_that_refuses_is_unavailable_and_the_operators_log_says_why(
    fake: FakeS3, deed: str, refusal: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.refuse(AWAY[refusal])
    with pytest.raises(Unavailable) as caught:
        DEEDS[deed](bucket(fake.url))
    logged = caplog.text + "".join(capsys.readouterr())
    assert AWAY[refusal][1] in logged
    assert not [secret for secret in (s3.ACCESS_KEY, s3.SECRET_KEY, WORDS.decode()) if secret in logged]
    assert caught.value.__suppress_context__
    assert len(fake.requests) == 1


@pytest.mark.parametrize("deed", DEEDS)
def test_a_bucket_that_is_busy_for_a_moment_costs_nothing_and_one_that_stays_so_is_unavailable(
    fake: FakeS3, deed: str
) -> None:
    store = bucket(fake.url)
    store.put(ANN, ONE, id := new(), DATA)
    fake.refuse(*[(503, "SlowDown")] * (TRIES - 1))
    assert store.get(ANN, ONE, id) == DATA
    fake.refuse(*[(503, "SlowDown")] * TRIES)
    with pytest.raises(Unavailable):
        DEEDS[deed](store)


@pytest.mark.parametrize("deed", DEEDS)
def test_a_bucket_that_nobody_serves_is_unavailable(deed: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Unavailable):
        DEEDS[deed](bucket(f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize("deed", DEEDS)
def test_a_bucket_that_never_answers_is_unavailable_in_time(deed: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = bucket(f"http://127.0.0.1:{silent.getsockname()[1]}", patience=timedelta(seconds=0.1))
        with pytest.raises(Unavailable):
            DEEDS[deed](store)


def test_a_wrong_key_is_unavailable_and_shows_nowhere(fake: FakeS3) -> None:
    store = bucket(fake.url, secret_key="another")
    with pytest.raises(Unavailable):
        store.put(ANN, ONE, new(), DATA)
    assert fake.objects == {}
    assert "another" not in repr(store)


def test_the_check_tells_a_bucket_that_is_there_from_one_that_is_not(fake: FakeS3) -> None:
    bucket(fake.url).check()
    for broken in (bucket(fake.url, "s3://none"), bucket(fake.url, secret_key="another")):
        with pytest.raises(Unavailable):
            broken.check()
