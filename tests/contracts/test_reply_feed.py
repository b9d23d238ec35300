"""The exam for the log of replies while they are made; sat by memory and by Redis."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest

from adapters.local.valkey import Valkey
from adapters.memory.replies import MemoryFeed
from adapters.redis.client import connect
from adapters.redis.feed import BLOCK, RedisFeed
from gemini_core.model.ids import MessageId, uuid7
from gemini_core.model.replies import FeedEvent
from gemini_core.ports.replies import ReplyFeed

END = FeedEvent(0, 0, "", end=True)
PATIENCE = 0.2


def redis_feed(url: str) -> RedisFeed:
    return RedisFeed(connect(url), connect(url, timeout=BLOCK + 3))


# A worker's feed and two API processes', which know of each other only through what keeps the log.
Feeds = tuple[ReplyFeed, ReplyFeed, ReplyFeed]


@pytest.fixture(params=["memory", "redis"])
def feeds(request: pytest.FixtureRequest) -> Feeds:
    if request.param == "memory":
        feed = MemoryFeed()
        return feed, feed, feed
    url = request.getfixturevalue("valkey_url")
    return redis_feed(url), redis_feed(url), redis_feed(url)


def new_reply() -> MessageId:
    return MessageId(uuid7(datetime.now(UTC)))


def heard(feed: ReplyFeed, reply: MessageId, *, begun: Callable[[], object] = int) -> list[FeedEvent]:
    """Everything up to the end. `begun` is called after the first batch."""
    events: list[FeedEvent] = []
    for number, batch in enumerate(feed.follow(reply, patience=PATIENCE)):
        events += batch
        if number == 0:
            begun()
    return events


def say(feed: ReplyFeed, reply: MessageId, *texts: str, start: int = 0) -> list[FeedEvent]:
    said = []
    for text in texts:
        feed.append(reply, 1, start, text)
        said.append(FeedEvent(1, start, text))
        start += len(text)
    return said


def test_whoever_comes_late_gets_the_whole_log_and_then_its_end(feeds: Feeds) -> None:
    worker, api, _ = feeds
    reply = new_reply()
    said = say(worker, reply, "Tea 👨", "\u200d👩 e", "\u0301", "\n\r\0 ")
    worker.end(reply)
    assert heard(api, reply) == [*said, END]


def test_nothing_is_lost_between_the_backlog_and_what_comes_live(feeds: Feeds) -> None:
    worker, api, _ = feeds
    for _ in range(20):
        reply = new_reply()
        said = say(worker, reply, "one ")
        both = Barrier(2)

        def speak(reply: MessageId = reply, both: Barrier = both) -> list[FeedEvent]:
            both.wait()
            more = say(worker, reply, *(f"{number} " for number in range(20)), start=4)
            worker.end(reply)
            return more

        with ThreadPoolExecutor(1) as pool:
            speaking = pool.submit(speak)
            assert heard(api, reply, begun=both.wait) == [*said, *speaking.result(), END]


def test_many_follow_at_several_processes_and_each_gets_everything_once_in_order(feeds: Feeds) -> None:
    worker, *apis = feeds
    replies = [new_reply() for _ in range(3)]
    begun = Barrier(1 + 24)
    with ThreadPoolExecutor(24) as pool:
        following = [
            (reply, pool.submit(heard, apis[number % 2], reply, begun=begun.wait))
            for number in range(8)
            for reply in replies
        ]
        begun.wait()
        said = {reply: say(worker, reply, *(f"{number} {reply} " for number in range(30))) for reply in replies}
        for reply in replies:
            worker.end(reply)
        assert all(follower.result() == [*said[reply], END] for reply, follower in following)


def test_what_is_forgotten_is_heard_by_nobody_any_more(feeds: Feeds) -> None:
    worker, api, other = feeds
    reply, kept = new_reply(), new_reply()
    said = say(worker, kept, "kept")
    say(worker, reply, "one ", "two ")
    worker.forget(reply)
    worker.forget(new_reply())
    for log in (api, other):
        assert next(log.follow(reply, patience=PATIENCE)) == []
    worker.end(reply)
    worker.end(kept)
    assert (heard(api, reply), heard(other, kept)) == ([END], [*said, END])


def test_a_follower_who_left_is_not_waited_for_and_can_come_back(feeds: Feeds) -> None:
    worker, api, other = feeds
    reply = new_reply()
    said = say(worker, reply, "one ")
    for _ in range(5):
        following = api.follow(reply, patience=PATIENCE)
        assert next(following) == said
        close(following)
    said += say(worker, reply, "two ", start=4)
    worker.end(reply)
    assert heard(api, reply) == heard(other, reply) == [*said, END]


def test_while_nothing_comes_the_follower_is_told_so(feeds: Feeds) -> None:
    following = feeds[1].follow(new_reply(), patience=0.05)
    begun = time.monotonic()
    assert [list(next(following)) for _ in range(4)] == [[], [], [], []]
    assert time.monotonic() - begun >= 0.1
    close(following)


def test_replies_do_not_hear_each_other(feeds: Feeds) -> None:
    worker, api, _ = feeds
    one, other = new_reply(), new_reply()
    said = say(worker, one, "mine")
    say(worker, other, "not mine")
    worker.end(other)
    worker.end(one)
    assert heard(api, one) == [*said, END]


def close(following: Iterator[Sequence[FeedEvent]]) -> None:
    following.close()  # type: ignore[attr-defined]  # the port promises an iterator that can be closed


def test_redis_away_stops_nobody_and_followers_go_on_when_it_is_back(private_valkey: Valkey) -> None:
    worker, api = redis_feed(private_valkey.url), redis_feed(private_valkey.url)
    reply = new_reply()
    say(worker, reply, "one ")
    following = api.follow(reply, patience=0.05)
    assert next(following) == [FeedEvent(1, 0, "one ")]
    next(following)
    private_valkey.kill()
    say(worker, reply, "two ", start=4)
    assert list(next(following)) == []
    private_valkey.start()
    deadline = time.monotonic() + 20
    position = 8
    back: list[FeedEvent] = []
    while not back and time.monotonic() < deadline:
        position += len(say(worker, reply, "more ", start=position)) * 5
        back = list(next(following))
    assert back
    assert {event.text for event in back} == {"more "}
    worker.end(reply)
    rest = [event for batch in following for event in batch]
    assert rest[-1] == END


def test_a_process_that_follows_nothing_reads_nothing(valkey_url: str) -> None:
    api = redis_feed(valkey_url)
    following = api.follow(new_reply(), patience=0.01)
    next(following)
    next(following)
    reader = api._reader
    assert reader is not None
    close(following)
    reader.join(BLOCK + 5)
    assert not reader.is_alive()
    reply = new_reply()
    said = say(api, reply, "again")
    api.end(reply)
    assert heard(api, reply) == [*said, END]
