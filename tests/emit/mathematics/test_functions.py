"""Claims about the functions a module computes itself: how far they are off, anywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

from derive.emit.mathematics.coefficients import COEFFICIENTS
from derive.emit.mathematics.text import BOUNDS, CONDITION, FUNCTIONS, hexadecimal
from tests.emit.mathematics.measuring import (
    LONG,
    Compiled,
    compile_functions,
    every_exponent,
    exact,
    exactly,
    ulps,
    worst,
    worst_of_every_float32,
)

ROOT = Path(__file__).parents[3]
NAMES = sorted(FUNCTIONS)
TYPES = ("float64", "float32")
PROFILES = {"local": 0, "reproducible": 1}
Libraries = dict[tuple[str, str], Compiled]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Libraries:
    folder = tmp_path_factory.mktemp("functions")
    return {(d, p): compile_functions(d, p, folder) for d in TYPES for p in PROFILES}


def numbers(dtype: str) -> Any:
    """Every 2,039th float32; as many float64, of every size."""
    if dtype == "float32":
        return np.arange(0, 2**32, 2039, dtype=np.uint32).view(np.float32)
    return every_exponent(dtype, 10**6, 1)


# --- how far they are off ------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dtype", TYPES if LONG else ["float32"])
@pytest.mark.parametrize("name", NAMES)
def test_no_error_exceeds_the_stated_bound(
    name: str, dtype: str, profile: str, compiled: Libraries
) -> None:
    error, at = worst(compiled[dtype, profile], name, numbers(dtype))
    assert error <= BOUNDS[name][PROFILES[profile]], at


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", NAMES)
def test_nor_is_it_against_sixty_digits(name: str, profile: str, compiled: Libraries) -> None:
    x = every_exponent("float64", 2000, 2)[:4000]
    x = x[np.isfinite(x) & (np.abs(x) < 709)]
    for v, y in zip(x, compiled["float64", profile](name, x), strict=True):
        truth = exactly(name, float(v))
        unit = float(np.spacing(abs(float(truth))))
        error = abs(mpmath.mpf(float(y)) - truth) / unit
        assert error <= BOUNDS[name][PROFILES[profile]], v


@pytest.mark.parametrize("dtype", TYPES)
def test_a_changed_coefficient_is_seen(dtype: str, tmp_path: Path) -> None:
    whose = {"tanh": ("tanh", "logistic"), "exp": ("exp",), "log1p": ("softplus",)}
    x = every_exponent(dtype, 20_000, 4)
    for table, values in COEFFICIENTS[dtype].items():
        for i in {1, len(values) - 1}:
            before = hexadecimal(float.fromhex(values[i]))
            after = hexadecimal(float.fromhex(values[i]) * (1 + 2**-4))

            def change(text: str, before: str = before, after: str = after) -> str:
                assert before in text
                return text.replace(before, after)

            folder = tmp_path / f"{table}{i}"
            folder.mkdir()
            broken = compile_functions(dtype, "reproducible", folder, change)
            for name in whose[table.partition("_")[0]]:
                assert worst(broken, name, x)[0] > BOUNDS[name][1], (name, table, i)


def test_the_run_over_every_float32_sees_what_the_samples_see(
    tmp_path: Path, compiled: Libraries
) -> None:
    """A stretch of its numbers, from 0.5 to 2; the whole takes minutes."""
    first, count = 0x3F000000, 2**24
    x = np.arange(first, first + count, 1, dtype=np.uint32).view(np.float32)
    for name in ("tanh", "logistic"):
        folder = tmp_path / name  # a library that is loaded must not be written again
        folder.mkdir()
        found = worst_of_every_float32("reproducible", name, folder, first, count)
        assert found[0] == pytest.approx(worst(compiled["float32", "reproducible"], name, x)[0])


def test_the_measure_of_errors() -> None:
    wide = np.longdouble
    y = np.array([1, 1 + 2**-51, 5e-324, np.inf, np.nan, 0, np.inf, np.inf])
    truth = np.array([1, 1, 0, np.inf, np.nan, np.nan, 1e308, np.finfo(float).max], wide)
    assert ulps(y, truth).tolist() == [0, 2, 1, 0, 0, *[np.inf] * 3]


# --- limits, signs, forms ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", NAMES)
def test_one_by_one_in_a_loop_and_in_lanes_the_bits_are_the_same(
    name: str, dtype: str, compiled: Libraries
) -> None:
    functions = compiled[dtype, "reproducible"]
    x = every_exponent(dtype, 50_000, 3)
    x = x[: x.size // 16 * 16]
    first, *others = (functions(name, x, form) for form in ("one", "each", "lane"))
    nan = np.isnan(first)
    assert np.array_equal(nan, np.isnan(x))
    for other in others:
        assert np.array_equal(first[~nan].view("u1"), other[~nan].view("u1"))
        assert np.isnan(other[nan]).all()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dtype", TYPES)
def test_limits_zeros_and_symmetry(dtype: str, profile: str, compiled: Libraries) -> None:
    f = compiled[dtype, profile]
    tiny, huge = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    ends = np.array([np.inf, huge, -np.inf, -huge], dtype)
    assert f("tanh", ends).tolist() == [1, 1, -1, -1]
    assert f("logistic", ends).tolist() == [1, 1, 0, 0]
    assert f("exp", ends).tolist() == [np.inf, np.inf, 0, 0]
    assert f("softplus", ends).tolist() == [np.inf, huge, 0, 0]
    near = np.array([0.0, -0.0, tiny, -tiny, 3 * tiny], dtype)
    assert np.array_equal(f("tanh", near).view("u1"), near.view("u1"))
    assert f("exp", near).tolist() == [1] * 5
    assert f("logistic", near).tolist() == [0.5] * 5
    x = numbers(dtype)
    x = x[~np.isnan(x)]
    y, p = f("tanh", x), f("logistic", x)
    assert np.array_equal(f("tanh", -x), -y)
    assert np.abs(y).max() == 1
    assert p.min() == 0 and p.max() == 1
    for name in NAMES:
        assert np.isnan(f(name, np.array([np.nan, -np.nan], dtype))).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_results_below_the_normal_numbers_are_there(dtype: str, compiled: Libraries) -> None:
    least = np.log(2) * (np.finfo(dtype).minexp - np.finfo(dtype).nmant)
    x = np.linspace(least, least + 14, 10_000).astype(dtype)
    for name in ("exp", "logistic", "softplus"):
        y = compiled[dtype, "local"](name, x)
        assert (y[1:] > 0).all() and (y < np.finfo(dtype).tiny).all()
        assert np.unique(y).size > 5000


def test_other_compilers_call_the_library(tmp_path: Path) -> None:
    def without(text: str) -> str:
        assert CONDITION in text
        return text.replace(CONDITION, "0")

    library = compile_functions("float64", "local", tmp_path, without)
    for name in NAMES:
        x = np.linspace(-30, 30, 1024)
        assert np.allclose(library(name, x), exact(name, x).astype(float), rtol=1e-14)
        assert np.array_equal(library(name, x), library(name, x, "lane"))


# --- what is stated ------------------------------------------------------------------------------


def test_the_identities_that_the_text_uses() -> None:
    A, B, r, s, x = sympy.symbols("A B r s x", positive=True)

    def vanishes(difference: sympy.Expr) -> bool:
        return bool(sympy.simplify(difference.rewrite(sympy.exp)) == 0)

    at = {A: 1, B: sympy.tanh(r)}  # tanh(r) = B/A; s = 2^n = exp(2(|x| − r))
    of = (((s - 1) * A + (s + 1) * B) / ((s + 1) * A + (s - 1) * B)).subs(at)
    assert vanishes(sympy.tanh(x) - of.subs(s, sympy.exp(2 * (x - r))))
    of = (s * (A + B) / (s * (A + B) + A - B)).subs(at)  # s = 2^n = exp(x − 2r)
    assert vanishes(1 / (1 + sympy.exp(-x)) - of.subs(s, sympy.exp(x - 2 * r)))
    assert not vanishes(1 / (1 + sympy.exp(-x)) - of.subs(s, sympy.exp(x - r)))


def test_the_bounds_are_those_of_the_documentation() -> None:
    text = (ROOT / "docs" / "functions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \|", text, re.MULTILINE)
    assert {name: (float(a), float(b)) for name, a, b in rows} == BOUNDS
