"""The examination of the ledger after a chaos run catches what it is there for."""

import pytest
from tests.chaos.bill import Account, Call, Figures, Gap, Wrong
from tests.fakes.gemini import Record

LONG_BEFORE, AT_THE_END, END = 0.0, 9.5, 10.0


def charged(*told: Figures, hung_up: bool = False, last_told: float = AT_THE_END, struck: bool = False) -> Call:
    """A call for 5 tokens of prompt and, told piece by piece, some of output; the last piece at its end."""
    times = [LONG_BEFORE] * (len(told) - 1) + [last_told]
    record = Record(
        0, ("", 0), "", {}, None, started=LONG_BEFORE, text="hello", usage=told[-1],
        told=tuple(zip(times, told, strict=True)), finished=END,
    )  # fmt: skip
    return Call(record, struck=struck, left=END if hung_up else None)


def test_a_ledger_that_is_the_providers_bill_has_no_gaps() -> None:
    assert Account([charged((5, 9)), charged((5, 0)), charged((5, 9))], [(5, 9), (5, 9), (5, 0)]).gaps() == []


@pytest.mark.parametrize(
    "account",
    [
        Account([charged((5, 9))], []),
        Account([charged((5, 9)), charged((5, 9))], [(5, 9)]),
        Account([charged((5, 8), (5, 9))], [(5, 8)]),
        Account([charged((5, 9), struck=True)], []),
        Account([charged((5, 9)), charged((5, 9), struck=True)], [], died=1),
        Account([charged((5, 9)), charged((5, 4), struck=True)], [(5, 4)], died=1),
        Account([charged((5, 3), struck=True), charged((5, 4), struck=True)], [], died=1),
        Account([charged((5, 2), (5, 9), hung_up=True, last_told=5.0)], [(5, 2)]),
        Account([charged((5, 8), hung_up=True, last_told=5.0)], []),
        Account([charged((5, 9), hung_up=True)], []),
        Account([charged((5, 9))], [(5, 9), (5, 9)], died=1),
        Account([charged((5, 9), struck=True)], [(5, 10)], died=1),
        Account([charged((5, 8), (5, 9), struck=True)], [(5, 7)], died=1),
        Account([charged((5, 9), hung_up=True)], [(5, 10)]),
        Account([], [(5, 9)], died=1),
    ],
    ids=[
        "lost",
        "lost of two",
        "too little",
        "lost while a worker was killed that had another",
        "lost beside one that died",
        "lost after one that died and is on record",
        "two lost where one died",
        "too little of what was hung up on, told long before",
        "nothing of what was hung up on, told long before",
        "nothing of what was hung up on, told just then",
        "doubled",
        "too much of one that died",
        "never told",
        "too much of one that was hung up on",
        "invented",
    ],
)
def test_a_figure_that_is_lost_or_doubled_or_changed_is_found(account: Account) -> None:
    with pytest.raises(Wrong):
        account.gaps()


@pytest.mark.parametrize(("recorded", "part"), [([], (0, 0)), ([(5, 3)], (5, 3))], ids=["nothing", "a part"])
def test_a_call_that_died_with_its_worker_may_be_missing_and_is_named(recorded: list[Figures], part: Figures) -> None:
    died = charged((5, 3), (5, 4), struck=True)
    (gap,) = Account([died, charged((5, 9)), charged((5, 4))], [(5, 4), (5, 9), *recorded], died=1).gaps()
    assert gap == Gap("hello", (5, 4), part, killed=True)
    assert gap.tokens == 9 - sum(part)
    assert str(gap).startswith("gone with its worker")


def test_of_a_call_that_a_living_worker_hung_up_on_a_last_piece_may_be_unread() -> None:
    (gap,) = Account([charged((5, 8), (5, 9), hung_up=True)], [(5, 8)]).gaps()
    assert (gap.tokens, gap.killed) == (1, False)
    assert str(gap).startswith("sent when its worker hung up")
