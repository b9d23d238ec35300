"""The exam for what keeps promises; sat by memory and by PostgreSQL."""

from datetime import timedelta

import pytest
from tests.contracts.chat_worlds import NOW, ChatWorld, memory_world, postgres_world

from gemini_core.errors import NotFound
from gemini_core.model.ids import JobId, uuid7
from gemini_core.model.jobs import JobState, NewJob

LEASE = timedelta(seconds=30)
GONE = timedelta(0)


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> ChatWorld:
    return memory_world() if request.param == "memory" else postgres_world(request.getfixturevalue("engine"))


def add(world: ChatWorld, kind: str = "title", after: timedelta = GONE) -> JobId:
    id = JobId(uuid7(NOW))
    world.jobs.add(NewJob(id=id, kind=kind, args={"room": "1"}, request_id="r", after=after))
    return id


def test_a_promise_is_written_once(world: ChatWorld) -> None:
    id = add(world)
    world.jobs.add(NewJob(id=id, kind="other"))
    assert world.jobs.show(id).kind == "title"


def test_a_lease_carries_the_promise(world: ChatWorld) -> None:
    lease = world.jobs.claim(add(world), lease_for=LEASE, now=NOW)
    assert lease is not None
    assert (lease.kind, lease.args, lease.request_id, lease.attempt, lease.failures) == (
        "title",
        {"room": "1"},
        "r",
        1,
        0,
    )
    assert lease.trying_since == NOW


def test_a_resting_job_is_neither_due_nor_claimable(world: ChatWorld) -> None:
    id = add(world, after=timedelta(hours=1))
    assert world.jobs.due(limit=10) == []
    assert world.jobs.claim(id, lease_for=LEASE, now=NOW) is None


def test_a_lease_that_ran_out_is_taken_over_and_one_that_is_renewed_is_not(world: ChatWorld) -> None:
    lost, kept = add(world), add(world)
    first = world.jobs.claim(lost, lease_for=GONE, now=NOW)
    renewed = world.jobs.claim(kept, lease_for=LEASE, now=NOW)
    assert first is not None
    assert renewed is not None
    assert world.jobs.renew([renewed.token], lease_for=LEASE) == {renewed.token}
    assert world.jobs.claim(kept, lease_for=LEASE, now=NOW) is None
    second = world.jobs.claim(lost, lease_for=LEASE, now=NOW + timedelta(minutes=5))
    assert second is not None
    assert (second.attempt, second.trying_since) == (2, NOW + timedelta(minutes=5))
    assert world.jobs.unwanted([first.token, second.token, renewed.token]) == {first.token}
    assert world.jobs.finish(first) is None
    assert world.jobs.put_back(first, after=GONE, failed=True) is None


def test_a_lease_that_ran_out_is_good_until_somebody_takes_it(world: ChatWorld) -> None:
    lease = world.jobs.claim(add(world), lease_for=GONE, now=NOW)
    assert lease is not None
    assert world.jobs.unwanted([lease.token]) == set()
    assert world.jobs.renew([lease.token], lease_for=LEASE) == {lease.token}
    assert world.jobs.claim(lease.id, lease_for=LEASE, now=NOW) is None
    assert world.jobs.finish(lease) == []
    assert world.jobs.renew([lease.token], lease_for=LEASE) == set()


def test_a_recorded_failure_counts_and_keeps_the_time_of_the_first_try(world: ChatWorld) -> None:
    id = add(world)
    lease = world.jobs.claim(id, lease_for=LEASE, now=NOW)
    assert lease is not None
    assert world.jobs.put_back(lease, after=GONE, failed=True, error="overloaded")
    again = world.jobs.claim(id, lease_for=LEASE, now=NOW + timedelta(seconds=9))
    assert again is not None
    assert (again.attempt, again.failures, again.last_error, again.trying_since) == (2, 1, "overloaded", NOW)


def test_a_job_handed_back_is_due_at_once_and_no_failure(world: ChatWorld) -> None:
    id = add(world)
    lease = world.jobs.claim(id, lease_for=LEASE, now=NOW)
    assert lease is not None
    assert world.jobs.put_back(lease, after=GONE, failed=False) == [id]
    assert world.jobs.due(limit=10) == [id]
    assert world.jobs.show(id).failures == 0


def test_a_kept_promise_goes_and_what_follows_from_it_is_written_in_the_same_breath(world: ChatWorld) -> None:
    lease = world.jobs.claim(add(world), lease_for=LEASE, now=NOW)
    assert lease is not None
    now, later = (NewJob(id=JobId(uuid7(NOW)), kind="webhook", after=timedelta(hours=hours)) for hours in (0, 1))
    assert world.jobs.finish(lease, then=[now, later]) == [now.id]
    with pytest.raises(NotFound):
        world.jobs.show(lease.id)
    assert world.jobs.show(later.id).kind == "webhook"


def test_a_claim_of_which_nothing_was_heard_counts_as_lost_until_an_operator_revives_the_job(world: ChatWorld) -> None:
    id = add(world)
    heard = []
    for ends in (False, True, False, True):
        lease = world.jobs.claim(id, lease_for=GONE, now=NOW)
        assert lease is not None
        heard.append(lease.lost)
        if ends:
            for_good = len(heard) == 4
            assert world.jobs.put_back(lease, after=GONE, failed=False, for_good=for_good) == [id] * (not for_good)
    assert heard == [0, 1, 1, 2]
    assert world.jobs.revive(id)
    lease = world.jobs.claim(id, lease_for=LEASE, now=NOW)
    assert lease is not None
    assert (lease.attempt, lease.lost) == (5, 0)


def test_a_dead_job_waits_for_an_operator_who_revives_it(world: ChatWorld) -> None:
    id = add(world)
    lease = world.jobs.claim(id, lease_for=LEASE, now=NOW)
    assert lease is not None
    world.jobs.put_back(lease, after=GONE, failed=True, error="KeyError", for_good=True)
    assert world.jobs.due(limit=10) == []
    assert world.jobs.claim(id, lease_for=LEASE, now=NOW) is None
    dead = world.jobs.list_jobs(state=JobState.DEAD, kind=None, limit=10, after=None).items
    assert [(job.id, job.error) for job in dead] == [(id, "KeyError")]
    assert world.jobs.revive(id) is True
    assert world.jobs.revive(id) is False
    assert world.jobs.show(id).failures == 0
    assert world.jobs.due(limit=10) == [id]
    with pytest.raises(NotFound):
        world.jobs.revive(JobId(uuid7(NOW)))


def test_jobs_are_listed_page_by_page_and_by_kind(world: ChatWorld) -> None:
    ids = sorted(add(world, kind) for kind in ("title", "webhook", "title"))
    first = world.jobs.list_jobs(state=None, kind=None, limit=2, after=None)
    assert [job.id for job in first.items] == ids[:2]
    assert [job.id for job in world.jobs.list_jobs(state=None, kind=None, limit=2, after=first.next).items] == ids[2:]
    assert len(world.jobs.list_jobs(state=JobState.OPEN, kind="title", limit=9, after=None).items) == 2
