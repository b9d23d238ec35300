"""Which passwords are good enough."""

import re
import unicodedata
from dataclasses import dataclass

from gemini_core.errors import Invalid, Unauthenticated


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """A password never signs in alone here, a code follows: so length and a list decide, not composition."""

    common: frozenset[str]
    app_words: tuple[str, ...] = ("gemini", "backend", "chatroom")
    shortest: int = 8
    longest: int = 128

    def accept(self, field_name: str, password: str, *, about: tuple[str | None, ...] = ()) -> str:
        """The password in normal form C, in which it is hashed. `about`: what anybody may know of the user.

        Raises `Invalid` (`too_short`, `too_long`, `too_common`, `guessable`).
        """
        text = unicodedata.normalize("NFC", password)
        if len(text) < self.shortest:
            raise Invalid.field(field_name, f"must have at least {self.shortest} characters", "too_short")
        if len(text) > self.longest:
            raise Invalid.field(field_name, f"must have at most {self.longest} characters", "too_long")
        folded = text.casefold()
        if folded in self.common or folded.isspace():
            raise Invalid.field(field_name, "is one of the most used passwords", "too_common")
        if _guessable(folded, (*self.app_words, *about)):
            raise Invalid.field(field_name, "is too close to what is known about you or this app", "guessable")
        return text


def changed_meanwhile() -> Unauthenticated:
    """The current password was right, and by now it is another one."""
    return Unauthenticated("The password has just been changed.", code="invalid-credentials")


def _guessable(folded: str, words: tuple[str | None, ...]) -> bool:
    """It is a part of such a word, or too little but digits and signs is left of it without such words."""
    parts = {part for word in words if word for part in re.split(r"[@\s.+]+", word.casefold())}
    # A number is known without the code of its country, too, which has one to three digits.
    parts |= {part[code:] for part in parts if part.isdigit() for code in (1, 2, 3)}
    left = folded
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= 4:
            left = left.replace(part, "")
    letters = sum(character.isalpha() for character in left)
    return any(folded in part for part in parts) or (left != folded and letters < 4)
