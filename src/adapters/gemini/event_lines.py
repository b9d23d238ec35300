"""The lines of an event stream, as google-genai wants them.

The standard has comments (gateways send them to keep a connection open), other fields than `data`, no need of a space
after the colon, and a byte order mark that may come first. google-genai 3.4 knows `data: ` alone, takes every other
line for broken JSON and gives up.
"""

from collections.abc import AsyncIterator

from httpx2 import AsyncByteStream, Response

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIELD = b"data:"
_OTHERS = (b":", b"event:", b"id:", b"retry:")


async def keep_data(response: Response) -> None:
    """A response hook: of a plain event stream, the data is left."""
    is_events = response.headers.get("content-type", "").startswith("text/event-stream")
    if is_events and "content-encoding" not in response.headers and isinstance(response.stream, AsyncByteStream):
        response.stream = _Data(response.stream)


class _Data(AsyncByteStream):
    def __init__(self, stream: AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        begun, first = b"", True
        async for chunk in self._stream:
            *lines, begun = _lines(begun + chunk)
            if lines and first:
                lines[0], first = lines[0].removeprefix(_BYTE_ORDER_MARK), False
            if kept := b"".join(map(_kept, lines)):
                yield kept
        if kept := _kept(begun.removeprefix(_BYTE_ORDER_MARK) if first else begun):
            yield kept

    async def aclose(self) -> None:
        await self._stream.aclose()


def _kept(line: bytes) -> bytes:
    if line.startswith(_FIELD) and not line.startswith(_FIELD + b" "):
        return line.replace(_FIELD, _FIELD + b" ", 1)
    return b"" if line.startswith(_OTHERS) else line


def _lines(text: bytes) -> list[bytes]:
    """The whole lines of `text` with their ends; last, what was begun but not ended (perhaps nothing)."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[-1].endswith((b"\r", b"\n")):
        lines.append(b"")
    return lines
