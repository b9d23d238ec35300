"""The exam for what counts requests and remembers ended sessions; sat by memory and by Redis."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from redis import Redis
from tests.contracts.account_worlds import NOW, RING, after
from tests.crowd import tried_at_once

from adapters.memory.accounts.limits import MemoryLimits
from adapters.redis.client import connect
from adapters.redis.limits import LIFE, RedisLimits
from adapters.redis.scripts import Scripts
from gemini_core.errors import Failure
from gemini_core.model.accounts.limits import (
    DAY,
    HOUR,
    MINUTE,
    Budget,
    Ended,
    Rule,
    SendLimits,
    SessionClaim,
    Spread,
    Take,
    Taken,
)
from gemini_core.model.accounts.people import MobileNumber
from gemini_core.model.ids import SessionId, UserId, uuid7
from gemini_core.ports.accounts.limits import Limits

THREE = Rule("three", "three", 3, HOUR)
PACED = Rule("paced", "paced", 5, MINUTE, exact=False)
FLOOR = Budget("floor", "country:IN", 2, 0.5, DAY)
USER, SESSION = UserId(uuid7(NOW)), SessionId(uuid7(NOW))


@pytest.fixture
def redis(valkey_url: str) -> Iterator["Redis"]:
    client = connect(valkey_url)
    yield client
    client.close()


@pytest.fixture(params=["memory", "redis"])
def limits(request: pytest.FixtureRequest) -> Limits:
    return (
        MemoryLimits()
        if request.param == "memory"
        else RedisLimits(Scripts(request.getfixturevalue("redis")), access_lives=MINUTE)
    )


def took(limits: Limits, token: str, *own: Rule, seconds: float = 0, **about: object) -> Taken:
    return limits.take(Take(token=token, own=own, **about), now=after(seconds))  # type: ignore[arg-type]


def admitted(outcomes: list[Taken | Failure]) -> int:
    return len([taken for taken in outcomes if isinstance(taken, Taken) and taken.refused is None])


def test_an_exact_rule_holds_in_every_window_and_says_when_there_is_room(limits: Limits) -> None:
    for number, seconds in enumerate((0, 600, 3599)):
        assert took(limits, f"{number}", THREE, seconds=seconds) == Taken()
    full = took(limits, "3", THREE, seconds=3599.5).refused
    assert full is not None
    assert (full.rule, full.retry_after) == (THREE, timedelta(milliseconds=500))
    assert took(limits, "4", THREE, seconds=3600) == Taken()
    assert took(limits, "5", THREE, seconds=3601).refused is not None


def test_of_fifty_demands_at_once_an_exact_rule_admits_its_number(limits: Limits) -> None:
    assert admitted(tried_at_once(50, lambda number: took(limits, f"{number}", THREE))) == 3


def test_a_paced_rule_admits_a_burst_and_then_its_rate(limits: Limits) -> None:
    assert admitted(tried_at_once(50, lambda number: took(limits, "", PACED))) == 5
    full = took(limits, "", PACED).refused
    assert full is not None
    assert full.retry_after == timedelta(seconds=12)
    assert took(limits, "", PACED, seconds=12) == Taken()
    assert took(limits, "", PACED, seconds=12).refused is not None


def test_a_full_rule_of_ones_own_takes_nothing_of_the_others(limits: Limits) -> None:
    one = Rule("one", "one", 1, HOUR)
    assert took(limits, "0", one, THREE) == Taken()
    for number in range(1, 9):
        assert took(limits, f"{number}", THREE, one).refused is not None
    assert took(limits, "9", THREE) == Taken()
    assert took(limits, "10", THREE) == Taken()


def test_of_several_full_rules_the_one_that_is_full_for_the_longest_says_how_long_to_wait(limits: Limits) -> None:
    day = Rule("day", "day", 4, DAY)
    rules = (PACED, THREE, day)
    for number, seconds in enumerate((0, 7200, 7210, 7220)):
        assert took(limits, f"{number}", *rules, seconds=seconds) == Taken()
    full = took(limits, "4", *rules, seconds=7230).refused
    assert full is not None
    assert (full.rule, full.retry_after) == (day, DAY - timedelta(seconds=7230))
    assert took(limits, "5", *reversed(rules), seconds=7230).refused == full
    assert took(limits, "6", *rules, seconds=7230 + full.retry_after.total_seconds()) == Taken()


def test_a_full_shared_rule_withholds_without_a_word_and_still_counts_ones_own(limits: Limits) -> None:
    shared = Rule("shared", "shared", 1, HOUR)
    assert took(limits, "0", THREE, shared=(shared,)) == Taken()
    for token in ("1", "2"):
        assert took(limits, token, THREE, shared=(shared,)) == Taken(withheld="shared")
    assert took(limits, "3", THREE, shared=(shared,)).refused is not None


def test_what_is_given_back_can_be_taken_again(limits: Limits) -> None:
    taken = [Take(token=f"{number}", own=(THREE,), shared=(replace(THREE, key="s"),)) for number in range(3)]
    for take in taken:
        assert limits.take(take, now=NOW) == Taken()
    limits.give_back(taken[1])
    assert limits.take(taken[1], now=NOW) == Taken()
    assert limits.take(replace(taken[1], token="9"), now=NOW).refused is not None


def test_a_rule_of_none_refuses_everything(limits: Limits) -> None:
    assert took(limits, "0", Rule("none", "none", 0, HOUR)).refused is not None
    assert took(limits, "0", shared=(Rule("none", "none", 0, HOUR),)).withheld == "none"


def test_a_budget_is_spent_by_codes_that_nobody_proves(limits: Limits) -> None:
    takes = [Take(token=f"{number}", budgets=(FLOOR,)) for number in range(10)]
    assert [limits.take(take, now=NOW).withheld for take in takes[:3]] == [None, None, "floor"]
    limits.prove(takes[0], now=NOW)
    assert limits.take(takes[3], now=NOW) == Taken()
    assert limits.take(takes[4], now=NOW).withheld == "floor"
    assert limits.take(takes[4], now=NOW + DAY) == Taken()


def test_a_budget_grows_with_what_is_proven(limits: Limits) -> None:
    for number in range(10):
        take = Take(token=f"{number}", budgets=(FLOOR,))
        assert limits.take(take, now=NOW) == Taken()
        limits.prove(take, now=NOW)
    unproven = [limits.take(Take(token=f"u{number}", budgets=(FLOOR,)), now=NOW).withheld for number in range(6)]
    assert unproven == [None] * 5 + ["floor"]


def sent_to_neighbours(limits: Limits, *, every: timedelta, typed_in: int) -> list[str | None]:
    """500 adjacent numbers of one country ask, each from an address of its own; `typed_in` codes of every 5 are proven.

    Answers by which rule each was withheld. Neighbours have one prefix: its own limit is out of the way.
    """
    sends = SendLimits(per_prefix_hour=500, countries=None, budgets_record_only=False)
    withheld = []
    for place in range(500):
        number = MobileNumber(f"+62812345{place:05}", "ID")
        take = sends.demand(RING, number, f"10.0.{place // 250}.{place % 250}", f"{place}")
        moment = NOW + place * every
        withheld.append(limits.take(take, now=moment).withheld)
        if place % 5 < typed_in:
            limits.prove(take, now=moment)
    return withheld


@pytest.mark.parametrize(("span", "leave"), [(DAY, 20), (HOUR, 3)], ids=["a day", "an hour"])
def test_where_nobody_types_in_a_code_few_leave(limits: Limits, span: timedelta, leave: int) -> None:
    assert sent_to_neighbours(limits, every=span / 500, typed_in=0).count(None) == leave


def test_where_four_of_five_codes_are_typed_in_none_is_withheld_through_the_days(limits: Limits) -> None:
    assert set(sent_to_neighbours(limits, every=HOUR / 10, typed_in=4)) == {None}


def test_a_full_budget_is_only_noted_where_budgets_are_recorded(limits: Limits) -> None:
    takes = [Take(token=f"{number}", budgets=(FLOOR,), record_only=True) for number in range(3)]
    assert [limits.take(take, now=NOW) for take in takes] == [Taken(), Taken(), Taken(noted="floor")]
    limits.prove(takes[0], now=NOW)
    (figures,) = limits.figures(now=NOW)
    assert (figures.key, figures.unproven, figures.proven, figures.noted) == ("country:IN", 2, 1, 1)


def test_a_network_may_try_a_few_countries(limits: Limits) -> None:
    def tried(country: str) -> str | None:
        spread = Spread("countries", "network", country, 3, DAY)
        return limits.take(Take(token=country, spreads=(spread,)), now=NOW).withheld

    assert [tried(country) for country in ("IN", "US", "DE", "FR", "IN")] == [None, None, None, "countries", None]


@pytest.mark.parametrize("undone", ["given back", "proven"])
def test_a_country_is_tried_until_every_code_that_went_there_is_undone(limits: Limits, undone: str) -> None:
    def code(token: str, country: str) -> Take:
        return Take(token=token, spreads=(Spread("countries", "network", country, 1, DAY),))

    def undo(take: Take) -> None:
        if undone == "proven":
            limits.prove(take, now=NOW)
        else:
            limits.give_back(take)

    first, again, elsewhere = code("0", "IN"), code("1", "IN"), code("2", "US")
    assert [limits.take(take, now=NOW).withheld for take in (first, again, elsewhere)] == [None, None, "countries"]
    undo(again)
    assert limits.take(elsewhere, now=NOW).withheld == "countries"
    undo(first)
    assert limits.take(elsewhere, now=NOW) == Taken()


def claimed(limits: Limits, version: int = 1, session: SessionId = SESSION) -> bool:
    return limits.take(Take(token="", session=SessionClaim(USER, session, version)), now=NOW).revoked


def doubted(limits: Limits, *, seconds: float = 0) -> str | None:
    return limits.take(Take(token="", session=SessionClaim(USER, SESSION, 1)), now=after(seconds)).doubt


def test_an_ended_session_is_revoked_and_no_other(limits: Limits) -> None:
    assert not claimed(limits)
    limits.end(Ended(USER, (SESSION,)))
    assert claimed(limits)
    assert not claimed(limits, session=SessionId(uuid7(NOW)))


def test_a_version_revokes_all_below_it_but_the_session_that_is_kept(limits: Limits) -> None:
    other = SessionId(uuid7(NOW))
    limits.end(Ended(USER, (), 3, SESSION))
    limits.end(Ended(USER, (), 2, None))
    assert not claimed(limits, 1)
    assert claimed(limits, 2, other)
    assert not claimed(limits, 3, other)


def test_a_revoked_session_takes_nothing(limits: Limits) -> None:
    limits.end(Ended(USER, (SESSION,)))
    take = Take(token="0", own=(Rule("one", "one", 1, HOUR),), session=SessionClaim(USER, SESSION, 1))
    assert limits.take(take, now=NOW).revoked
    assert took(limits, "1", Rule("one", "one", 1, HOUR)) == Taken()


def test_redis_doubts_for_as_long_as_a_token_lives_that_it_may_know_nothing_of(redis: "Redis") -> None:
    limits = RedisLimits(Scripts(redis), access_lives=MINUTE)
    doubts = [doubted(limits)]
    for loses in (redis.flushall, limits.begin_anew, lambda: redis.hset(LIFE, "server", "before its restart")):
        assert doubts[-1] is not None
        assert doubted(limits, seconds=119.9) == doubts[-1]
        assert doubted(limits, seconds=120) is None
        loses()
        doubts.append(doubted(limits, seconds=240))
        assert doubted(limits, seconds=480) is None
        redis.flushall()
        doubts.append(doubted(limits))
    assert len(set(doubts)) == len(doubts)


def test_every_key_in_redis_ends_within_its_window(redis: "Redis") -> None:
    limits = RedisLimits(Scripts(redis), access_lives=MINUTE)
    spread = Spread("countries", "network", "IN", 3, DAY)
    shared = Rule("day", "day", 9, DAY)
    take = Take(token="t", own=(THREE, PACED), shared=(shared,), budgets=(FLOOR,), spreads=(spread,), record_only=True)
    for number in range(5):
        limits.take(replace(take, token=f"{number}"), now=NOW)
    limits.prove(replace(take, token="0"), now=NOW)
    assert not claimed(limits)
    limits.end(Ended(USER, (SESSION,), 2, SESSION))
    longest = {b"limit:three": HOUR, b"limit:paced": MINUTE, b"limit:ended:%a" % str(SESSION): 2 * MINUTE}
    found = list(redis.scan_iter("*"))
    assert len(found) >= 9
    for key in found:
        lives = timedelta(milliseconds=redis.pttl(key))
        assert timedelta(0) < lives <= longest.get(key, DAY), key
