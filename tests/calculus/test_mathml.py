"""MathML shows the letters and the order that the terminal shows."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any
from xml.dom import minidom

import pytest

import derive
from derive.calculus import indexed as ix
from derive.calculus.indexed import Ordered, Total, k, t0, t1, tau
from derive.calculus.mathml import as_mathml, range_as_mathml, terms_as_mathml
from derive.calculus.notation import in_terminal

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = [
    ("wz3x5.toml", "epochwise", {}),
    ("wz3x5.toml", "hybrid", {"h": 4}),
    ("sparse_delayed.toml", "rtrl", {}),
    ("settling.toml", "settling", {}),
    ("wz3x5.toml", "truncated", {"h": 4, "h_prime": 2}),
]
CORE = {"mrow", "mi", "mo", "mn", "mtext", "msub", "msup", "msubsup", "munder", "munderover",
        "mover", "mfrac", "msqrt", "mtable", "mtr", "mtd", "mspace"}  # fmt: skip


def letters(text: str) -> list[str]:
    """The letters and numbers of a formula, whatever their order and marks."""
    plain = unescape(re.sub(r"<[^>]*>", " ", text))
    plain = plain.translate(str.maketrans("₀₁₂₃²³", "012323")).replace("𝟏", "1").replace("∑", "Σ")
    plain = re.sub(r"\b(for|otherwise|and)\b", "", plain)
    return sorted(re.findall(r"[^\W_]|[∂⁺Σ]", plain.replace("\u2061", "").replace("⁺", "+")))


@pytest.mark.parametrize(("spec", "algorithm", "options"), CASES)
def test_mathml_has_the_letters_of_the_terminal(spec: str, algorithm: str, options: Any) -> None:
    for step in derive.differentiate(EXAMPLES / spec, algorithm, **options):
        for expr in (step.left, step.right):
            row = as_mathml(expr)
            found = minidom.parseString(f"<math>{row}</math>")
            names = {v.tagName for v in found.getElementsByTagName("*")}
            assert names <= CORE | {"math"}
            assert letters(row) == letters(in_terminal(expr))
            assert letters("".join(terms_as_mathml(expr))) == letters(row)


def test_a_derivative_is_a_fraction_with_its_mark() -> None:
    row = as_mathml(Ordered(Total(t0, t1), ix.signal("y")[k, tau]))
    assert row.startswith("<mfrac>") and "<msup><mo>∂</mo><mo>+</mo></msup>" in row


def test_a_sensitivity_stands_on_two_tiers() -> None:
    row = as_mathml(ix.tiered("p")[k, ix.i, ix.j, tau])
    below, above = "<mrow><mi>i</mi><mi>j</mi></mrow>", "<mrow><mi>k</mi></mrow>"
    assert row.startswith(f"<msubsup><mi>p</mi>{below}{above}</msubsup>")


def test_a_range_keeps_its_indices() -> None:
    row = range_as_mathml("τ = t₀+1…t₁")
    assert "<msub><mi>t</mi><mn>0</mn></msub>" in row
    assert "with cell a_b" in range_as_mathml("k with cell a_b")


def test_indices_of_several_digits_are_told_apart() -> None:
    w = ix.w
    assert in_terminal(w[1, 12]) == "w_1,12" and in_terminal(w[11, 2]) == "w_11,2"
    assert in_terminal(w[1, 2]) == "w_12"
