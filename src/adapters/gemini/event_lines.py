"""Answers as google-genai wants them: refusals are told apart before it sees them, and event streams have data alone.

The standard has comments (gateways send them to keep a connection open), other fields than `data`, no need of a space
after the colon, and a byte order mark that may come first. google-genai 3.4 knows `data: ` alone, takes every other
line for broken JSON and gives up.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

from httpx2 import AsyncByteStream, RequestError, Response

from adapters.gemini.refusals import Refusal, is_error, read

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIELD = b"data:"
_OTHERS = (b":", b"event:", b"id:", b"retry:")
_BLANK = (b"\n", b"\r", b"\r\n")


async def tidy(response: Response) -> None:
    """A response hook: raises `Refusal` for any status but 200; leaves the data of what is answered, not compressed."""
    if response.status_code != 200:
        raise Refusal(await _body(response), response.headers, status=response.status_code)
    response.stream = _Data(Response(200, headers=response.headers, stream=response.stream))
    response.headers.pop("content-encoding", None)


async def _body(response: Response) -> object:
    with suppress(RequestError):  # cut off, or not decompressed: the status still says what it is
        return read(await response.aread())
    return None


class _Data(AsyncByteStream):
    """One whole event at a time. Raises `Refusal` for one that is an error."""

    def __init__(self, response: Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        begun, event = b"", list[bytes]()
        async with aclosing(self._response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                *lines, begun = _lines(begun + chunk)
                for line in lines:
                    event.append(_kept(line))
                    if line in _BLANK:
                        yield self._checked(event)
                        event = []
        yield self._checked([*event, _kept(begun)])

    def _checked(self, event: list[bytes]) -> bytes:
        if any(b'"error"' in line for line in event):  # in a text it would be `\"error\"`
            body = read(b"".join(line.removeprefix(_FIELD) for line in event))
            if is_error(body):
                raise Refusal(body, self._response.headers)
        return b"".join(event)

    async def aclose(self) -> None:
        await self._response.aclose()


def _kept(line: bytes) -> bytes:
    line = line.removeprefix(_BYTE_ORDER_MARK)
    if line.startswith(_FIELD) and not line.startswith(_FIELD + b" "):
        return line.replace(_FIELD, _FIELD + b" ", 1)
    return b"" if line.startswith(_OTHERS) else line


def _lines(text: bytes) -> list[bytes]:
    """The whole lines of `text` with their ends; last, what may go on (perhaps nothing): a CR may be half a CRLF."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[-1].endswith(b"\n"):
        lines.append(b"")
    return lines
