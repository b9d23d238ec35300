import pytest

from adapters.local.demo_model import DemoModel
from gemini_core.model.attachments import File
from gemini_core.model.chat import Role
from gemini_core.model.replies import Piece, Prompt, Timeouts, Turn


def answered(*turns: Turn) -> list[Piece]:
    prompt = Prompt("gemini-3.8-flash", "", turns)
    return list(DemoModel(pause=0).stream(prompt, timeouts=Timeouts(), stopped=lambda: False))


def text(*turns: Turn) -> str:
    return "".join(piece.text for piece in answered(*turns))


def test_it_says_that_it_is_a_demo_and_how_to_end_that() -> None:
    said = text(Turn(Role.USER, "Hello"))
    assert "demo model" in said
    assert "Set GEMINI_API_KEY" in said
    assert {piece.model for piece in answered(Turn(Role.USER, "Hello"))} == {"demo"}


def test_the_same_question_gets_the_same_answer() -> None:
    assert answered(Turn(Role.USER, "Hello")) == answered(Turn(Role.USER, "Hello"))


def test_it_shows_that_it_saw_the_whole_conversation() -> None:
    picture = File("image/png", b"x")
    said = text(Turn(Role.USER, "One"), Turn(Role.MODEL, "Two"), Turn(Role.USER, "Three and four", (picture,)))
    assert "message number 2" in said
    assert "3 words" in said
    assert "1 file:" in said
    assert said.endswith("> Three and four")


@pytest.mark.parametrize("question", ["漢字" * 5_000, "👩‍👩‍👧 e\u0301" * 3, "a\nb\r\n c\t d", "  ", ""])
def test_no_word_is_cut_whatever_it_is_made_of(question: str) -> None:
    _, echo = text(Turn(Role.USER, question)).split(":\n\n> ")
    assert echo.replace("\n> ", "\n").split() == question.split()


def test_a_very_long_question_is_echoed_in_part() -> None:
    said = text(Turn(Role.USER, "word " * 10_000))
    assert said.endswith("word …")
    assert len(said) < 1_000


def test_tokens_add_up_while_it_speaks() -> None:
    pieces = answered(Turn(Role.USER, "Hello"))
    outputs = [piece.usage.output_tokens for piece in pieces if piece.usage]
    assert outputs == sorted(outputs)
    assert outputs[-1] > outputs[0] > 0
