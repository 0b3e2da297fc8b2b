"""Claims about best approximations, and about the table of those that modules are made of."""

from __future__ import annotations

import pytest
from mpmath import exp, mp, mpf, workdps

from derive.emit.mathematics import approximations
from derive.emit.mathematics.approximations import APPROXIMATIONS, MANTISSA, best
from derive.emit.mathematics.minimax import DIGITS, minimax


def test_the_best_constant_for_x_is_the_harmonic_mean_of_the_ends() -> None:
    found = minimax(lambda x: x, (mpf(1), mpf(2)), (0, 0), lambda x: mpf(1), False)
    # The grid comes as near to the ends as its mesh squared.
    assert abs(found.top[0] - mpf(4) / 3) < 1e-5
    assert abs(found.error - mpf(1) / 3) < 1e-5


@pytest.mark.parametrize("degrees", [(2, 0), (3, 1), (2, 3)])
def test_the_largest_error_is_taken_with_alternating_signs(degrees: tuple[int, int]) -> None:
    found = minimax(exp, (mpf(-1), mpf(1)), degrees, lambda x: mpf(1), False)
    with workdps(DIGITS):
        errors = [found(x) / exp(x) - 1 for x in mp.linspace(-1, 1, 4001)]
    signs: list[int] = []
    for error in errors:
        if abs(error) > found.error * 0.95 and (not signs or signs[-1] != mp.sign(error)):
            signs.append(int(mp.sign(error)))
    assert len(signs) == sum(degrees) + 2
    assert max(map(abs, errors)) <= found.error * 1.001


def test_a_weight_moves_the_error_to_where_it_counts_less() -> None:
    ends = mpf(0), mpf(1)
    plain = minimax(exp, ends, (2, 0), lambda x: mpf(1), False)
    weighted = minimax(exp, ends, (2, 0), lambda x: 1 + 9 * x, False)
    first, last = (abs(weighted(x) / exp(x) - 1) / abs(plain(x) / exp(x) - 1) for x in ends)
    assert first > 2 > 1 > last


def test_more_degrees_than_there_is_error_are_refused() -> None:
    with pytest.raises((ArithmeticError, ZeroDivisionError)):
        minimax(lambda x: 1 + x, (mpf(0), mpf(1)), (3, 2), lambda x: mpf(1), False)


def test_the_table_is_what_is_derived() -> None:
    assert approximations.TABLE.read_text(encoding="utf-8") == approximations.table()


@pytest.mark.parametrize("dtype", MANTISSA)
@pytest.mark.parametrize("name", APPROXIMATIONS)
def test_approximations_are_off_by_less_than_a_sixteenth_of_a_unit(name: str, dtype: str) -> None:
    assert best(name, dtype).error < mpf(2) ** -(MANTISSA[dtype] + 4)


@pytest.mark.parametrize("dtype", MANTISSA)
def test_the_first_part_of_ln_2_times_any_n_is_exact_and_the_rest_is_enough(dtype: str) -> None:
    bits, doublings = MANTISSA[dtype], approximations.DOUBLINGS[dtype]
    parts = approximations.constants(dtype)
    first, rest = (float.fromhex(approximations.rounded(parts[p], dtype))
                   for p in ("ln2_first", "ln2_rest"))  # fmt: skip
    assert first == parts["ln2_first"]
    assert (first * 2 ** (bits - doublings)).is_integer()
    with workdps(DIGITS):
        assert abs(mpf(first) + rest - mp.log(2)) < mpf(2) ** (doublings - 2 * bits)
