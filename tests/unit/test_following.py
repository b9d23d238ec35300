"""Following a reply: all of its text once, from wherever one was, while it is made and after."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice

import pytest
from tests.contracts.chat_worlds import LIMITS, NOW, ChatWorld, memory_world

from adapters.memory.replies import MemoryFeed
from gemini_core.errors import NotFound, Unavailable
from gemini_core.model.chat import Chatroom, Message, ReplyError, Status
from gemini_core.model.ids import ChatroomId, JobId, MessageId, UserId
from gemini_core.model.jobs import Lease
from gemini_core.model.replies import Answer, FeedEvent, Position, ReplyEvent, ReplyEventKind
from gemini_core.use_cases.chat.messages import ReadMessage
from gemini_core.use_cases.replies.following import FollowReply

# Cut inside a family, between a letter and its accent, inside a flag, and inside a surrogate pair of UTF-16.
PIECES = ("Tea 👨", "\u200d👩\u200d", "👧 e", "\u0301 ", "🇮", "🇳", " नमस", "्ते\n", "\u202bשלום\u202c", "🫖", "end")
TEXT = "".join(PIECES)
DELTA, RESET = ReplyEventKind.DELTA, ReplyEventKind.RESET
DONE, FAILED, CANCELLED = ReplyEventKind.DONE, ReplyEventKind.FAILED, ReplyEventKind.CANCELLED


@dataclass
class Scene:
    """A reply and everything that happens to it."""

    world: ChatWorld = field(default_factory=memory_world)
    feed: MemoryFeed = field(default_factory=MemoryFeed)
    author: UserId = field(init=False)
    room: Chatroom = field(init=False)
    reply: Message = field(init=False)

    def __post_init__(self) -> None:
        self.author = self.world.user()
        self.room = self.world.room(self.author)
        sent = self.world.messages.send(self.author, self.room.id, "hello", limits=LIMITS, now=NOW)
        self.reply = sent.reply

    def begin(self, *, lease_for: timedelta = timedelta(0)) -> Lease:
        """Another worker takes it."""
        lease = self.world.jobs.claim(JobId(self.reply.id), lease_for=lease_for, now=NOW)
        assert lease is not None
        assert self.world.replies.begin(lease, history=10, reach=10_000)
        return lease

    def say(self, lease: Lease, *pieces: str, start: int = 0) -> None:
        for piece in pieces:
            self.feed.append(self.reply.id, lease.attempt, start, piece)
            start += len(piece)

    def finish(self, lease: Lease, status: Status = Status.COMPLETE, text: str = TEXT) -> None:
        error = ReplyError("timeout", "Too slow.", retryable=True) if status is Status.FAILED else None
        answer = Answer(status=status, content=text, error=error)
        assert self.world.replies.finish(lease, answer, now=NOW) is not None
        self.feed.end(self.reply.id)

    def follow(self, after: str = "", *, feed: MemoryFeed | None = None) -> Iterator[ReplyEvent | None]:
        follow = FollowReply(self.world.messages, feed or self.feed)
        return follow(self.author, self.room.id, self.reply.id, after=after, patience=0.01)

    def heard(self, after: str = "", *, feed: MemoryFeed | None = None) -> list[ReplyEvent]:
        return told(self.follow(after, feed=feed))


def told(events: Iterator[ReplyEvent | None]) -> list[ReplyEvent]:
    return [event for event in events if event is not None]


def first(number: int, events: Iterator[ReplyEvent | None]) -> list[ReplyEvent]:
    """So many events; the rest is still to come."""
    return list(islice((event for event in events if event is not None), number))


def text_of(events: Sequence[ReplyEvent], before: str = "") -> str:
    """What a reader has on the screen who had `before`."""
    for event in events:
        before = "" if event.kind is RESET else before + event.text
    return before


def kinds(events: Sequence[ReplyEvent]) -> list[ReplyEventKind]:
    return [event.kind for event in events if event.kind is not DELTA]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_whoever_follows_from_the_beginning_gets_the_text_and_then_its_end(scene: Scene) -> None:
    lease = scene.begin()
    scene.say(lease, *PIECES)
    scene.finish(lease)
    events = scene.heard()
    assert (text_of(events), kinds(events)) == (TEXT, [DONE])
    assert events[-1].message is not None
    assert events[-1].message.content == TEXT


def test_a_stream_cut_at_every_event_and_resumed_while_the_reply_is_made_joins_to_the_text(scene: Scene) -> None:
    lease = scene.begin(lease_for=timedelta(minutes=1))
    seen, at = "", ""
    for number, piece in enumerate(PIECES):
        scene.say(lease, piece, start=len("".join(PIECES[:number])))
        events = scene.follow(at)
        event = next(event for event in events if event is not None)
        assert event.kind is DELTA
        seen, at = seen + event.text, str(event.at)
        assert seen == "".join(PIECES[: number + 1])
    scene.finish(lease)
    assert kinds(scene.heard(at)) == [DONE]
    assert text_of(scene.heard(at), seen) == TEXT


@pytest.mark.parametrize("log_is_there", [True, False], ids=["with its log", "a week later"])
def test_a_stream_cut_at_every_event_and_resumed_afterwards_joins_to_the_text(scene: Scene, log_is_there: bool) -> None:
    lease = scene.begin()
    scene.say(lease, *PIECES)
    seen = first(len(PIECES), scene.follow())
    scene.finish(lease)
    feed = scene.feed if log_is_there else MemoryFeed()
    for cut in range(len(seen) + 1):
        before = seen[:cut]
        events = scene.heard(str(before[-1].at) if before else "", feed=feed)
        assert text_of(events, text_of(before)) == TEXT
        assert kinds(events) == [DONE]


def test_a_stream_can_be_resumed_at_every_single_character(scene: Scene) -> None:
    lease = scene.begin()
    scene.finish(lease)
    for cut in range(len(TEXT) + 1):
        events = scene.heard(f"1:{cut}")
        assert text_of(events, TEXT[:cut]) == TEXT
        assert kinds(events) == [DONE]


def test_a_new_attempt_is_one_reset_and_then_the_whole_text(scene: Scene) -> None:
    events = scene.follow()
    scene.say(scene.begin(), *PIECES[:4])
    seen = first(4, events)
    second = scene.begin()
    scene.say(second, *PIECES)
    scene.finish(second)
    seen += told(events)
    assert kinds(seen) == [RESET, DONE]
    assert text_of(seen) == TEXT
    assert seen[-1].at == Position(2, len(TEXT))


@pytest.mark.parametrize("final", [False, True], ids=["while it is made", "afterwards"])
def test_whoever_comes_back_after_a_new_attempt_gets_one_reset(scene: Scene, final: bool) -> None:
    scene.say(scene.begin(), *PIECES[:4])
    second = scene.begin(lease_for=timedelta(minutes=1))
    scene.say(second, *PIECES)
    if final:
        scene.finish(second)
        events = scene.heard("1:7")
    else:
        events = first(2, scene.follow("1:7"))
        scene.finish(second)
        events += scene.heard(str(events[-1].at))
    assert kinds(events) == [RESET, DONE]
    assert text_of(events, PIECES[0]) == TEXT


def test_nobody_who_comes_late_sees_the_attempt_that_was_given_up(scene: Scene) -> None:
    scene.say(scene.begin(), "never mind")
    second = scene.begin()
    scene.say(second, *PIECES)
    scene.finish(second)
    events = scene.heard()
    assert (text_of(events), kinds(events)) == (TEXT, [DONE])


def test_a_log_that_is_lost_costs_liveliness_and_no_text(scene: Scene) -> None:
    lease = scene.begin()
    scene.say(lease, *PIECES[:2])
    events = scene.follow()
    seen = first(2, events)
    scene.feed.logs[scene.reply.id].clear()
    after = scene.follow(str(seen[-1].at))
    assert next(after) is None
    scene.say(lease, *PIECES[5:], start=len("".join(PIECES[:5])))
    scene.finish(lease)
    seen += told(after)
    assert (text_of(seen), kinds(seen)) == (TEXT, [DONE])


def test_the_end_is_found_in_the_store_when_the_log_never_tells_of_it(scene: Scene) -> None:
    lease = scene.begin()
    events = scene.follow()
    assert next(events) is None
    assert scene.world.replies.finish(lease, Answer(status=Status.COMPLETE, content=TEXT), now=NOW) is not None
    seen = told(events)
    assert (text_of(seen), kinds(seen)) == (TEXT, [DONE])


UNKNOWN = ["nonsense", "9:1", "1:-4", "1:5:5", "٣:1", "1:" + "9" * 30, "\x00"]


@pytest.mark.parametrize("id", UNKNOWN)
@pytest.mark.parametrize("final", [False, True], ids=["while it is made", "afterwards"])
def test_an_unknown_position_starts_anew_with_one_reset(scene: Scene, id: str, final: bool) -> None:
    lease = scene.begin()
    scene.say(lease, *PIECES)
    if final:
        scene.finish(lease)
        events = scene.heard(id)
    else:
        follower = scene.follow(id)
        events = first(3, follower)
        scene.finish(lease)
        events += told(follower)
    assert events[0].kind is RESET
    assert kinds(events) == [RESET, DONE]
    assert text_of(events, "something else") == TEXT


@pytest.mark.parametrize("final", [False, True], ids=["while it is made", "afterwards"])
def test_a_position_beyond_the_text_starts_anew_with_one_reset(scene: Scene, final: bool) -> None:
    lease = scene.begin()
    scene.say(lease, *PIECES)
    if final:
        scene.finish(lease)
        events = scene.heard("1:5000")
    else:
        follower = scene.follow("1:5000")
        events = first(3, follower)
        scene.finish(lease)
        events += told(follower)
    assert (kinds(events), text_of(events, "something else")) == ([RESET, DONE], TEXT)


def test_text_that_a_failed_reply_had_shown_is_taken_back(scene: Scene) -> None:
    lease = scene.begin()
    events = scene.follow()
    scene.say(lease, *PIECES[:3])
    scene.finish(lease, Status.FAILED, text="")
    seen = told(events)
    assert (kinds(seen), text_of(seen)) == ([RESET, FAILED], "")


def test_a_cancelled_reply_keeps_what_it_had_said(scene: Scene) -> None:
    lease = scene.begin()
    scene.say(lease, *PIECES[:3])
    scene.finish(lease, Status.CANCELLED, text="".join(PIECES[:3]))
    seen = scene.heard()
    assert (kinds(seen), text_of(seen)) == ([CANCELLED], "".join(PIECES[:3]))


def test_many_follow_one_reply_and_each_gets_everything_once(scene: Scene) -> None:
    lease = scene.begin()
    heard: list[list[ReplyEvent]] = []
    followers = [threading.Thread(target=lambda: heard.append(scene.heard())) for _ in range(20)]
    for number, follower in enumerate(followers):
        follower.start()
        if number < len(PIECES):
            scene.say(lease, PIECES[number], start=len("".join(PIECES[:number])))
    scene.finish(lease)
    for follower in followers:
        follower.join()
    assert [(text_of(events), kinds(events)) for events in heard] == [(TEXT, [DONE])] * 20


def test_only_the_reader_of_the_room_follows_and_only_a_reply(scene: Scene) -> None:
    follow = FollowReply(scene.world.messages, scene.feed)
    with pytest.raises(NotFound):
        follow(scene.world.user(), scene.room.id, scene.reply.id)
    with pytest.raises(NotFound):
        follow(scene.author, scene.room.id, scene.reply.reply_to or scene.reply.id)


@dataclass
class AwayAtTimes:
    """A store that is away when it is asked for the second time."""

    scene: Scene
    asked: int = 0

    def show(self, reader: UserId, room: ChatroomId, message: MessageId) -> Message:
        self.asked += 1
        if self.asked == 2:
            raise Unavailable("The database cannot be reached right now.")
        return self.scene.world.messages.show(reader, room, message)


def test_a_store_that_is_away_for_a_moment_does_not_end_the_stream(scene: Scene) -> None:
    lease = scene.begin()
    store = AwayAtTimes(scene)
    follow = FollowReply(store, scene.feed)  # type: ignore[arg-type]  # nothing else is asked of it here
    events = follow(scene.author, scene.room.id, scene.reply.id, patience=0.01)
    assert next(events) is None
    assert store.asked == 2
    scene.say(lease, *PIECES)
    scene.finish(lease)
    seen = told(events)
    assert (text_of(seen), kinds(seen)) == (TEXT, [DONE])


def test_a_long_wait_asks_the_store_seldom(scene: Scene) -> None:
    store = AwayAtTimes(scene, asked=2)
    events = FollowReply(store, scene.feed)(scene.author, scene.room.id, scene.reply.id, patience=0.001)  # type: ignore[arg-type]
    for _ in range(50):
        assert next(events) is None
    assert store.asked - 2 <= 1 + 2 + 50 // 5


def test_a_reply_that_is_made_slowly_is_heard_of_and_not_asked_for(scene: Scene) -> None:
    store = AwayAtTimes(scene, asked=2)
    lease, start = scene.begin(), 0
    events = FollowReply(store, scene.feed)(scene.author, scene.room.id, scene.reply.id, patience=0.01)  # type: ignore[arg-type]
    for piece in PIECES:
        scene.say(lease, piece, start=start)
        start += len(piece)
        heard = next(events)
        assert heard is not None
        assert (heard.text, next(events), next(events)) == (piece, None, None)
    assert store.asked - 2 == 1


# --- waiting for a reply ----------------------------------------------------------------------------------------------


def test_whoever_waits_while_a_reply_is_said_without_a_pause_is_told_how_it_stands_in_the_end(scene: Scene) -> None:
    class NeverQuiet(MemoryFeed):
        def follow(self, reply: MessageId, *, patience: float) -> Iterator[Sequence[FeedEvent]]:
            yield ()
            scene.begin()
            while True:
                yield [FeedEvent(1, 0, "on and ")]

    wait_for = ReadMessage(scene.world.messages, NeverQuiet())
    found = wait_for(scene.author, scene.room.id, scene.reply.id, wait=0.05)
    assert found.status is Status.GENERATING
