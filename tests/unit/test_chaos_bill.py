"""The examination of the ledger after a chaos run catches what it is there for."""

import pytest
from tests.chaos.bill import Account, Call, Figures, Gap, Wrong
from tests.fakes.gemini import Record


def charged(*told: Figures, struck: bool = False) -> Call:
    """A call for 5 tokens of prompt and, told piece by piece, some of output."""
    times = [(float(at), figures) for at, figures in enumerate(told)]
    return Call(
        Record(0, ("", 0), "", {}, None, started=0.0, text="hello", usage=told[-1], told=tuple(times)), struck=struck
    )


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
        Account([charged((5, 9))], [(5, 9), (5, 9)], died=1),
        Account([charged((5, 9), struck=True)], [(5, 10)], died=1),
        Account([charged((5, 8), (5, 9), struck=True)], [(5, 7)], died=1),
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
        "doubled",
        "too much of one that died",
        "never told",
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
    assert gap == Gap("hello", (5, 4), part)
    assert gap.tokens == 9 - sum(part)
