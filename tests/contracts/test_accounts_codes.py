"""The exam for what keeps codes; sat by memory and by PostgreSQL, alone and with 50 threads."""

from datetime import datetime

import pytest
from sqlalchemy import Engine, text
from tests.contracts.account_worlds import (
    HERE,
    MOBILE,
    NOW,
    NUMBER,
    RIGHT,
    THERE,
    WRONG,
    AccountWorld,
    after,
    caller,
    memory_world,
    postgres_world,
)
from tests.crowd import tried_at_once

from adapters.persistence.stale import CHUNK
from gemini_core.errors import Unauthenticated
from gemini_core.model.accounts.codes import ChallengeId, Opened, Outcome, Proven, Purpose, SignedIn, TooSoon
from gemini_core.model.accounts.people import Client

STRANGER = "+14155552672"


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> AccountWorld:
    return memory_world() if request.param == "memory" else postgres_world(request.getfixturevalue("engine"))


def test_the_first_proof_of_a_number_makes_its_account_with_the_profile_of_its_requester(world: AccountWorld) -> None:
    signup = world.sign_up(name="Ann", password_hash="hash")
    outcome = world.type_in(world.sent(signup=signup))
    assert isinstance(outcome, SignedIn)
    assert (outcome.user.mobile_number, outcome.user.profile.name, outcome.user.has_password) == (NUMBER, "Ann", True)
    assert world.users.show(outcome.user.id) == outcome.user
    assert [session.id for session in world.sessions.live(outcome.user.id, now=NOW)] == [outcome.session.id]
    assert world.sessions.alive(caller(outcome), now=NOW)


def test_a_wrong_code_opens_nothing_and_stays_counted(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.sent()
    assert world.type_in(challenge, WRONG) is None
    (event,) = world.events("code.compared")
    assert (event.detail["attempt"], event.detail["right"], event.number) == (1, False, "+1415•••2671")


def test_the_right_code_after_too_many_wrong_ones_is_refused(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.sent()
    for _ in range(world.policy.attempts):
        assert world.type_in(challenge, WRONG) is None
    assert world.type_in(challenge) is None
    assert len(world.events("code.compared")) == world.policy.attempts


def test_of_fifty_wrong_guesses_at_once_five_are_compared(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.sent()
    assert tried_at_once(50, lambda _: world.type_in(challenge, WRONG)) == [None] * 50
    assert sorted(event.detail["attempt"] for event in world.events("code.compared")) == [1, 2, 3, 4, 5]  # type: ignore[type-var]
    assert world.type_in(challenge) is None


def test_of_fifty_right_codes_at_once_one_opens_a_session(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.sent()
    outcomes = tried_at_once(50, lambda _: world.type_in(challenge))
    (winner,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(winner, SignedIn)
    assert len(world.sessions.live(winner.user.id, now=NOW)) == 1


def test_a_resend_never_resets_the_attempts(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.sent()
    for _ in range(4):
        assert world.type_in(challenge, WRONG) is None
    assert world.sent(now=after(60)) == challenge
    assert world.type_in(challenge, WRONG, now=after(61)) is None
    assert world.type_in(challenge, RIGHT, now=after(62)) is None
    assert [event.detail["attempt"] for event in world.events("code.compared")] == [5, 4, 3, 2, 1]


def test_asking_again_is_possible_after_a_minute_and_three_times(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.asked()
    early = world.ask(now=after(59))
    assert isinstance(early, TooSoon)
    assert (early.retry_after.total_seconds(), early.window.total_seconds()) == (1, 60)
    assert world.asked(now=after(60)) == challenge
    assert world.asked(now=after(120)) == challenge
    fourth = world.ask(now=after(180))
    assert isinstance(fourth, TooSoon)
    assert (fourth.retry_after.total_seconds(), fourth.window.total_seconds()) == (540, 600)
    assert world.asked(now=after(720)) != challenge


@pytest.mark.parametrize("number", [NUMBER, "+14155552672"])
def test_asking_is_the_same_for_a_number_nobody_knows(world: AccountWorld, number: str) -> None:
    world.sign_up()
    assert isinstance(world.ask(number), Opened)
    too_soon = world.ask(number, now=after(59))
    assert isinstance(too_soon, TooSoon)
    assert too_soon.retry_after.total_seconds() == 1
    assert isinstance(world.ask(number, now=after(60)), Opened)


def test_nobody_elsewhere_learns_from_asking_again_what_became_of_the_account(world: AccountWorld) -> None:
    """They ask now and three times more, each a minute after the owner has signed up, set a password and signed out."""
    challenge, told = world.asked(by=THERE), []

    def asks_too_soon(seconds: float) -> None:
        early = world.ask(by=THERE, now=after(seconds))
        assert isinstance(early, TooSoon), early
        told.append(early.retry_after.total_seconds())

    owner = world.sign_in(now=after(1))
    asks_too_soon(59)
    assert world.asked(by=THERE, now=after(60)) == challenge
    world.change_password(caller(owner), version=1, now=after(61))
    asks_too_soon(119)
    assert world.asked(by=THERE, now=after(120)) == challenge
    world.sessions.end_all(owner.user.id, ip="", now=after(121))
    asks_too_soon(180)
    assert told == [1, 1, 540]


def test_a_challenge_goes_on_under_other_credentials_with_another_code_and_the_same_attempts(
    world: AccountWorld,
) -> None:
    owner = world.sign_in()
    challenge = world.sent(by=THERE)
    for _ in range(4):
        world.type_in(challenge, WRONG, by=THERE)
    world.sessions.end_all(owner.user.id, ip="", now=after(1))
    assert world.sent(by=THERE, now=after(60)) == challenge
    assert isinstance(world.type_in(challenge, by=THERE, now=after(61)), SignedIn)
    assert world.events("code.compared")[0].detail["attempt"] == 5


def test_of_fifty_asks_at_once_one_is_accepted(world: AccountWorld) -> None:
    world.sign_up()
    outcomes = tried_at_once(50, lambda _: world.ask())
    assert len([outcome for outcome in outcomes if isinstance(outcome, Opened)]) == 1


def test_the_code_before_a_resend_is_void_at_once(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.sent()
    world.asked(now=after(60))
    assert world.type_in(challenge, now=after(61)) is None


def test_a_code_lives_five_minutes_from_its_hand_over_however_slow_the_sender_was(world: AccountWorld) -> None:
    world.sign_up()
    for number, late, good in ((NUMBER, 299, True), ("+14155552672", 300, False)):
        signup = world.sign_up(number)
        challenge = world.asked(number, signup=signup)
        delivery = world.challenges.prepare(challenge, lambda _: RIGHT, now=NOW)
        assert delivery is not None
        world.challenges.delivered(delivery, Outcome.SENT, now=after(8))
        assert (world.type_in(challenge, now=after(8 + late)) is not None) is good


def test_a_code_never_outlives_ten_minutes_from_the_ask(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.asked()
    world.send(challenge, now=after(400))
    assert world.type_in(challenge, now=after(600)) is None


def test_a_code_is_good_while_its_sender_takes_its_time(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.asked()
    world.challenges.prepare(challenge, lambda _: RIGHT, now=NOW)
    assert world.type_in(challenge, now=after(5)) is not None


def test_a_code_is_prepared_once_however_many_workers_try(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.asked()
    deliveries = tried_at_once(50, lambda _: world.challenges.prepare(challenge, lambda _: RIGHT, now=NOW))
    assert len([delivery for delivery in deliveries if delivery is not None]) == 1


def test_a_code_that_could_not_be_sent_counts_for_nothing(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.asked()
    world.send(challenge, outcome=Outcome.FAILED)
    assert world.type_in(challenge) is None
    assert world.asked(now=after(1)) == challenge
    world.send(challenge, now=after(1))
    assert world.type_in(challenge, now=after(2)) is not None


def test_a_code_that_was_perhaps_sent_is_good_and_not_sent_again(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.asked()
    world.send(challenge, outcome=Outcome.UNCERTAIN)
    assert isinstance(world.ask(now=after(1)), TooSoon)
    assert world.type_in(challenge, now=after(2)) is not None


def test_the_promise_to_send_is_written_with_the_challenge_and_names_nothing_but_it(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.asked()
    (job,) = world.jobs.list_jobs(state=None, kind="send_code", limit=10, after=None).items
    assert (job.args, job.request_id) == ({"challenge": challenge}, "r")


def test_a_number_nobody_signed_up_gets_a_decoy_that_no_code_opens(world: AccountWorld) -> None:
    challenge = world.asked()
    assert not world.send(challenge)
    assert world.type_in(challenge) is None
    assert len(world.events("code.compared")) == 1


def test_a_sign_up_counts_for_who_made_it_and_for_nobody_else(world: AccountWorld) -> None:
    signup = world.sign_up(by=THERE, name="Mallory", password_hash="mallorys")
    assert not world.send(world.asked(by=HERE))
    assert world.send(world.asked(by=HERE, signup=signup, now=after(60)), now=after(60))
    world.sign_up(by=HERE, now=after(120))
    challenge = world.sent(by=HERE, now=after(120))
    outcome = world.type_in(challenge, now=after(121))
    assert isinstance(outcome, SignedIn)
    assert (outcome.user.profile.name, outcome.user.has_password) == (None, False)


def test_a_sign_up_from_the_same_network_does_not_reach_a_challenge_that_has_its_own(world: AccountWorld) -> None:
    own = world.sign_up(name="Ann", by=HERE)
    challenge = world.sent(signup=own)
    mallorys = world.sign_up(name="Mallory", password_hash="mallorys", by=HERE, now=after(1))
    assert world.asked(signup=mallorys, now=after(2)) != challenge
    outcome = world.type_in(challenge, now=after(3))
    assert isinstance(outcome, SignedIn)
    assert outcome.user.profile.name == "Ann"


def test_signing_up_again_changes_nothing_of_an_account(world: AccountWorld) -> None:
    first = world.sign_in(name="Ann")
    again = world.sign_in(name="Mallory", password_hash="mallorys", now=after(60))
    assert again.user == first.user
    assert world.passwords.of_number(NUMBER, HERE, None, now=after(60)) is None


def test_an_account_with_a_password_gets_a_code_only_with_the_right_one(world: AccountWorld) -> None:
    world.sign_in(password_hash="hash")
    assert not world.send(world.asked(now=after(60)), now=after(60))
    proven = world.passwords.of_number(NUMBER, THERE, None, now=after(60))
    assert proven is not None
    assert world.send(world.asked(by=THERE, proven=proven, now=after(60)), now=after(60))


def test_a_withheld_code_is_a_decoy(world: AccountWorld) -> None:
    world.sign_up()
    assert not world.send(world.asked(withheld=True))


def test_a_number_finds_only_the_challenge_of_the_same_network(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.sent()
    assert world.type_in(MOBILE, by=THERE) is None
    assert world.type_in(MOBILE, by=HERE, now=after(600)) is None
    assert world.events("code.compared") == ()
    assert isinstance(world.type_in(MOBILE, by=HERE), SignedIn)
    assert world.type_in(challenge) is None


def test_a_number_stands_for_what_was_asked_for_last(world: AccountWorld) -> None:
    world.sign_in(password_hash="hash")
    earlier, later = world.sent(purpose=Purpose.RESET), world.asked(now=after(1))
    assert world.type_in(MOBILE, now=after(2)) is None  # the later one is a decoy
    for _ in range(world.policy.attempts):
        world.type_in(later, WRONG, now=after(2))
    assert world.type_in(MOBILE, now=after(2)) is None
    assert world.type_in(earlier, now=after(2)) == Proven(earlier, NUMBER)


def test_a_code_may_be_kept_under_one_of_several_roots(world: AccountWorld) -> None:
    world.sign_up()
    world.sent()
    assert isinstance(world.type_in(MOBILE, WRONG + RIGHT), SignedIn)


def test_of_fifty_guesses_at_a_number_five_are_compared_and_of_fifty_right_ones_one_is_good(
    world: AccountWorld,
) -> None:
    world.sign_up()
    world.sent()
    assert tried_at_once(50, lambda _: world.type_in(MOBILE, WRONG)) == [None] * 50
    assert len(world.events("code.compared")) == world.policy.attempts
    world.sent(now=after(600))
    outcomes = tried_at_once(50, lambda _: world.type_in(MOBILE, now=after(600)))
    assert len([outcome for outcome in outcomes if isinstance(outcome, SignedIn)]) == 1


def test_a_stranger_cannot_burn_the_owners_tries(world: AccountWorld) -> None:
    world.sign_up()
    own = world.sent()
    strangers = world.asked(by=THERE)
    for _ in range(5):
        world.type_in(strangers, WRONG, by=THERE)
    assert world.type_in(own) is not None


def test_a_code_for_one_challenge_does_not_open_another(world: AccountWorld) -> None:
    world.sign_up()
    world.sent()
    other = world.asked("+14155552672")
    assert world.type_in(other) is None
    assert len(world.events("code.compared")) == 1


def test_an_unknown_challenge_is_refused_like_any_other(world: AccountWorld) -> None:
    assert world.type_in(ChallengeId("no such challenge")) is None


def test_a_reset_code_proves_the_number_and_opens_no_session(world: AccountWorld) -> None:
    owner = world.sign_in(password_hash="hash")
    challenge = world.sent(purpose=Purpose.RESET)
    assert world.type_in(challenge) == Proven(challenge, NUMBER)
    assert len(world.sessions.live(owner.user.id, now=NOW)) == 1
    assert world.passwords.of_reset(challenge, now=NOW).id == owner.user.id


def test_a_login_code_never_sets_a_password(world: AccountWorld) -> None:
    world.sign_up()
    challenge = world.sent()
    assert world.type_in(challenge) is not None
    with pytest.raises(Unauthenticated):
        world.passwords.of_reset(challenge, now=NOW)
    with pytest.raises(Unauthenticated):
        world.change_password(challenge, version=1)


def test_a_number_under_attack_gets_longer_codes_and_fewer_tries(world: AccountWorld) -> None:
    world.sign_in()
    for number in range(4):
        network = f"203.0.113.{number}"
        challenge = world.asked(by=Client(network, network))
        for _ in range(5):
            world.type_in(challenge, WRONG)
    challenge = world.asked(by=THERE)
    delivery = world.challenges.prepare(challenge, lambda _: RIGHT, now=NOW)
    assert delivery is not None
    assert delivery.digits == 8
    for _ in range(3):
        assert world.type_in(challenge, WRONG, by=THERE) is None
    assert world.type_in(challenge, by=THERE) is None


def fail(world: AccountWorld, times: int, number: str = NUMBER, *, now: datetime = NOW) -> None:
    """So many wrong codes for a number, each from elsewhere."""
    for each in range(times):
        client = Client(f"203.0.113.{each}", f"203.0.113.{each}")
        assert world.type_in(world.asked(number, by=client, now=now), WRONG, by=client, now=now) is None


def test_after_a_hundred_failures_only_a_known_network_gets_in_and_that_lifts_the_pause(world: AccountWorld) -> None:
    owner = world.sign_in()
    open_before = world.sent(by=THERE)
    fail(world, 100)
    assert world.type_in(open_before, by=THERE) is None
    assert not world.send(world.asked(by=Client("203.0.113.200", "203.0.113.200")))
    assert world.sessions.alive(caller(owner), now=NOW)
    assert world.type_in(world.sent(by=HERE), by=HERE) is not None
    assert world.type_in(world.sent(by=THERE, now=after(61)), by=THERE, now=after(62)) is not None


def test_a_pause_lasts_for_an_account_and_lapses_for_a_number_without_one(world: AccountWorld) -> None:
    world.sign_in()
    fail(world, 100)
    fail(world, 100, STRANGER)
    for days, lapsed in ((89, False), (91, True)):
        now = after(days=days)
        world.users.forget_stale(now=now)
        world.sign_up(STRANGER, by=THERE, now=now)
        assert not world.send(world.asked(by=THERE, now=now), now=now)
        assert world.send(world.asked(STRANGER, by=THERE, now=now), now=now) is lapsed


def test_wrong_codes_count_on_after_what_is_stale_was_forgotten(world: AccountWorld) -> None:
    world.sign_in()
    for number in (NUMBER, STRANGER):
        fail(world, 99, number)
    fail(world, 19, "+14155552673")
    world.users.forget_stale(now=after(hours=23))
    fail(world, 1, "+14155552673", now=after(hours=23))
    delivery = world.challenges.prepare(
        world.asked("+14155552673", by=THERE, now=after(hours=23)), lambda _: RIGHT, now=after(hours=23)
    )
    assert delivery is not None
    assert delivery.digits == 8
    later = after(days=2)
    world.users.forget_stale(now=later)
    for number in (NUMBER, STRANGER):
        fail(world, 1, number, now=later)
        world.sign_up(number, by=THERE, now=later)
        assert not world.send(world.asked(number, by=THERE, now=later), now=later)


def test_numbers_that_nothing_is_counted_against_are_not_kept(engine: Engine) -> None:
    world = postgres_world(engine)
    world.sign_in()
    fail(world, 1, STRANGER)
    fail(world, 1, "+14155552673")
    world.sign_in("+14155552673", now=after(1))
    many = """
        INSERT INTO phones (mobile_number, failures, recent_failures, failed_at)
        SELECT 'tried ' || number, 0, 1, :now FROM generate_series(1, :many) AS number
    """

    def kept(**later: float) -> set[str]:
        world.users.forget_stale(now=after(**later))
        with engine.connect() as connection:
            return set(connection.execute(text("SELECT mobile_number FROM phones")).scalars())

    with engine.connect() as connection:
        connection.execute(text(many), {"now": NOW, "many": 2 * CHUNK})
    assert len(kept(hours=23)) == 2 * CHUNK + 3
    assert kept(hours=25) == {STRANGER}
    assert kept(days=91) == set()


def test_a_password_does_not_lift_a_pause_that_wrong_codes_brought_about(world: AccountWorld) -> None:
    owner = world.sign_in()
    fail(world, 100)
    world.change_password(caller(owner), version=1)
    proven = world.passwords.of_number(NUMBER, THERE, None, now=NOW)
    assert proven is not None
    assert not world.send(world.asked(by=THERE, proven=proven))
    assert world.send(world.asked(by=HERE, proven=proven, now=after(61)), now=after(61))


def test_two_first_proofs_of_a_number_at_once_make_one_account(world: AccountWorld) -> None:
    clients = [Client(f"203.0.113.{number}", f"203.0.113.{number}") for number in range(50)]
    challenges = []
    for client in clients:
        world.sign_up(by=client, name=client.ip)
        challenges.append(world.sent(by=client))
    outcomes = tried_at_once(50, lambda number: world.type_in(challenges[number], by=clients[number]))
    winners = [outcome for outcome in outcomes if isinstance(outcome, SignedIn)]
    assert len(winners) == 1
    assert winners[0].user.profile.name == winners[0].session.ip
