"""Reading expressions from text that may come from a stranger."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sympy
from hypothesis import assume, given
from hypothesis import strategies as st

from derive.errors import NetworkError
from derive.network.expressions import Expression, parse, to_text
from derive.network.identifiers import check_collisions, validate_identifier

NAMES = ("y", "s", "tau")
SYMBOLS = {n: sympy.Symbol(n, real=True) for n in NAMES}


def read(text: str) -> Expression:
    """``text`` as an equation of a cell with state y, net input s and parameter tau."""
    return parse(text, NAMES, "cell.equations.y")


HOSTILE = [
    "__import__('os')",
    "__import__('os').system('true')",
    "().__class__.__bases__",
    "s.__class__",
    "s.real",
    "s[0]",
    "exec('1')",
    "eval('1')",
    "open('/etc/passwd')",
    "lambda: s",
    "(lambda: s)()",
    "[s for s in (1, 2)]",
    "{s: 1}",
    "'a'",
    "b'a'",
    "f'{s}'",
    "(s := 3)",
    "s if y else tau",
    "s and y",
    "not s",
    "s < y",
    "tanh(*s)",
    "tanh(x=s)",
    "tanh(s, **y)",
    "s; y",
    "import os",
    "True",
    "None",
    "1j",
    "...",
    "s @ y",
    "s // y",
    "s % y",
    "s << 2",
    "~s",
    "await s",
    "yield s",
    "\x00",
    "s\n+ y)",
    "2**9**9**9",
    "s**(10**9)",
    "9**999999999",
    "1e400",
    "ѕ + 1",  # a Cyrillic letter that looks like s
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused_with_one_sentence_that_names_the_place(text: str) -> None:
    with pytest.raises(NetworkError) as caught:
        read(text)
    message = str(caught.value)
    assert message.startswith("cell.equations.y:")
    assert "\n" not in message and len(message) < 400


@pytest.mark.parametrize(
    "text",
    ["(" * 10_000 + "s" + ")" * 10_000, "-" * 10_000 + "s", "tanh(" * 10_000, "s" + "+s" * 60_000,
     "[" * 10_000, "s**" * 5_000 + "s"],
    ids=["brackets", "signs", "calls", "long", "lists", "powers"],
)  # fmt: skip
def test_depth_and_length_are_bounded(text: str) -> None:
    with pytest.raises(NetworkError):
        read(text)


ENDLESS = [
    "2**(1000000000/1)",
    "2**(s - s + 10000000000)",
    "((2**1000)**1000)**1000",
    "((2*s)**1000)**1000",
    "(s**1000)**1000",
    "2**(s + 1000000000)/2**s",
    "exp(1000000000*log(2))",
    "exp(-1000000000*log(2))",
    "exp(s + 1000000000*log(2))",
    "E**(s + 1000000000*log(2))",
    "max(1, exp(exp(exp(100))))",
    "abs(sin(exp(exp(30))))",
    "sign(sqrt(2) + sqrt(3) - sqrt(5 + 2*sqrt(6)))",
    "max(s + sqrt(2) + sqrt(3), s + sqrt(5 + 2*sqrt(6)))",
    "where(s + sqrt(2) + sqrt(3) > s + sqrt(5 + 2*sqrt(6)), 1, 2)",
    "1e-400",
    "1e-999999999",
    "0." + "1" * 5000,
]


@pytest.mark.parametrize("text", ENDLESS, ids=lambda t: t[:30])
def test_what_sympy_would_work_on_without_end_is_refused(text: str) -> None:
    with pytest.raises(NetworkError):
        read(text).to_sympy(SYMBOLS)


@pytest.mark.parametrize("text", ["sqrt(-1)", "log(0)", "log(s - s)", "1/(s - s)", "asin(2)"])
def test_a_constant_without_a_real_value_is_refused(text: str) -> None:
    with pytest.raises(NetworkError):
        read(text).to_sympy(SYMBOLS)


def test_a_letter_that_python_would_take_for_another_is_refused() -> None:
    with pytest.raises(NetworkError, match="U\\+FF53"):
        read("\uff53 + 1")


def test_exponents_may_be_negative_fractions() -> None:
    assert read("s**(-1/2)").to_sympy(SYMBOLS) == 1 / sympy.sqrt(SYMBOLS["s"])


def test_decimals_beyond_float64_stay_exact() -> None:
    digits = "0.12345678901234567890123"
    assert read(digits).to_sympy(SYMBOLS) == sympy.Rational(digits)


def test_a_long_flat_sum_is_no_crash() -> None:
    try:
        assert read(" + ".join(["s"] * 500)).to_sympy(SYMBOLS) == 500 * SYMBOLS["s"]
    except NetworkError as error:
        assert "nested" in str(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y + tanhh(s)", "did you mean 'tanh'"),
        ("y + tua", "did you mean 'tau'"),
        ("zeta", "undefined symbol 'zeta'"),
        ("y(t+1) + s", "later"),
        ("tanh + s", "write tanh(…)"),
        ("tanh(s, y)", "takes 1 argument"),
        ("where(s, 1, 0)", "comparison"),
        ("", "empty"),
        ("s +", "not an expression"),
        ("s / 0 +", "not an expression"),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(text: str, words: str) -> None:
    with pytest.raises(NetworkError, match="cell.equations.y") as caught:
        read(text)
    assert words in str(caught.value)


def test_what_is_not_text_is_refused() -> None:
    for value in (None, 3, b"s", ["s"]):
        with pytest.raises(NetworkError, match="expected an expression as text"):
            parse(value, NAMES, "cell")


def test_decimals_are_exact() -> None:
    assert read("0.1*s").to_sympy(SYMBOLS) == SYMBOLS["s"] / 10


def test_whitelisted_functions_mean_what_they_say() -> None:
    s, y = SYMBOLS["s"], SYMBOLS["y"]
    assert read("exp(s) + sqrt(y)").to_sympy(SYMBOLS) == sympy.exp(s) + sympy.sqrt(y)
    assert read("sigmoid(s)").text == "logistic(s)"
    assert read("max(s, 0)").to_sympy(SYMBOLS) == sympy.Max(s, 0)
    chosen = read("where(s > 0, s, y)").to_sympy(SYMBOLS)
    assert (chosen.subs(s, 2), chosen.subs(s, -1)) == (2, y)


trees = st.recursive(
    st.one_of(st.sampled_from(NAMES), st.integers(0, 99).map(str), st.sampled_from(["0.5", "pi"])),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.integers(1, 5)).map(lambda t: f"({t[0]})**{t[1]}"),
        inner.map(lambda t: f"({t})/(3 + tau**2)"),
        inner.map(lambda t: f"-({t})"),
        st.tuples(st.sampled_from(["tanh", "logistic", "relu", "softplus", "sin", "exp", "abs"]),
                  inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"where({t[0]} > 0, {t[1]}, {t[2]})"),
    ),
    max_leaves=8,
)  # fmt: skip


@given(trees)
def test_canonical_text_reads_back_as_the_same_tree(text: str) -> None:
    once = read(text)
    assert read(once.text) == once


@given(trees)
def test_sympy_expressions_survive_being_written_and_read(text: str) -> None:
    try:
        expr = read(text).to_sympy(SYMBOLS)
    except NetworkError:  # a constant in it has no value, or a huge one
        assume(False)
    again = read(to_text(expr)).to_sympy(SYMBOLS)
    assert sympy.simplify(again - expr) == 0 or again == expr


def test_what_the_language_lacks_is_refused() -> None:
    with pytest.raises(NetworkError, match="cannot be written"):
        to_text(sympy.gamma(SYMBOLS["s"]))


def test_reading_does_not_import_sympy() -> None:
    code = (
        "import sys; from derive.network.expressions import parse; "
        "parse('tanh(s)', ['s'], 'x'); sys.exit('sympy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["class", "match", "int", "restrict", "cdef", "nogil", "tanh", "pi", "_y", "1y", "y-1", "é",
     "y y", "", "a" * 65, "while", "NULL", "self.x", "y\n", "None"],
)  # fmt: skip
def test_names_that_could_not_be_identifiers_are_refused(name: str) -> None:
    with pytest.raises(NetworkError, match="state"):
        validate_identifier(name, "state")


@pytest.mark.parametrize("name", ["y", "s_f", "tau2", "Gamma"])
def test_plain_names_are_accepted(name: str) -> None:
    assert validate_identifier(name, "state") == name


def test_names_that_differ_only_by_case_collide() -> None:
    with pytest.raises(NetworkError, match="only by case"):
        check_collisions(["tau", "Tau"])
