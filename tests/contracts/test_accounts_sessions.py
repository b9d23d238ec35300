"""The exam for what keeps accounts, passwords and sessions; sat by memory and by PostgreSQL."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from tests.contracts.account_worlds import (
    HERE,
    NOW,
    NUMBER,
    THERE,
    AccountWorld,
    after,
    caller,
    memory_world,
    postgres_world,
)
from tests.crowd import tried_at_once

from gemini_core.errors import Conflict, NotFound, Unauthenticated
from gemini_core.model.accounts.codes import Purpose, SignedIn
from gemini_core.model.accounts.people import Caller, Client, Profile, User, UserStatus
from gemini_core.model.accounts.sessions import Reused, Session
from gemini_core.model.ids import JobId, SessionId, UserId, uuid7


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> AccountWorld:
    return memory_world() if request.param == "memory" else postgres_world(request.getfixturevalue("engine"))


def rotated(world: AccountWorld, signed_in: SignedIn, counter: int, seconds: float = 0) -> Session | Reused | None:
    return world.sessions.rotate(signed_in.session.id, counter, ip=HERE.ip, now=after(seconds))


def test_fifty_renewals_with_one_token_at_once_advance_once_and_agree(world: AccountWorld) -> None:
    owner = world.sign_in()
    outcomes = tried_at_once(50, lambda _: rotated(world, owner, 0))
    assert {outcome.counter for outcome in outcomes if isinstance(outcome, Session)} == {1}
    assert len({outcome.rotated_at for outcome in outcomes if isinstance(outcome, Session)}) == 1
    assert len(outcomes) == 50


def test_a_spent_token_gives_the_same_successor_within_its_grace(world: AccountWorld) -> None:
    owner = world.sign_in()
    assert rotated(world, owner, 0, 1) == rotated(world, owner, 0, 31)


def test_a_spent_token_after_its_grace_ends_the_session_and_its_successor(world: AccountWorld) -> None:
    owner = world.sign_in()
    rotated(world, owner, 0, 1)
    assert rotated(world, owner, 0, 32) == Reused(owner.user.id, owner.session.id)
    assert rotated(world, owner, 1, 33) is None
    assert not world.sessions.alive(caller(owner), now=after(33))
    (event,) = world.events("session.token_reused")
    assert event.session_id == owner.session.id


def test_a_token_two_generations_old_ends_the_session_even_within_the_grace(world: AccountWorld) -> None:
    owner = world.sign_in()
    rotated(world, owner, 0, 1)
    rotated(world, owner, 1, 2)
    assert isinstance(rotated(world, owner, 0, 3), Reused)


def test_a_session_ends_when_unused_for_a_fortnight_and_after_ninety_days_anyway(world: AccountWorld) -> None:
    owner = world.sign_in()
    day = timedelta(days=1).total_seconds()
    assert rotated(world, owner, 0, 13 * day) is not None
    assert rotated(world, owner, 1, 27 * day) is None
    other = world.sign_in("+14155552672")
    for number in range(89):
        assert rotated(world, other, number, (number + 1) * day) is not None
    assert rotated(world, other, 89, 90 * day) is None


def test_nothing_is_renewed_once_everything_has_ended(world: AccountWorld) -> None:
    for round_ in range(5):
        owner = world.sign_in(f"+1415555267{round_}")

        def race(number: int, owner: SignedIn = owner) -> None:
            if number == 0:
                world.sessions.end_all(owner.user.id, ip="", now=NOW)
            else:
                rotated(world, owner, 0)

        tried_at_once(20, race)
        assert rotated(world, owner, 0) is None
        assert rotated(world, owner, 1) is None
        assert world.sessions.live(owner.user.id, now=NOW) == []


def test_users_end_their_own_sessions_and_nobody_elses(world: AccountWorld) -> None:
    owner, stranger = world.sign_in(), world.sign_in("+14155552672")
    with pytest.raises(NotFound):
        world.sessions.end(stranger.user.id, owner.session.id, ip="", now=NOW)
    assert world.sessions.alive(caller(owner), now=NOW)
    ended = world.sessions.end(owner.user.id, owner.session.id, ip="", now=NOW)
    assert ended.sessions == (owner.session.id,)
    assert not world.sessions.alive(caller(owner), now=NOW)
    with pytest.raises(NotFound):
        world.sessions.end(owner.user.id, owner.session.id, ip="", now=NOW)


def test_the_twenty_first_session_displaces_the_one_unused_for_longest(world: AccountWorld) -> None:
    first = world.sign_in()
    for number in range(1, 20):
        assert world.sign_in(now=after(number)).displaced == ()
    newest = world.sign_in(now=after(20))
    assert newest.displaced == (first.session.id,)
    live = world.sessions.live(first.user.id, now=after(20))
    assert len(live) == 20
    assert live[0].id == newest.session.id


def test_a_new_password_ends_every_other_session_and_keeps_the_callers(world: AccountWorld) -> None:
    here, there = world.sign_in(), world.sign_in(by=THERE, now=after(1))
    ended = world.passwords.change(
        caller(here), "hash", version=1, ip="", job=JobId(uuid7(NOW)), request_id="", now=after(2)
    )
    assert (ended.sessions, ended.below_version, ended.kept) == ((there.session.id,), 2, here.session.id)
    assert [session.id for session in world.sessions.live(here.user.id, now=after(2))] == [here.session.id]
    renewed = rotated(world, here, 0, 3)
    assert isinstance(renewed, Session)
    assert renewed.credential_version == 2
    assert world.passwords.of_caller(caller(here), now=after(3))[2] == "hash"
    (job,) = world.jobs.list_jobs(state=None, kind="send_notice", limit=10, after=None).items
    assert job.args == {"user": str(here.user.id)}


def test_a_password_is_changed_only_under_the_version_that_was_checked(world: AccountWorld) -> None:
    owner = world.sign_in()
    outcomes = tried_at_once(50, lambda _: world.change_password(caller(owner), version=1))
    # To the others, whose session goes on, the current password is no longer the one that they gave.
    assert sorted(outcome.code if outcome else "" for outcome in outcomes) == ["", *["invalid-credentials"] * 49]
    world.sessions.end(owner.user.id, owner.session.id, ip="", now=NOW)
    with pytest.raises(Unauthenticated) as signed_out:
        world.change_password(caller(owner), version=2)
    assert signed_out.value.code == "unauthenticated"


def test_a_code_asked_for_under_the_former_password_opens_nothing(world: AccountWorld) -> None:
    owner = world.sign_in(password_hash="hash")
    proven = world.passwords.of_number(NUMBER, THERE, None, now=NOW)
    challenge = world.sent(by=THERE, proven=proven, now=after(1))
    reset = world.sent(by=THERE, purpose=Purpose.RESET, now=after(1))
    world.change_password(caller(owner), version=1, now=after(2))
    assert world.type_in(challenge, by=THERE, now=after(3)) is None
    assert world.type_in(reset, by=THERE, now=after(3)) is None


def test_no_sign_in_under_the_former_password_survives_a_race_with_its_change(world: AccountWorld) -> None:
    for round_ in range(5):
        number = f"+1415555267{round_}"
        owner = world.sign_in(number, password_hash="hash")
        proven = world.passwords.of_number(number, HERE, None, now=NOW)
        clients = [Client(f"203.0.113.{index}", f"203.0.113.{index}") for index in range(8)]
        challenges = [world.sent(number, by=client, proven=proven) for client in clients]

        sign_ins = [
            partial(world.type_in, challenge, by=client) for challenge, client in zip(challenges, clients, strict=True)
        ]
        deeds: list[Callable[[], object]] = [*sign_ins, partial(world.change_password, caller(owner), version=1)]
        tried_at_once(9, lambda index, deeds=deeds: deeds[index]())  # type: ignore[misc]
        assert [session.id for session in world.sessions.live(owner.user.id, now=NOW)] == [owner.session.id]


def test_a_reset_sets_a_password_once_and_leaves_no_session(world: AccountWorld) -> None:
    owner = world.sign_in(password_hash="hash")
    challenge = world.sent(purpose=Purpose.RESET)
    world.type_in(challenge)
    assert world.passwords.of_reset(challenge, now=after(599)).id == owner.user.id
    outcomes = tried_at_once(50, lambda _: world.change_password(challenge, version=1))
    assert len([outcome for outcome in outcomes if outcome is None]) == 1
    assert world.sessions.live(owner.user.id, now=NOW) == []
    kept = world.passwords.of_number(NUMBER, HERE, None, now=NOW)
    assert kept is not None
    assert kept.password_hash == "new-hash"


def test_a_reset_is_void_after_ten_minutes_and_after_a_change(world: AccountWorld) -> None:
    owner = world.sign_in(password_hash="hash")
    challenge = world.sent(purpose=Purpose.RESET)
    with pytest.raises(Unauthenticated):
        world.passwords.of_reset(challenge, now=NOW)
    world.type_in(challenge)
    with pytest.raises(Unauthenticated):
        world.passwords.of_reset(challenge, now=after(600))
    world.change_password(caller(owner), version=1)
    with pytest.raises(Unauthenticated):
        world.passwords.of_reset(challenge, now=after(1))


def test_a_password_under_stronger_parameters_does_not_overwrite_a_newer_one(world: AccountWorld) -> None:
    owner = world.sign_in(password_hash="hash")
    kept = world.passwords.of_number(NUMBER, HERE, None, now=NOW)
    assert kept is not None
    world.passwords.rehash(kept, "stronger")
    assert world.passwords.of_caller(caller(owner), now=NOW)[2] == "stronger"
    world.passwords.rehash(kept, "stronger still")
    assert world.passwords.of_caller(caller(owner), now=NOW)[2] == "stronger"


def test_a_profile_changes_in_what_is_named(world: AccountWorld) -> None:
    owner = world.sign_in(name="Ann")
    changed = world.users.change_profile(caller(owner), {"email": "a@b.example"}, ip="", now=NOW)
    assert changed.profile == Profile(name="Ann", email="a@b.example")
    assert world.users.change_profile(caller(owner), {"name": None}, ip="", now=NOW).profile.name is None
    with pytest.raises(NotFound):
        world.users.change_profile(Caller(UserId(uuid7(NOW)), owner.session.id), {"name": None}, ip="", now=NOW)


def close(world: AccountWorld, owner: SignedIn) -> None:
    world.users.close(
        owner.user.id, session=owner.session.id, ip="", job=JobId(uuid7(NOW)), request_id="r", now=after(1)
    )


def test_a_closed_account_is_unknown_at_once_and_its_number_free(world: AccountWorld) -> None:
    owner = world.sign_in(name="Ann", password_hash="hash")
    close(world, owner)
    assert not world.sessions.alive(caller(owner), now=after(2))
    for gone in (lambda: world.users.show(owner.user.id), lambda: close(world, owner)):
        with pytest.raises(NotFound):
            gone()
    (job,) = world.jobs.list_jobs(state=None, kind="erase_account", limit=10, after=None).items
    assert job.args == {"user": str(owner.user.id)}
    again = world.sign_in(now=after(3))
    assert again.user.id != owner.user.id
    assert (again.user.profile.name, again.user.has_password) == (None, False)
    world.users.erase(owner.user.id)
    world.users.erase(owner.user.id)
    assert world.users.show(again.user.id) == again.user


def test_erasing_leaves_an_account_that_is_not_closed(world: AccountWorld) -> None:
    owner = world.sign_in()
    world.users.erase(owner.user.id)
    assert world.users.show(owner.user.id) == owner.user


def test_what_nobody_can_use_any_more_is_forgotten_and_what_lives_is_not(world: AccountWorld) -> None:
    owner = world.sign_in()
    world.sign_up("+14155552672")
    world.users.forget_stale(now=after(3600))
    assert world.passwords.of_number("+14155552672", HERE, None, now=after(3600)) is None
    assert world.sessions.alive(caller(owner), now=after(3600))
    assert world.send(world.asked("+14155552672", now=after(3600)), now=after(3600))
    world.users.forget_stale(now=after(days=30))
    assert not world.send(world.asked("+14155552672", now=after(days=30)), now=after(days=30))


def test_a_suspended_user_is_out_and_stays_out_until_restored(world: AccountWorld) -> None:
    owner = world.sign_in()
    ended = world.operators.suspend(owner.user.id, operator="olga", now=after(1))
    assert (ended.sessions, ended.below_version) == ((owner.session.id,), 2)
    assert not world.sessions.alive(caller(owner), now=after(1))
    assert not world.send(world.asked(by=THERE, now=after(2)), now=after(2))
    world.operators.restore(owner.user.id, operator="olga", now=after(3))
    assert world.sign_in(now=after(120)).user.id == owner.user.id
    assert {event.operator for name in ("suspended", "restored") for event in world.events(f"account.{name}")} == {
        "olga"
    }


def test_an_account_whose_pause_cannot_be_lifted_is_not_restored(engine: Engine) -> None:
    world = postgres_world(engine)
    owner = world.sign_in()
    world.operators.suspend(owner.user.id, operator="olga", now=NOW)
    with engine.connect() as connection:
        refusing = "CREATE TRIGGER t BEFORE UPDATE OR DELETE ON phones FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        connection.execute(text(refusing))
    with pytest.raises(DBAPIError):
        world.operators.restore(owner.user.id, operator="olga", now=after(1))
    assert world.users.show(owner.user.id).status is UserStatus.SUSPENDED
    assert world.events("account.restored") == ()


def test_operators_find_users_page_by_page(world: AccountWorld) -> None:
    users = [world.sign_in(f"+1415555267{number}").user for number in range(5)]
    world.operators.suspend(users[0].id, operator="olga", now=NOW)

    def found(**about: object) -> list[str]:
        asked: dict[str, object] = {
            "status": None,
            "plan": None,
            "number": None,
            "limit": 100,
            "after": None,
            "now": NOW,
        }
        page = world.operators.list_users(**asked | about)  # type: ignore[arg-type]
        return [user.mobile_number for user in page.items]

    assert sorted(found()) == sorted(user.mobile_number for user in users)
    assert found(status="suspended") == ["+14155552670"]
    assert found(plan="pro") == []
    assert found(number="+14155552673") == ["+14155552673"]
    first = world.operators.list_users(status=None, plan=None, number=None, limit=3, after=None, now=NOW)
    assert first.next is not None
    assert len(first.items) == 3
    assert len(found(limit=3, after=first.next)) == 2


def test_an_operator_finds_a_number_however_many_longer_ones_there_are(world: AccountWorld) -> None:
    user = world.sign_in().user
    for number in range(12):
        world.sign_in(f"{NUMBER}{number:02}")
    assert world.operators.find(NUMBER) == user
    with pytest.raises(NotFound):
        world.operators.find(NUMBER[:-1])


def test_an_operator_makes_an_account_once(world: AccountWorld) -> None:
    user = User(
        id=UserId(uuid7(NOW)),
        mobile_number=NUMBER,
        profile=Profile(name="Ann"),
        status=UserStatus.ACTIVE,
        plan="basic",
        plan_until=None,
        credential_version=1,
        has_password=False,
        created_at=NOW,
    )
    world.operators.create(user, operator="olga")
    assert world.users.show(user.id) == user
    with pytest.raises(Conflict):
        world.operators.create(user, operator="olga")


def test_the_audit_log_is_read_page_by_page_newest_first(world: AccountWorld) -> None:
    owner = world.sign_in()
    page = world.audit.page(user=owner.user.id, limit=1)
    assert page.next is not None
    following = world.audit.page(user=owner.user.id, limit=10, after=page.next)
    assert [page.items[0].event, *(event.event for event in following.items)] == ["session.opened", "account.created"]
    assert following.next is None


def test_an_unknown_session_is_not_renewed(world: AccountWorld) -> None:
    owner = world.sign_in()
    assert world.sessions.rotate(SessionId(uuid7(NOW)), 0, ip="", now=NOW) is None
    assert rotated(world, owner, 5) is None
    assert world.sessions.alive(caller(owner), now=NOW)
