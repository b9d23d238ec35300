"""The exam for what keeps files; sat by memory and by a folder."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from adapters.local.folder import FolderAttachments
from adapters.memory.attachments import MemoryAttachments
from gemini_core.errors import NotFound, Unavailable
from gemini_core.model.ids import ChatroomId, UserId, uuid7
from gemini_core.ports.attachments import AttachmentStore


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> AttachmentStore:
    return MemoryAttachments() if request.param == "memory" else FolderAttachments(tmp_path / "files")


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
    for deed in (lambda: store.put(ANN, ONE, new(), DATA), lambda: store.get(ANN, ONE, new())):
        with pytest.raises(Unavailable):
            deed()


def test_a_folder_shows_its_files_to_nobody_else_and_leaves_no_halves(tmp_path: Path) -> None:
    FolderAttachments(tmp_path / "files").put(ANN, ONE, id := new(), DATA)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (path.name, path.stat().st_mode & 0o777) == (str(id), 0o600)
