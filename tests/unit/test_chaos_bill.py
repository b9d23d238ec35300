"""The examination of the ledger after a chaos run catches what it is there for."""

import pytest
from tests.chaos.bill import Account, Figures, Gap, Wrong
from tests.fakes.gemini import Record


def charged(usage: Figures, *, hung_up: bool = False) -> Record:
    return Record(0, ("", 0), "", {}, None, started=0.0, text="hello", usage=usage, hung_up=hung_up)


def test_a_ledger_that_is_the_providers_bill_has_no_gaps() -> None:
    assert Account([charged((5, 9)), charged((5, 0)), charged((5, 9))], [(5, 9), (5, 9), (5, 0)]).gaps() == []


@pytest.mark.parametrize(
    "account",
    [
        Account([charged((5, 9))], []),
        Account([charged((5, 9)), charged((5, 9))], [(5, 9)]),
        Account([charged((5, 9))], [(5, 9), (5, 9)], died=1),
        Account([charged((5, 9))], [(5, 8)]),
        Account([charged((5, 9), hung_up=True)], [(5, 10)], died=1),
        Account([charged((5, 9)), charged((5, 9), hung_up=True)], [], died=1),
        Account([], [(5, 9)], died=1),
    ],
    ids=["lost", "lost of two", "doubled", "too little", "too much", "lost beside one that died", "invented"],
)
def test_a_figure_that_is_lost_or_doubled_or_changed_is_found(account: Account) -> None:
    with pytest.raises(Wrong):
        account.gaps()


@pytest.mark.parametrize("recorded", [[(5, 9)], [(5, 9), (5, 3)]], ids=["nothing", "a part"])
def test_a_call_that_died_with_its_worker_may_be_missing_and_is_named(recorded: list[Figures]) -> None:
    account = Account([charged((5, 9)), charged((5, 4), hung_up=True)], recorded, died=1)
    (gap,) = account.gaps()
    assert gap == Gap("hello", (5, 4), (5, 3) if len(recorded) > 1 else (0, 0))
    assert gap.tokens == 9 - (8 if len(recorded) > 1 else 0)


def test_of_a_call_that_its_worker_hung_up_on_a_last_piece_may_be_unread() -> None:
    (gap,) = Account([charged((5, 9), hung_up=True)], [(5, 8)]).gaps()
    assert gap.tokens == 1
