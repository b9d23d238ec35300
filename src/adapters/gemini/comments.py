"""Comment lines in event streams.

Gateways send lines that begin with a colon to keep a connection open. The standard says to ignore them;
google-genai 3.4 takes one for broken JSON and gives up. So they are taken out before it reads them.
"""

from collections.abc import AsyncIterator

from httpx2 import AsyncByteStream, Response


async def drop_comments(response: Response) -> None:
    """A response hook: leaves out the comment lines of a plain event stream."""
    is_events = response.headers.get("content-type", "").startswith("text/event-stream")
    if is_events and "content-encoding" not in response.headers and isinstance(response.stream, AsyncByteStream):
        response.stream = _WithoutComments(response.stream)


class _WithoutComments(AsyncByteStream):
    def __init__(self, stream: AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        begun = b""
        async for chunk in self._stream:
            *lines, begun = _lines(begun + chunk)
            if kept := b"".join(line for line in lines if not line.startswith(b":")):
                yield kept
        if begun and not begun.startswith(b":"):
            yield begun

    async def aclose(self) -> None:
        await self._stream.aclose()


def _lines(text: bytes) -> list[bytes]:
    """The whole lines of `text` with their ends; last, what was begun but not ended (perhaps nothing)."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[-1].endswith((b"\r", b"\n")):
        lines.append(b"")
    return lines
