"""A chaos run from its first user to its report."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import httpx
from tests.chaos.bill import Gap, Wrong, gaps
from tests.chaos.examination import Examination, failures
from tests.chaos.people import ROOMS, Person
from tests.chaos.plan import Plan
from tests.chaos.report import Report
from tests.chaos.trouble import Trouble
from tests.fakes.gemini import Faults
from tests.fakes.system import Api, Installation, User, installation

from adapters.local.processes import until

OWED = "SELECT count(*)::int FROM jobs WHERE kind IN ('reply', 'title', 'summary')"


def run(plan: Plan) -> Report:
    """Everybody chats while trouble strikes; then nothing strikes any more, and all that was promised is there."""
    dice = random.Random(plan.seed)
    faulty = Faults(plan.seed, plan.faults, pause=plan.pause)
    with installation(faulty, **plan.settings) as site, _browser() as http:
        apis = site.api(), site.api()
        for _ in range(2):
            site.worker()
        people = _people(plan, site, apis, http, dice)
        trouble = Trouble(site, dice)
        began = time.monotonic()
        with ThreadPoolExecutor(plan.users) as pool:
            chatting = [pool.submit(person.chat) for person in people]
            trouble.strike(plan.strikes, plan.between, over=lambda: all(chat.done() for chat in chatting))
            _all(chatting)
            _all([pool.submit(person.wait) for person in people])
        # A title may be waiting for the lease of a dead worker: what its calls cost is known when nothing is owed.
        until(lambda: site.ask(OWED) == [(0,)], within=plan.patience)
        seconds = time.monotonic() - began
        return _report(Examination(site, people, trouble.kills), trouble, seconds)


@contextmanager
def _browser() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30, limits=httpx.Limits(max_connections=None)) as http:
        yield http


def _people(
    plan: Plan, site: Installation, apis: tuple[Api, Api], http: httpx.Client, dice: random.Random
) -> list[Person]:
    people = []
    for number in range(plan.users):
        user = site.promote(User.sign_up(http, apis[0].url))
        name = f"user-{number}."
        people.append(
            Person(
                user=user,
                id=str(user.me()["id"]),
                name=name,
                apis=apis,
                rooms=tuple(user.room() for _ in range(ROOMS)),
                dice=random.Random(dice.random()),
                texts=tuple(f"{name}{count}" for count in range(number, plan.messages, plan.users)),
                patience=plan.patience,
            )
        )
    return people


def _all(deeds: list[Future[None]]) -> None:
    wait(deeds)
    for deed in deeds:
        deed.result()


def _report(found: Examination, trouble: Trouble, seconds: float) -> Report:
    finals, accounts = found.finals(), found.accounts().values()
    told = list(gaps(accounts))
    return Report(
        seconds=seconds,
        strikes=trouble.struck,
        accepted=sum(len(person.accepted) for person in found.people),
        complete=sum(final["status"] == "complete" for final in finals.values()),
        failed=failures(finals),
        doubled=tuple(found.doubled()),
        lost=tuple(found.lost()),
        stuck=tuple(found.stuck()),
        misread=tuple(complaint for person in found.people for complaint in person.complaints),
        miscounted=tuple(found.miscounted()),
        misbilled=[wrong for wrong in told if isinstance(wrong, Wrong)],
        gaps=[gap for gap in told if isinstance(gap, Gap)],
        calls=len(found.site.gemini.records),
        provider_tokens=sum(sum(call.charged) for account in accounts for call in account.charged),
        ledger_tokens=sum(sum(figures) for account in accounts for figures in account.recorded),
        recoveries=tuple(found.recoveries()),
    )
