"""A Gemini that tells the time: every chunk of a reply holds the instant at which it was sent.

Asked "EVERY COUNT", it sends so many chunks, one in so many seconds. As a process: `python -m bench.provider`; its
address is the first line that it prints.
"""

import asyncio
import json
import random
import sys
from itertools import count
from time import monotonic_ns
from typing import Any

TEXT = " and so the story goes on for a while"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All replies of one connection, one after another."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            body = json.loads(await reader.readexactly(length))
            every, chunks = body["contents"][-1]["parts"][0]["text"].split()
            await _tell(writer, float(every), int(chunks))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _tell(writer: asyncio.StreamWriter, every: float, chunks: int) -> None:
    writer.write(HEAD)
    # Replies do not speak in step.
    await asyncio.sleep(random.uniform(0, every))
    began = asyncio.get_running_loop().time()
    for number in count(1):
        last = number == chunks
        writer.write(_chunk(f"#{monotonic_ns()}{TEXT}", last=last))
        if last:
            break
        await asyncio.sleep(began + number * every - asyncio.get_running_loop().time())
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _chunk(text: str, *, last: bool) -> bytes:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    body: dict[str, Any] = {
        "candidates": [candidate | ({"finishReason": "STOP"} if last else {})],
        "modelVersion": "bench",
    }
    if last:
        body["usageMetadata"] = {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20}
    event = b"data: " + json.dumps(body).encode() + b"\r\n\r\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2048)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
