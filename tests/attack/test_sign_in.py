"""The promises of signing in, attacked over HTTP as anybody could: two API processes, a worker, real servers.

Every attack says which rows of the promises it is about, and what it found.
"""

import base64
import hashlib
import json
import math
import random
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from psycopg import sql
from redis import Redis
from tests.attack.target import CODES_PER_NETWORK, RESEND, Report, Target

from adapters.local.processes import until
from gemini_core.model.accounts.seals import SealRing, code_seal

OLD, NEW = "an old horse battery", "a new horse battery"
INVALID_OTP = "/problems/invalid-otp"
LONG_WORD = re.compile(r"[\w.=-]{40,}")


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


def compared(victim: Target, challenge: str) -> int:
    """How often a code was compared for this challenge: by the audit log, not by what the answers say."""
    query = "SELECT count(*) FROM audit WHERE event = 'code.compared' AND detail->>'challenge' = %s"
    return int(victim.site.ask(query, challenge[:8])[0][0])


@pytest.mark.rows("3, 11")
def test_a_thousand_wrong_codes_at_once(victim: Target, found: Report) -> None:
    number, ip = victim.number(), victim.ip()
    proof = victim.challenged(number, ip=ip, signup_id=victim.sign_up(number, ip=ip))
    guess = {**proof, "otp": wrong(proof["otp"])}
    answers = victim.swarm([("/auth/verify-otp/", guess, victim.ip(), "")] * 1000)
    assert Counter(answer.status_code for answer in answers) == {400: 1000}
    assert victim.site.ask("SELECT attempts FROM challenges WHERE id = %s", proof["challenge_id"]) == [(5,)]
    assert compared(victim, proof["challenge_id"]) == 5
    right = victim.post("/auth/verify-otp/", proof, ip=ip)
    assert (right.status_code, right.json()["type"]) == (400, INVALID_OTP)
    found("5 of 1,000 compared; then the right one refused")


@pytest.mark.rows("4")
def test_two_hundred_right_codes_at_once(victim: Target, found: Report) -> None:
    number, ip = victim.number(), victim.ip()
    proof = victim.challenged(number, ip=ip, signup_id=victim.sign_up(number, ip=ip))
    answers = victim.swarm([("/auth/verify-otp/", proof, ip, "")] * 200)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 199}
    assert len({_bare(answer.text) for answer in answers if answer.status_code == 400}) == 1
    sessions = "SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id WHERE mobile_number = %s"
    assert victim.site.ask(sessions, number) == [(1,)]
    found("1 session of 200; 199 refusals alike")


@pytest.mark.rows("5, 6")
def test_a_resend_for_fresh_tries(victim: Target, found: Report) -> None:
    number, ip = victim.number(), victim.ip()
    signup = victim.sign_up(number, ip=ip)
    first = victim.challenged(number, ip=ip, signup_id=signup)
    for _ in range(4):
        assert victim.post("/auth/verify-otp/", {**first, "otp": wrong(first["otp"])}, ip=ip).status_code == 400
    too_soon = "SELECT count(*) FROM challenges WHERE id = %s AND asked_at > now() - make_interval(secs => %s)"
    assert until(lambda: victim.site.ask(too_soon, first["challenge_id"], RESEND) == [(0,)], within=RESEND + 10)
    second = victim.challenged(number, ip=ip, count=2, signup_id=signup)
    assert second["challenge_id"] == first["challenge_id"]
    for proof in ({**second, "otp": wrong(second["otp"])}, second, first):
        assert victim.post("/auth/verify-otp/", proof, ip=ip).status_code == 400
    assert compared(victim, first["challenge_id"]) == 5
    found("the 5th try was the last, on whichever code")


@pytest.mark.rows("8")
def test_burning_somebody_elses_tries(victim: Target, found: Report) -> None:
    number, ip, mallory = victim.number(), victim.ip(), victim.ip()
    proof = victim.challenged(number, ip=ip, signup_id=victim.sign_up(number, ip=ip))
    own = victim.ask(number, ip=mallory)["challenge_id"]
    for body in ({"challenge_id": own}, {"mobile_number": number}):
        for _ in range(10):
            assert victim.post("/auth/verify-otp/", {**body, "otp": "000000"}, ip=mallory).status_code == 400
    assert victim.post("/auth/verify-otp/", proof, ip=ip).status_code == 200
    found("20 guesses elsewhere; the owner's code still good")


@pytest.mark.rows("11, 20")
def test_telling_refusals_apart(victim: Target, found: Report) -> None:
    number, ip = victim.number(), victim.ip()
    proof = victim.challenged(number, ip=ip, signup_id=victim.sign_up(number, ip=ip))
    decoy = victim.ask(victim.number(), ip=ip)["challenge_id"]
    bad = wrong(proof["otp"])
    bodies = [
        {**proof, "otp": bad},
        {"challenge_id": decoy, "otp": bad},
        {"challenge_id": "A" * 24, "otp": bad},
        {"challenge_id": "!", "otp": bad},
        {"mobile_number": victim.number(), "otp": bad},
    ]
    answers = [victim.post("/auth/verify-otp/", body, ip=ip) for body in bodies]
    assert victim.post("/auth/verify-otp/", proof, ip=ip).status_code == 200
    answers.append(victim.post("/auth/verify-otp/", proof, ip=ip))  # used
    answers += [victim.post("/auth/verify-otp/", bodies[1], ip=ip) for _ in range(5)]  # too many
    assert len({_bare(answer.text) for answer in answers}) == 1
    assert len({(answer.status_code, _headers(answer)) for answer in answers}) == 1
    found("7 reasons, 1 answer, byte for byte")


@pytest.mark.rows("14")
def test_a_thousand_asks_for_one_phone(victim: Target, found: Report) -> None:
    number = victim.number()
    assert victim.site.run("users", "create", number).returncode == 0
    as_shipped = [victim.site.api(OTP_SENDS_PER_PHONE_HOUR="3").url for _ in range(2)]
    asks = [("/auth/send-otp/", {"mobile_number": number}, victim.ip(), "") for _ in range(1000)]
    answers = victim.swarm(asks, as_shipped)
    assert {(answer.status_code, tuple(answer.json())) for answer in answers} == {
        (200, ("challenge_id", "message", "expires_in", "resend_after"))
    }
    under_way = "SELECT count(*) FROM jobs WHERE kind = 'send_code'"
    assert until(lambda: victim.site.ask(under_way) == [(0,)], within=60)
    assert len(victim.phones.texts[number]) == 3
    victim.secrets.update(text.split(" ", 1)[0] for text in victim.phones.texts[number])
    found("exactly 3 texts, and 1,000 answers alike")


@pytest.mark.rows("18")
def test_a_sender_that_hangs(victim: Target, found: Report) -> None:
    numbers, slowest, worst = list[str](), 1.0, 1.0
    for _attempt in range(3):  # whoever waits for the sender does so every time; a machine is busy now and then
        numbers = [victim.number() for _ in range(50)]
        victim.phones.dead_zone.update(numbers)
        *_, slowest, worst = sorted(_spent_asking(victim, number) for number in numbers)
        if slowest < 0.1 and worst < 1:
            break
    assert slowest < 0.1
    assert worst < 1
    for number in numbers:
        victim.phones.code(number)
    # Every call hangs by now. What was begun before this moment and does not end is held open across a call.
    ((moment,),) = victim.site.ask("SELECT clock_timestamp()")
    older = """SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start < %s"""
    assert until(lambda: victim.site.ask(older, moment) == [(0,)], within=5)
    assert victim.site.ask("SELECT count(*) > 0 FROM jobs WHERE kind = 'send_code' AND leased_until > now()")[0][0]
    assert {len(victim.phones.texts[number]) for number in numbers} == {1}
    found(f"50 senders hanging: slowest answer {worst * 1000:.0f} ms, 1 call each")


@pytest.mark.rows("20")
def test_guessing_who_has_an_account(victim: Target, found: Report) -> None:
    known = [victim.number() for _ in range(300)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(victim.enter, known))
    p = 0.0
    for _attempt in range(3):  # chance alone is below 0.01 once in a hundred times; a leak is so every time
        asked = [(True, number) for number in known] + [(False, victim.number()) for _ in known]
        random.shuffle(asked)
        spent: dict[bool, list[float]] = {True: [], False: []}
        shapes = set()
        for is_known, number in asked:
            path = random.choice(("/auth/send-otp/", "/auth/forgot-password/"))
            ip = victim.ip()
            began = time.perf_counter()
            answer = victim.post(path, {"mobile_number": number}, ip=ip)
            spent[is_known].append(time.perf_counter() - began)
            body = answer.json()
            shapes.add((answer.status_code, _headers(answer), len(body.pop("challenge_id")), json.dumps(body)))
        assert len(shapes) == 1
        p = max(p, _rank_test(spent[True], spent[False]))
        if p > 0.01:
            break
    assert p > 0.01
    signups = [
        victim.post("/auth/signup/", {"mobile_number": number, "name": "Eve"}, ip=victim.ip())
        for number in (known[0], victim.number())
    ]
    assert len({(answer.status_code, _headers(answer), tuple(answer.json())) for answer in signups}) == 1
    found(f"600 answers alike; times by rank test p = {p:.2f}")


@pytest.mark.rows("21")
def test_preparing_an_account_for_its_future_owner(victim: Target, found: Report) -> None:
    number, mallory, ip = victim.number(), victim.ip(), victim.ip()
    theirs = victim.sign_up(number, ip=mallory, name="Mallory", password=OLD)
    victim.challenged(number, ip=mallory, signup_id=theirs)  # its text is there before the owner's is asked for
    own = victim.sign_up(number, ip=ip)
    proof = victim.challenged(number, ip=ip, count=2, signup_id=own)
    owner = victim.post("/auth/verify-otp/", proof, ip=ip)
    assert (owner.status_code, owner.json()["user"]["name"]) == (200, None)
    again = victim.post("/auth/signup/", {"mobile_number": number, "name": "Mallory", "password": OLD}, ip=mallory)
    assert again.status_code == 201
    use = {"mobile_number": number, "password": OLD}
    assert victim.post("/auth/send-otp/", use, ip=mallory).status_code == 401
    assert victim.get("/user/me/", token=owner.json()["access"]).json()["name"] is None
    found("the stranger's profile and password never attach")


@pytest.mark.rows("26, 33")
def test_signing_in_while_the_password_changes(victim: Target, found: Report) -> None:
    def round_(_: int) -> int:
        number = victim.number()
        owner = victim.enter(number, password=OLD)
        proofs = []
        for count in range(2, 10):
            ip = victim.ip()
            proofs.append((victim.challenged(number, ip=ip, count=count, password=OLD), ip))
        change = {"current_password": OLD, "new_password": NEW}
        barrier = threading.Barrier(9)

        def enter(proof: dict[str, str], ip: str) -> Any:
            barrier.wait()
            for _ in range(random.randrange(12)):  # about as long as the change takes for hashing
                victim.get("/healthz/", token="")
            return victim.post("/auth/verify-otp/", proof, ip=ip)

        def set_new() -> Any:
            barrier.wait()
            return victim.post("/auth/change-password/", change, ip=victim.ip(), token=owner["access"])

        with ThreadPoolExecutor(9) as pool:
            entered = [pool.submit(enter, *proof) for proof in proofs]
            assert pool.submit(set_new).result().status_code == 204
        welcomes = [answer.result().json() for answer in entered if answer.result().status_code == 200]
        for welcome in welcomes:
            assert victim.get("/user/me/", token=welcome["access"]).status_code == 401
            renewed = victim.post("/auth/refresh/", {"refresh": welcome["refresh"]}, ip=victim.ip())
            assert renewed.status_code == 401
        assert victim.get("/user/me/", token=owner["access"]).status_code == 200
        return len(welcomes)

    victim.secrets.update((OLD, NEW))
    with ThreadPoolExecutor(3) as pool:
        in_time = sum(pool.map(round_, range(60)))
    found(f"60 rounds of 8: {in_time} got in before the change, 0 are in after it")


@pytest.mark.rows("25")
def test_using_a_reset_twice(victim: Target, found: Report) -> None:
    number, ip = victim.number(), victim.ip()
    victim.enter(number, password=OLD)
    sent = victim.post("/auth/forgot-password/", {"mobile_number": number}, ip=ip).json()
    proof = {"challenge_id": sent["challenge_id"], "otp": victim.phones.code(number, 2)}
    token = victim.post("/auth/verify-otp/", proof, ip=ip).json()["reset_token"]
    victim.secrets.update((proof["otp"], token))
    weak = {"reset_token": token, "new_password": "password"}
    assert victim.post("/auth/change-password/", weak, ip=ip).status_code == 422
    strong = {"reset_token": token, "new_password": NEW}
    answers = victim.swarm([("/auth/change-password/", strong, ip, "")] * 20)
    assert Counter(answer.status_code for answer in answers) == {204: 1, 401: 19}
    found("a weak one spends nothing; of 20 at once 1 is set")


@pytest.mark.rows("27-29")
def test_forged_access_tokens(victim: Target, found: Report) -> None:
    token = victim.enter()["access"]
    tokens = list(_forgeries(victim, token))
    answers = [victim.get("/user/me/", token=forged) for forged in tokens]
    assert {answer.status_code for answer in answers} == {401}
    assert len({_bare(answer.text) for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Bearer error="invalid_token"'}
    assert victim.get("/user/me/", token=token).status_code == 200
    assert victim.post("/auth/logout/", ip=victim.ip(), token=token).status_code == 204
    assert {victim.get("/user/me/", token=token + end).status_code for end in ("", "=", "==")} == {401}
    found(f"{len(tokens)} forgeries refused with one body; no second spelling after logout")


@pytest.mark.rows("31")
def test_forged_refresh_tokens(victim: Target, found: Report) -> None:
    welcome = victim.enter()
    token = welcome["refresh"]
    tokens = [token[:place] + _other(token[place]) + token[place + 1 :] for place in range(len(token))]
    tokens += [token[:-1], token + "A", token + "=", "", welcome["access"][:500]]
    before = victim.site.ask("SELECT counter, ended_at FROM sessions WHERE id = %s", _sid(welcome["access"]))
    answers = victim.swarm([("/auth/refresh/", {"refresh": forged}, victim.ip(), "") for forged in tokens])
    assert {answer.status_code for answer in answers} == {401}
    assert victim.site.ask("SELECT counter, ended_at FROM sessions WHERE id = %s", _sid(welcome["access"])) == before
    assert victim.get("/user/me/", token=token).status_code == 401
    assert victim.post("/auth/refresh/", {"refresh": token}, ip=victim.ip()).status_code == 200
    found(f"{len(tokens)} altered ones refused, the session untouched")


@pytest.mark.rows("32")
def test_five_hundred_renewals_with_one_token(victim: Target, found: Report) -> None:
    welcome = victim.enter()
    answers = victim.swarm([("/auth/refresh/", {"refresh": welcome["refresh"]}, victim.ip(), "")] * 500)
    assert Counter(answer.status_code for answer in answers) == {200: 500}
    assert len({answer.text for answer in answers}) == 1
    assert victim.site.ask("SELECT counter FROM sessions WHERE id = %s", _sid(welcome["access"])) == [(1,)]
    successor = answers[0].json()
    later = "UPDATE sessions SET rotated_at = rotated_at - interval '31 s' WHERE id = %s RETURNING id"
    victim.site.ask(later, _sid(welcome["access"]))
    assert victim.post("/auth/refresh/", {"refresh": welcome["refresh"]}, ip=victim.ip()).status_code == 401
    assert victim.post("/auth/refresh/", {"refresh": successor["refresh"]}, ip=victim.ip()).status_code == 401
    assert victim.get("/user/me/", token=successor["access"]).status_code == 401
    found("500 equal answers, counter +1; a replay after the grace ends the session")


@pytest.mark.rows("33, 36")
def test_renewing_while_signing_out_everywhere(victim: Target, found: Report) -> None:
    def round_(_: int) -> int:
        welcome = victim.enter()
        barrier = threading.Barrier(21)

        def renew() -> Any:
            barrier.wait()
            return victim.post("/auth/refresh/", {"refresh": welcome["refresh"]}, ip=victim.ip())

        def leave() -> Any:
            barrier.wait()
            return victim.post("/auth/logout-all/", ip=victim.ip(), token=welcome["access"])

        with ThreadPoolExecutor(21) as pool:
            renewals = [pool.submit(renew) for _ in range(20)]
            assert pool.submit(leave).result().status_code == 204
        renewed = [answer.result().json() for answer in renewals if answer.result().status_code == 200]
        for pair in (welcome, *renewed[:1]):
            for url in victim.urls:
                bearer = {"Authorization": f"Bearer {pair['access']}"}
                assert victim.http.get(f"{url}/user/me/", headers=bearer).status_code == 401
            assert victim.post("/auth/refresh/", {"refresh": pair["refresh"]}, ip=victim.ip()).status_code == 401
        return len(renewed)

    with ThreadPoolExecutor(2) as pool:
        in_time = sum(pool.map(round_, range(100)))
    found(f"100 rounds of 20: {in_time} renewed in time, 0 usable after it, on either process")


@pytest.mark.rows("30")
def test_rotating_the_keys_under_load(victim: Target, found: Report) -> None:
    people = [victim.enter() for _ in range(8)]
    statuses: Counter[int] = Counter()
    ended = threading.Event()

    def live(welcome: Any) -> None:
        pair = welcome
        while not ended.is_set():
            for _ in range(10):
                statuses[victim.get("/user/me/", token=pair["access"]).status_code] += 1
            answer = victim.post("/auth/refresh/", {"refresh": pair["refresh"]}, ip=victim.ip())
            statuses[answer.status_code] += 1
            pair = answer.json()
            victim.secrets.update((pair["access"], pair["refresh"]))

    with ThreadPoolExecutor(8) as pool:
        lives = [pool.submit(live, welcome) for welcome in people]
        for _ in range(2):
            victim.site.ask("UPDATE signing_keys SET changed_at = changed_at - interval '1 minute' RETURNING kid")
            rotated = victim.site.run("keys", "rotate")
            assert rotated.returncode == 0, rotated.stderr
        ended.set()
    assert [each.result() for each in lives] == [None] * 8
    assert statuses.keys() == {200}
    found(f"2 rotations during {statuses.total():,} calls at 2 processes: 0 refused")


@pytest.mark.rows("24")
def test_hashing_as_an_attack_on_memory(victim: Target, found: Report) -> None:
    before, grown, p99 = victim.memory(), 0, 1.0

    def watch(ended: threading.Event) -> list[float]:
        spent = []
        while not ended.is_set():
            began = time.perf_counter()
            assert victim.http.get(f"{victim.url}/healthz/").status_code == 200
            spent.append(time.perf_counter() - began)
            ended.wait(0.01)
        return spent

    for _attempt in range(3):  # hashing keeps everybody waiting every time; a machine is busy now and then
        with ThreadPoolExecutor(1) as pool:
            ended = threading.Event()
            watching = pool.submit(watch, ended)
            about = {"password": "no such password"}
            bodies = [{**about, "mobile_number": victim.number()} for _ in range(200)]
            answers = victim.swarm([("/auth/send-otp/", body, victim.ip(), "") for body in bodies])
            grown = victim.memory() - before
            ended.set()
            spent = sorted(watching.result())
        assert {answer.status_code for answer in answers} <= {401, 503}
        assert grown < 150e6  # 200 hashes at once would take 4,000
        p99 = spent[int(len(spent) * 0.99)]
        if p99 < 0.5:
            break
    assert p99 < 0.5
    found(f"200 sign-ins at once: {grown / 1e6:.0f} MB more; p99 of /healthz/ {p99 * 1000:.0f} ms")


@pytest.mark.rows("35")
def test_ending_somebody_elses_session(victim: Target, found: Report) -> None:
    owner, stranger = victim.enter(), victim.enter()
    headers = {"Authorization": f"Bearer {stranger['access']}"}
    path = f"{victim.url}/auth/sessions/{_sid(owner['access'])}/"
    assert victim.http.delete(path, headers=headers).status_code == 404
    assert victim.get("/user/me/", token=owner["access"]).status_code == 200
    found("404, and nothing changed")


NUMBERS = [
    "", "+", "+1", "null", "4155552671", "0014155552671", "+0123456789", "+123456789012345678", "+442079460958",
    "+1 (415) 555-2671", "+14155552671x33", "+14155552671;ext=5", "tel:+14155552671", "+14155552671\n", " +14155552671",
    "+19005550123", "+882130000000", "+18005550123", "%2B14155552671", "+14155552671,+14155552672",
    "+14155552671 OR 1=1", "\u202e+14155552671", "+1415555267\u0661", "+14155552671\u200b",
    "+\u0661\u0664\u0661\u0665\u0665\u0665\u0665\u0662\u0666\u0667\u0661", "+1415555\uff12\uff16\uff17\uff11",
]  # fmt: skip
NOT_TEXT: list[Any] = [14155552671, None, True, ["+14155552671"], {"$ne": ""}]


@pytest.mark.rows("13, 42")
def test_what_only_looks_like_a_number(victim: Target, found: Report) -> None:
    ip = victim.ip()
    for number in (*NUMBERS, *NOT_TEXT):
        for path in ("/auth/signup/", "/auth/send-otp/", "/auth/forgot-password/"):
            answer = victim.post(path, {"mobile_number": number}, ip=ip)
            assert answer.status_code == 422, (number, answer.text)
            assert answer.json()["errors"][0]["field"] == "mobile_number"
    found(f"{len(NUMBERS) + len(NOT_TEXT)} refused by 3 calls, the field named")


@pytest.mark.rows("42")
def test_fields_that_are_nobodys_to_set(victim: Target, found: Report) -> None:
    token = victim.enter()["access"]
    before = victim.get("/user/me/", token=token).json()
    names = ("id", "plan", "role", "is_admin", "verified", "credential_version", "status", "mobile_number", "__class__")
    headers = {"Authorization": f"Bearer {token}"}
    for name in names:
        answer = victim.http.patch(f"{victim.url}/user/me/", json={name: "pro"}, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, name)
    twice = '{"name": "a", "name": "b"}'
    answer = victim.http.patch(
        f"{victim.url}/user/me/", content=twice, headers={**headers, "Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert victim.get("/user/me/", token=token).json() == before
    found(f"{len(names)} fields and a duplicate refused, nothing changed")


@pytest.mark.rows("41")
def test_a_forged_sender_address(victim: Target, found: Report) -> None:
    peer, network = victim.ip(), f"2001:db8:{secrets.randbelow(65536):x}:1:"
    forged = [f"{victim.ip()}, {peer}" for _ in range(1000)]
    spread = [f"{network}:{host:x}" for host in range(1, 1001)]
    for addresses in (forged, spread):
        requests = [("/auth/send-otp/", {"mobile_number": victim.number()}, address, "") for address in addresses]
        crowds = [victim.swarm(requests[first : first + 250]) for first in range(0, 1000, 250)]
        counts = Counter(answer.status_code for crowd in crowds for answer in crowd)
        assert counts == {200: CODES_PER_NETWORK, 429: 1000 - CODES_PER_NETWORK}
    found("1,000 forged hops, 1,000 addresses of a /64: each limited as one")


@pytest.mark.rows("9")
def test_guessing_codes_from_a_copy_of_the_database(victim: Target, found: Report) -> None:
    number, ip = victim.number(), victim.ip()
    proof = victim.challenged(number, ip=ip, signup_id=victim.sign_up(number, ip=ip))
    challenge = proof["challenge_id"]
    copy = {bytes.fromhex(word) for word in re.findall(r"x([0-9a-f]{64})\b", _dump(victim.site.postgres.url))}
    raw = base64.urlsafe_b64decode(challenge)
    salted = [hashlib.sha256(salt) for salt in (b"", challenge.encode(), raw, raw + b"|", number.encode())]
    for guess in range(10**6):
        for beginning in salted:
            digest = beginning.copy()
            digest.update(b"%06d" % guess)
            assert digest.digest() not in copy
    root = SealRing(victim.site.settings["SECRET_KEY"].encode())
    assert code_seal(root, challenge, proof["otp"]) in copy, "whoever has the root finds it at once"
    found(f"all 1,000,000 codes in {len(salted)} ways: none fits any of {len(copy):,} digests without the root secret")


@pytest.mark.rows("1, 9, 43")
def test_looking_for_secrets_in_what_is_left_behind(victim: Target, found: Report) -> None:
    """The last one: whatever the attacks before it left in the logs, the database, the broker and Redis."""
    victim.enter(password=NEW)
    left = {
        "the database": _dump(victim.site.postgres.url),
        "Redis": _keys(victim.site.valkey.url),
        "the logs": victim.site.said(),
    }
    codes = {secret for secret in victim.secrets if secret.isdigit()}
    ways = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
    digests = {hashlib.new(way, code.encode()).hexdigest() for way in ways for code in codes}
    for where, text in left.items():
        # A number that stands alone; not a part of an id, an instant or a length of time.
        numbers = set(re.findall(r"(?<![\w.:+-])\d{6,8}(?![\w.:-])", text))
        assert not codes & numbers, where
        assert not digests & set(re.findall(r"[0-9a-f]{32,}", text)), where
        # A token can only be a part of a word that is as long; there are few such words.
        words = "\n".join(set(re.findall(LONG_WORD, text)))
        for secret in victim.secrets - codes:
            assert secret not in (words if re.fullmatch(LONG_WORD, secret) else text), where
    assert not re.search(r"\+9198\d{8}", left["the logs"] + left["Redis"])
    size = sum(map(len, left.values()))
    found(f"{len(victim.secrets):,} secrets not in {size / 1e6:.1f} MB of logs, tables and keys")


def _spent_asking(victim: Target, number: str) -> float:
    """Seconds in which a code is asked for."""
    ip = victim.ip()
    signup = victim.sign_up(number, ip=ip)
    began = time.perf_counter()
    victim.ask(number, ip=ip, signup_id=signup)
    return time.perf_counter() - began


def _bare(body: str) -> str:
    """A problem without the one thing that differs from request to request."""
    return json.dumps({name: value for name, value in json.loads(body).items() if name != "instance"})


def _headers(answer: Any) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(header for header in answer.headers.items() if header[0] not in {"date", "x-request-id"}))


def _rank_test(one: list[float], other: list[float]) -> float:
    """Mann-Whitney: how likely such a difference of ranks is by chance (two-sided, normal approximation)."""
    ranked = sorted([(value, True) for value in one] + [(value, False) for value in other])
    ranks = sum(rank for rank, (_, first) in enumerate(ranked, 1) if first)
    n, m = len(one), len(other)
    u = ranks - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


def _sid(access: str) -> str:
    return str(jwt.decode(access, options={"verify_signature": False})["sid"])


def _other(character: str) -> str:
    return "A" if character != "A" else "B"


def _forgeries(victim: Target, token: str) -> Iterator[str]:
    """Tokens made of a good one by somebody who knows everything but the private key."""
    payload = jwt.decode(token, options={"verify_signature": False})
    header = jwt.get_unverified_header(token)
    kid, mine = header["kid"], Ed25519PrivateKey.generate()
    jwks = victim.http.get(f"{victim.url}/.well-known/jwks.json").json()
    public = base64.urlsafe_b64decode(next(key["x"] for key in jwks["keys"] if key["kid"] == kid) + "=")

    def signed(key: Any, algorithm: str, **other: Any) -> str:
        return jwt.encode({**payload, **other.pop("claims", {})}, key, algorithm, {**header, "alg": algorithm, **other})

    yield signed(mine, "EdDSA")
    yield signed("", "none")
    yield signed(public, "HS256")
    yield signed(public.hex(), "HS512")
    yield signed(generate_private_key(65537, 2048), "RS256")
    for other in ("../../x", "", "0" * 16, "/dev/null", "' OR 1=1 --"):
        yield signed(mine, "EdDSA", kid=other)
    yield signed(mine, "EdDSA", jwk={"kty": "OKP"})
    yield signed(mine, "EdDSA", jku="https://evil.example/jwks.json")
    yield signed(mine, "EdDSA", crit=["x"], x=1)
    yield signed(mine, "EdDSA", typ="JWT")
    for claims in ({"exp": 1}, {"nbf": 4_000_000_000}, {"aud": "x"}, {"iss": "x"}, {"sub": "x"}, {"sid": None}):
        yield signed(mine, "EdDSA", claims=claims)
    head, body, seal = token.split(".")
    blank = base64.urlsafe_b64encode(json.dumps({**header, "alg": "none"}).encode()).rstrip(b"=").decode()
    elevated = base64.urlsafe_b64encode(json.dumps({**payload, "cv": 99}).encode()).rstrip(b"=").decode()
    yield from (f"{blank}.{body}.", f"{head}.{elevated}.{seal}", f"{head}.{body}.", f"{head}.{body}", f"{head}..{seal}")
    yield from (f"{token}.{seal}", "." * 2000, "x" * 5000, "null", "e30.e30.e30", token.upper(), token[:-4] + "AAAA")


def _dump(url: str) -> str:
    """All tables as text, binary columns as hex and as what they say."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        text = []
        for (table,) in tables:
            with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
                text += [bytes(block).decode() for block in copy]
        return "".join(text)


def _keys(url: str) -> str:
    """Everything in Redis: names, and what is under them."""
    with Redis.from_url(url) as redis:
        readers: dict[bytes, Callable[[bytes], Any]] = {
            b"string": redis.get,
            b"zset": lambda name: redis.zrange(name, 0, -1, withscores=True),
            b"list": lambda name: redis.lrange(name, 0, -1),
            b"hash": redis.hgetall,
            b"set": redis.smembers,
            b"stream": redis.xrange,
            b"none": lambda _: "gone meanwhile",
        }
        text = [f"{key!r} {readers[redis.type(key)](key)}" for key in redis.scan_iter("*", count=1000)]
    return "\n".join(text)
