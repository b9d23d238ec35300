"""Users' own accounts."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice

import falcon
import structlog
from falcon import Request, Response
from msgspec import UNSET, Struct, UnsetType

from adapters.http import bodies
from adapters.http.accounts.answers import Me, Text, me_answer
from adapters.http.auth import caller
from adapters.http.context import request_id
from adapters.http.describing import Raw, describe
from gemini_core.core import Core
from gemini_core.errors import Failure
from gemini_core.model.accounts.people import User

log = structlog.get_logger()


class ChangeMeBody(Struct, forbid_unknown_fields=True):
    """What is not named stays; null removes."""

    name: Text | UnsetType | None = UNSET
    email: Text | UnsetType | None = UNSET
    username: Text | UnsetType | None = UNSET


class Message(Struct):
    """Words for people."""

    message: str


class Account:
    """The user's own account."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @describe("The account", answers={200: Me})
    def on_get(self, req: Request, resp: Response) -> None:
        """Who is signed in."""
        self._show(resp, self._core.show_me(caller(req)))

    @describe("Change the profile", body=ChangeMeBody, answers={200: Me})
    def on_patch(self, req: Request, resp: Response) -> None:
        """Name, e-mail address, user name."""
        who = caller(req)
        body = bodies.read(req, ChangeMeBody)
        given = {field: getattr(body, field) for field in body.__struct_fields__}
        changes = {field: value for field, value in given.items() if value is not UNSET}
        self._show(resp, self._core.change_me(who, req.context.client, changes))

    @describe("Delete the account", answers={202: Message})
    def on_delete(self, req: Request, resp: Response) -> None:
        """Signed out at once; all data is erased, and a subscription is cancelled."""
        self._core.delete_me(caller(req), req.context.client, request_id=request_id(req))
        resp.status = falcon.HTTP_202
        resp.data = bodies.write(Message("Signed out everywhere. All data is being erased."))

    @describe(
        "Everything about the user",
        answers={200: Raw("application/json", "An object of lists.")},
        answer_headers={"Content-Disposition": "To be saved as a file."},
    )
    def on_get_export(self, req: Request, resp: Response) -> None:
        """All that the system holds, files too (in base64), streamed: an object with a list per kind.

        What breaks off on its way is no JSON: the object is never closed, and its last line says why.
        """
        pieces = _streamed(self._core.export_me(caller(req)))
        # The first record is read before the answer begins: where nothing can be read, its status says so.
        begun = list(islice(pieces, 2))
        resp.content_type = falcon.MEDIA_JSON
        resp.set_header("Content-Disposition", 'attachment; filename="export.json"')
        resp.stream = _telling(chain(begun, pieces))

    def _show(self, resp: Response, user: User) -> None:
        resp.data = bodies.write(me_answer(user, user.plan_at(self._core.clock.now())))


def _streamed(parts: Iterator[tuple[str, Iterator[Mapping[str, object]]]]) -> Iterator[bytes]:
    """An object with a list per part, never held as a whole."""
    opening = b"{"
    for name, records in parts:
        yield opening + bodies.write(name) + b":["
        for index, record in enumerate(records):
            yield (b"," if index else b"") + bodies.write(record)
        yield b"]"
        opening = b","
    yield b"}" if opening == b"," else b"{}"


def _telling(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The server ends every stream in good order: one that broke off must tell so itself."""
    try:
        yield from pieces
    except Failure as failure:
        log.warning("an export broke off", why=failure.detail)
        yield b'\n"incomplete": ' + bodies.write(failure.detail)
