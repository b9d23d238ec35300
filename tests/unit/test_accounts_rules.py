"""The rules of accounts that need nothing of the world."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from time import process_time

import pytest

from adapters.argon2.common import common_passwords
from adapters.argon2.hasher import Argon2Hasher
from adapters.contacts.checker import ContactChecker
from gemini_core.errors import Invalid, Unavailable
from gemini_core.model.accounts.codes import Purpose, new_code
from gemini_core.model.accounts.passwords import PasswordPolicy
from gemini_core.model.accounts.people import clean_line, masked
from gemini_core.model.accounts.policy import AccountPolicy, code_text, password_changed_text
from gemini_core.model.accounts.seals import (
    RefreshClaims,
    SealRing,
    code_seal,
    new_challenge_id,
    number_seals,
    read_refresh_token,
    read_reset_token,
    refresh_token,
    reset_token,
)
from gemini_core.model.ids import SessionId, uuid7_of_ms

OLD, NEW = b"an old root secret, thirty-two bytes", b"a new root secret, thirty-two bytes!"
RING = SealRing(NEW)
SESSION = SessionId(uuid7_of_ms(1_700_000_000_000))
POLICY = PasswordPolicy(common_passwords())
GSM7 = set("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
           "abcdefghijklmnopqrstuvwxyzäöñüà")  # fmt: skip


def deviations() -> list[float]:
    """Chi-squared of the ten digits at each of the six places of 100,000 codes."""
    codes = [new_code(6) for _ in range(100_000)]
    assert {len(code) for code in codes} == {6}
    assert 9_000 < sum(code.startswith("0") for code in codes) < 11_000
    counts = [Counter(code[place] for code in codes) for place in range(6)]
    return [sum((count[digit] - 10_000) ** 2 / 10_000 for digit in "0123456789") for count in counts]


def test_every_digit_of_a_code_is_equally_likely() -> None:
    # 27.88 is exceeded by chance once in a thousand times (p = 0.001, nine degrees of freedom), by a bias every time.
    assert any(max(deviations()) < 27.88 for _ in range(3))


def test_a_code_keeps_its_zeros() -> None:
    assert {len(new_code(8)) for _ in range(1_000)} == {8}


def test_the_text_of_a_code_names_the_app_and_binds_it_to_the_domain() -> None:
    text = code_text(AccountPolicy(domain="chat.example"), "012345")
    assert text == (
        "012345 is your Gemini Backend code, valid for 5 minutes. Don't share it with anyone.\n\n@chat.example #012345"
    )
    assert len(text) <= 160
    assert set(text) <= GSM7
    assert "http" not in text
    assert len(password_changed_text(AccountPolicy())) <= 160


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(30, "30 seconds"), (60, "60 seconds"), (119, "119 seconds"), (120, "2 minutes"), (600, "10 min")],
)
def test_the_text_of_a_code_tells_how_long_it_is_good(seconds: int, told: str) -> None:
    assert f", valid for {told}" in code_text(AccountPolicy(code_lives=timedelta(seconds=seconds)), "012345")


def test_numbers_are_masked_for_logs() -> None:
    assert masked("+14155552671") == "+1415•••2671"
    assert masked("+4917012345") == "+49•••45"


PADDED = refresh_token(RING, RefreshClaims(SESSION, 1)) + "="


@pytest.mark.parametrize("token", ["", "A", "x" * 400, "é", PADDED], ids=["none", "short", "long", "foreign", "padded"])
def test_what_is_no_refresh_token_is_none(token: str) -> None:
    assert read_refresh_token(RING, token) is None


def test_a_refresh_token_with_any_character_changed_is_not_ours() -> None:
    token = refresh_token(RING, RefreshClaims(SESSION, 7))
    assert read_refresh_token(RING, token) == RefreshClaims(SESSION, 7)
    for place in range(len(token)):
        for other in "Aa0_-":
            if token[place] != other:
                assert read_refresh_token(RING, token[:place] + other + token[place + 1 :]) is None


def test_the_kinds_of_token_do_not_stand_for_each_other() -> None:
    challenge = new_challenge_id(RING, Purpose.RESET.byte)
    assert read_reset_token(RING, reset_token(RING, challenge)) == challenge
    assert read_refresh_token(RING, reset_token(RING, challenge)) is None
    assert read_reset_token(RING, refresh_token(RING, RefreshClaims(SESSION, 1))) is None


def test_what_an_old_root_sealed_holds_until_the_root_is_gone() -> None:
    token = refresh_token(SealRing(OLD), RefreshClaims(SESSION, 1))
    assert read_refresh_token(SealRing(NEW, OLD), token) == RefreshClaims(SESSION, 1)
    assert read_refresh_token(SealRing(NEW), token) is None
    assert SealRing(NEW, OLD).newest == SealRing(NEW).newest


def test_a_code_is_sealed_for_one_challenge_under_one_secret() -> None:
    first, second = new_challenge_id(RING, 1), new_challenge_id(RING, 1)
    assert len({first, second}) == 2
    assert code_seal(RING, first, "123456") == code_seal(RING, first, "123456")
    seals = {code_seal(RING, first, "123456"), code_seal(RING, first, "123457"), code_seal(RING, second, "123456")}
    assert len(seals) == 3
    assert len(code_seal(RING, first, "123456")) == 32
    assert code_seal(SealRing(OLD), first, "1") != code_seal(SealRing(OLD), first, "1")


def test_a_code_is_sealed_for_a_number_and_a_network_under_every_root() -> None:
    both = number_seals(SealRing(NEW, OLD), "+14155552671", "192.0.2.1", "123456")
    assert both == tuple(number_seals(SealRing(root), "+14155552671", "192.0.2.1", "123456")[0] for root in (NEW, OLD))
    others = {
        number_seals(RING, *about)[0]
        for about in (
            ("+14155552672", "192.0.2.1", "123456"),
            ("+14155552671", "192.0.2.2", "123456"),
            ("+14155552671", "192.0.2.1", "123457"),
        )
    }
    assert len(others - set(both)) == 3


@pytest.mark.parametrize("roots", [(), (b"short",), (NEW, NEW)])
def test_a_ring_needs_long_and_different_roots(roots: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="root secret"):
        SealRing(*roots)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short77", "too_short"),
        ("x" * 129, "too_long"),
        ("password", "too_common"),
        ("PassWord1", "too_common"),
        ("iloveyou", "too_common"),
        (" " * 8, "too_common"),
        ("gemini12", "guessable"),
        ("4155552671", "guessable"),
        ("margarethe1", "guessable"),
        ("Margarethe-1990!", "guessable"),
        ("Gemini Backend", "guessable"),
        ("geminibackend2026", "guessable"),
        ("schmidtmargarethe", "guessable"),
        ("+1 14155552671", "guessable"),
        ("4155552671abc", "guessable"),
        ("0415555-2671 04155552671", "guessable"),
    ],
)
def test_a_weak_password_is_refused_with_its_reason(password: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        POLICY.accept("password", password, about=("+14155552671", "Margarethe Schmidt", None))
    assert (refused.value.errors[0].field, refused.value.errors[0].code) == ("password", code)


@pytest.mark.parametrize(
    "password",
    ["correct horse", "zq8!kd0v", "x9" * 32, "ü" * 128, "margarethe rides a bike", "9 gemini stars", "71906284"],
)
def test_a_long_enough_password_is_accepted(password: str) -> None:
    assert POLICY.accept("password", password, about=("+14155552671", "Margarethe")) == password


def test_a_password_is_the_same_however_its_accents_are_typed() -> None:
    assert POLICY.accept("password", "cafe\u0301 au lait") == "caf\u00e9 au lait"


def test_common_passwords_are_refused_with_the_reason() -> None:
    listed = sorted(common_passwords())
    for password in listed[:: len(listed) // 20]:
        with pytest.raises(Invalid) as refused:
            POLICY.accept("password", password)
        assert refused.value.errors[0].code == "too_common", password


def test_the_list_of_common_passwords_is_long_and_holds_only_what_could_be_chosen() -> None:
    assert len(common_passwords()) >= 3000
    assert min(map(len, common_passwords())) >= 8


def test_a_password_is_hashed_whole_and_never_twice_alike() -> None:
    hasher = Argon2Hasher(memory_kib=64)
    kept = hasher.hash("a" * 72 + "b")
    assert hasher.matches(kept, "a" * 72 + "b")
    assert not hasher.matches(kept, "a" * 72 + "c")
    assert not hasher.matches(None, "nobody's password")
    assert not hasher.matches("no hash at all", "x")
    assert hasher.hash("x") != hasher.hash("x")
    assert not hasher.is_weak(kept)
    assert Argon2Hasher(memory_kib=128).is_weak(kept)


def test_a_password_of_nobody_takes_as_long_to_refuse_as_any_other() -> None:
    hasher = Argon2Hasher(at_once=1)
    kept = hasher.hash("a password")
    assert not hasher.matches(None, "warms up")

    def spent(password_hash: str | None) -> float:
        began = process_time()
        assert not hasher.matches(password_hash, "another password")
        return process_time() - began

    nobodys, somebodys = (min(spent(each) for _ in range(5)) for each in (None, kept))
    assert 0.5 < nobodys / somebodys < 2


def test_hashing_refuses_what_would_wait_too_long() -> None:
    hasher = Argon2Hasher(at_once=1, waiting=0)
    together = Barrier(8)

    def one(_: int) -> bool:
        together.wait()
        try:
            return bool(hasher.hash("x"))
        except Unavailable:
            return False

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(one, range(8)))
    assert True in outcomes
    assert False in outcomes
    assert hasher.hash("x")


@pytest.mark.parametrize(
    ("given", "kept", "country"),
    [
        ("+14155552671", "+14155552671", "US"),
        ("+919876543210", "+919876543210", "IN"),
        ("9876543210", "+919876543210", "IN"),
        ("09876543210", "+919876543210", "IN"),
    ],
)
def test_a_mobile_number_is_kept_in_e164(given: str, kept: str, country: str) -> None:
    number = ContactChecker("IN").number(given)
    assert (number.e164, number.country) == (kept, country)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "4155552671",
        "+1 (415) 555-2671",
        "+14155552671x33",
        "+14155552671;ext=5",
        "tel:+14155552671",
        "+١٤١٥٥٥٥٢٦٧١",
        "\u202e+14155552671",
        "+14155552671\n",
        " +14155552671",
        "0014155552671",
        "+19005550123",
        "+882130000000",
        "+18005550123",
        "+1",
        "+0123456789",
        "+123456789012345678",
        "+442079460958",
        "+14155552671\x00",
    ],
)
def test_what_only_looks_like_a_mobile_number_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        ContactChecker().number(text)
    assert refused.value.errors[0].field == "mobile_number"


@pytest.mark.parametrize(
    ("region", "text"),
    [("IN", "0014155552671"), ("IN", "00919876543210"), ("US", "011447400123456"), ("AU", "0011447400123456")],
)
def test_a_number_of_another_country_begins_with_a_plus(region: str, text: str) -> None:
    with pytest.raises(Invalid):
        ContactChecker(region).number(text)


@pytest.mark.parametrize("text", ["a", "a@", "a@b", "a@@b.example", "a b@c.example", "a@b.example\nbcc:x", "a" * 300])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        ContactChecker().email(text)


def test_a_line_is_trimmed_and_holds_no_control_characters() -> None:
    assert clean_line("name", "  Ann  ") == "Ann"
    assert clean_line("name", " ") is None
    for bad in ("a\nb", "a\u202eb", "x" * 101):
        with pytest.raises(Invalid):
            clean_line("name", bad)


@pytest.mark.parametrize("name", ["क्\u200dष", "مى\u200cخواهم", "Ann 👩\u200d👩\u200d👧 B.", "नमस्ते"])
def test_a_name_keeps_what_joins_its_letters_and_pictures(name: str) -> None:
    assert clean_line("name", f" {name} ") == name


@pytest.mark.parametrize(
    "name", ["\u200dAnn", "Ann\u200c", "A \u200dB", "A\u200d B", "A\u200d\u200cB", "\u200d", "A\u200bB"]
)
def test_a_name_holds_nothing_that_cannot_be_seen(name: str) -> None:
    with pytest.raises(Invalid, match="control characters"):
        clean_line("name", name)


def test_a_user_name_looks_like_no_other_with_nothing_but_what_joins_between() -> None:
    with pytest.raises(Invalid, match="control characters"):
        clean_line("username", "a\u200dnn")


def test_the_policy_holds_the_promised_numbers() -> None:
    policy = AccountPolicy()
    assert (policy.attempts, policy.sends_per_challenge, policy.sessions) == (5, 3, 20)
    assert (policy.code_lives, policy.code_ceiling) == (timedelta(minutes=5), timedelta(minutes=10))
