"""No code is ever compared with a code: seals are, all of one length, in SQL or in a time that tells nothing."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemini_core.model.accounts.seals import SealRing, code_seal, new_challenge_id, number_seals

SOURCE = Path(__file__).parents[2] / "src"
SECRETS = {"code", "codes", "otp", "otps", "mac", "macs", "hmac", "seal", "seals"}
RING = SealRing(b"a root secret of thirty-two bytes or more", b"and the one that was there before it was")


def trespasses(source: str) -> Iterator[str]:
    """Where what is named like a secret is compared with something that the source does not spell out.

    An error's code is compared with literals and with CONSTANTS; what somebody typed in is not.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Compare(ops=ways) if any(isinstance(way, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for way in ways):
                operands = [node.left, *node.comparators]
                if any(map(is_secret, operands)) and not any(map(is_spelled_out, operands)):
                    yield ast.unparse(node)


def is_secret(operand: ast.expr) -> bool:
    names: set[str] = set()
    for node in ast.walk(operand):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
                names |= set(name.lower().split("_"))
    return not names.isdisjoint(SECRETS)


def is_spelled_out(operand: ast.expr) -> bool:
    match operand:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return re.fullmatch("[A-Z_]+", name) is not None
        case ast.Set(elts=members) | ast.Tuple(elts=members) | ast.List(elts=members):
            return all(map(is_spelled_out, members))
    return False


def test_no_code_and_no_seal_is_compared_with_one_that_somebody_gave() -> None:
    files = list(SOURCE.rglob("*.py"))
    assert len(files) > 100
    assert {file.name: found for file in files if (found := [*trespasses(file.read_text())])} == {}


@pytest.mark.parametrize(
    "comparison",
    [
        "code == row.code",
        "given != self.otp",
        "attempt.seals == row.seals",
        "otp in codes",
        "mac not in known",
        "_mac(key, payload) == given",
        "body['otp'] == sent",
        "code.encode() == kept[:6]",
        "{code} == {kept}",
    ],
)
def test_a_comparison_that_tells_by_its_time_is_seen(comparison: str) -> None:
    assert [*trespasses(f"if {comparison}: pass")] == [comparison]


@pytest.mark.parametrize(
    "comparison",
    ["error.code == 'blocked'", "code in RETRYABLE", "error.code in {408, 429}", "row.seals is None", "len(x) == 2"],
)
def test_what_the_source_spells_out_is_no_secret(comparison: str) -> None:
    assert [*trespasses(f"if {comparison}: pass")] == []


@pytest.mark.parametrize("challenge", [None, "A" * 24, "", "!", "é"])
@pytest.mark.parametrize("code", ["", "1", "123456", "12345678", "é" * 500])
def test_whatever_is_typed_in_is_sealed_in_thirty_two_bytes(challenge: str | None, code: str) -> None:
    challenge = new_challenge_id(RING, 1) if challenge is None else challenge
    seals = [code_seal(RING, challenge, code), *number_seals(RING, challenge, "192.0.2.1", code)]
    assert [len(seal) for seal in seals] == [32, 32, 32]
