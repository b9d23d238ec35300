"""The passwords that people choose most, of those that are long enough to be chosen here.

The list beside this module is the part of SecLists' (MIT licence) most used passwords with eight characters or more,
in small letters, one a line.
"""

from pathlib import Path

LIST = Path(__file__).with_name("common-passwords.txt")


def common_passwords() -> frozenset[str]:
    """All of them, in small letters."""
    return frozenset(LIST.read_text(encoding="utf-8").splitlines())
