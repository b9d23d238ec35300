import pytest

from adapters.memory.model import Answer, ScriptedModel
from gemini_core.model.chat import ReplyError, Role
from gemini_core.model.replies import ModelFailure, Piece, Prompt, Timeouts, Turn


def ask(text: str) -> Prompt:
    return Prompt("any", "", (Turn(Role.USER, text),))


def texts(model: ScriptedModel, question: str = "?") -> list[str]:
    return [piece.text for piece in model.stream(ask(question), timeouts=Timeouts(), stopped=lambda: False)]


def test_it_gives_its_answers_in_order_and_then_the_last_one_for_ever() -> None:
    model = ScriptedModel(["One", "And two"])
    assert [texts(model) for _ in range(3)] == [["One", ""], ["And", " two", ""], ["And", " two", ""]]


def test_it_fails_where_it_was_told_to() -> None:
    error = ModelFailure(ReplyError("overloaded", "Busy.", retryable=True))
    model = ScriptedModel([error, [Piece("Half"), error]])
    for _ in range(2):
        with pytest.raises(ModelFailure) as caught:
            texts(model)
        assert caught.value is error


def test_it_remembers_what_it_was_asked() -> None:
    model = ScriptedModel(["Yes"])
    texts(model, "One?")
    texts(model, "Two?")
    assert model.prompts == [ask("One?"), ask("Two?")]


def test_it_needs_something_to_say() -> None:
    nothing: list[Answer] = []
    with pytest.raises(ValueError, match="at least one answer"):
        ScriptedModel(nothing)
