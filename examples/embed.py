"""A conversation with a model of your own, in one process and without a server: python examples/embed.py"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from queue import SimpleQueue

from adapters.memory.embedded import chat
from gemini_core import Event, Piece, Prompt, Timeouts, UserId, uuid7


class Parrot:
    """A language model that repeats what it hears."""

    def stream(self, prompt: Prompt, *, timeouts: Timeouts, stopped: Callable[[], bool]) -> Iterator[Piece]:
        for word in prompt.turns[-1].text.split():
            yield Piece(f"{word}! ")
        yield Piece(finish_reason="stop")


ann = UserId(uuid7(datetime.now(UTC)))
heard: SimpleQueue[Event] = SimpleQueue()
with chat(Parrot(), on_event=heard.put) as backend:
    room, _ = backend.create_room(ann, title="Tea")
    for question in ("Polly wants tea", "with milk"):
        sent = backend.send_message(ann, room.id, question)
        print("ann:   ", question, f"({sent.used} of {sent.limit} today)")
        print("parrot:", "".join(event.text for event in backend.follow_reply(ann, room.id, sent.reply.id) if event))
        print("heard: ", heard.get().kind)
