"""Claims about running Programs: every arithmetic gives what the stated network computes."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.errors import ProgramError
from derive.network.network import Network
from derive.program.algorithms import epochwise
from derive.program.interpret import EXACT, MULTIPRECISION, SYMBOLIC, numpy_arithmetic, run
from tests.strategies import Data, as_inputs, data, fractions, networks, simulate

DOUBLE = numpy_arithmetic(np.float64)
ALL = ("theta", "x", "y0")


def forward(net: Network, values: Data, arithmetic: Any = DOUBLE, lanes: Any = ()) -> Any:
    """The states by the forward Program."""
    return run(epochwise.forward(net), arithmetic, as_inputs(values), {"T": len(values.x)}, lanes)[
        "y"
    ]


def gradient(net: Network, values: Data, arithmetic: Any = DOUBLE, lanes: Any = ()) -> Any:
    """J and all gradients by the epochwise Program."""
    T = len(values.x)
    sizes = {"T": T, "mask_step": 1, "mask_rows": T}
    return run(epochwise.gradient(net, ALL), arithmetic, as_inputs(values), sizes, lanes)


@given(networks(corners=True), st.integers(0, 9))
def test_forward_equals_a_naive_simulation(net: Network, seed: int) -> None:
    values = data(net, 6, seed=seed)
    y, J = simulate(net, values)
    np.testing.assert_allclose(forward(net, values), y, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gradient(net, values)["J"], J, rtol=1e-11, atol=1e-13)


@settings(max_examples=40)
@given(networks(max_units=4), st.integers(0, 9))
def test_gradient_equals_a_complex_step_of_the_naive_simulation(net: Network, seed: int) -> None:
    values = data(net, 5, seed=seed)
    found = gradient(net, values)
    for place, name in ((0, "theta"), (1, "x"), (4, "y0")):
        expected = np.zeros(values[place].shape)
        for i in np.ndindex(expected.shape):
            moved = list(values)
            moved[place] = values[place].astype(complex)
            moved[place][i] += 1e-30j
            expected[i] = simulate(net, Data(*moved))[1].imag / 1e-30
        np.testing.assert_allclose(found[f"grad_{name}"], expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=40)
@given(networks(max_units=3, rational=True), st.integers(0, 9))
def test_fractions_doubles_complex_and_50_digits_agree(net: Network, seed: int) -> None:
    exact = fractions(data(net, 3, seed=seed))
    rounded = Data(*(np.asarray(a, dtype=float) for a in exact))
    with mpmath.workdps(50):
        digits = Data(*(np.vectorize(mpmath.mpf, otypes=[object])(a) if a.size else a
                        for a in rounded))  # fmt: skip
        results = [
            gradient(net, exact, EXACT),
            gradient(net, digits, MULTIPRECISION),
            gradient(net, rounded),
            gradient(net, rounded, numpy_arithmetic(np.complex128)),
        ]
        for name in ("J", "grad_theta", "grad_x", "grad_y0"):
            true = np.asarray(results[0][name])
            scale = max([1.0, *(abs(float(v)) for v in true.ravel())])
            for other, tolerance in zip(results[1:], (1e-40, 1e-11, 1e-11), strict=True):
                for a, b in zip(true.ravel(), np.asarray(other[name]).ravel(), strict=True):
                    error = mpmath.mpf(a.numerator) / a.denominator - mpmath.mpmathify(b)
                    assert abs(error) <= tolerance * scale, name


@settings(max_examples=40)
@given(networks(max_units=4, corners=True))
def test_a_batch_is_its_sequences_side_by_side(net: Network) -> None:
    values = data(net, 4, batch=3, seed=2)
    together = gradient(net, values, lanes=(3,))
    y = forward(net, values, lanes=(3,))
    for b in range(3):
        one = Data(values.theta, *(a[..., b] for a in values[1:]))
        alone = gradient(net, one)
        # NumPy's vector tanh may differ from its scalar one in the last place.
        np.testing.assert_allclose(forward(net, one), y[..., b], rtol=1e-12, atol=1e-13)
        for name in ("J", "grad_theta", "grad_x", "grad_y0"):
            np.testing.assert_allclose(alone[name], together[name][..., b], rtol=1e-9, atol=1e-11)


@settings(max_examples=15)
@given(networks(max_units=2, rational=True, longest_delay=2))
def test_symbols_then_numbers_equals_numbers(net: Network) -> None:
    exact = fractions(data(net, 2))
    names = {
        name: np.array(
            [sympy.Symbol(f"{name}_{i}", real=True) for i in range(a.size)], dtype=object
        ).reshape(a.shape)
        for name, a in as_inputs(exact).items()
        if name != "mask"
    }
    ones = np.full(exact.mask.shape, sympy.Integer(1), dtype=object)
    symbolic = gradient(net, Data(**{**names, "mask": ones}), SYMBOLIC)
    values = {
        symbol: sympy.Rational(v.numerator, v.denominator)
        for name, array in names.items()
        for symbol, v in zip(array.ravel(), as_inputs(exact)[name].ravel(), strict=True)
    }
    numeric = gradient(net, exact._replace(mask=np.ones(exact.mask.shape, dtype=object)), EXACT)
    for name in ("J", "grad_theta"):
        for a, b in zip(np.asarray(symbolic[name]).ravel(),
                        np.asarray(numeric[name]).ravel(), strict=True):  # fmt: skip
            assert sympy.sympify(a).xreplace(values) == sympy.Rational(b.numerator, b.denominator)


@settings(max_examples=30)
@given(networks(), st.integers(0, 5))
def test_a_missing_target_may_be_nan(net: Network, seed: int) -> None:
    values = data(net, 4, seed=seed)
    holes = values._replace(target=np.where(values.mask == 0, np.nan, values.target))
    for name, array in gradient(net, values).items():
        np.testing.assert_array_equal(gradient(net, holes)[name], array)


def test_nan_in_a_given_target_is_nan_out(net: Network) -> None:
    values = data(net, 3, seed=2)
    target = values.target.copy()
    target[0, 0] = np.nan
    assert np.isnan(gradient(net, values._replace(target=target))["J"])


def test_no_mask_is_one_row_of_ones(net: Network) -> None:
    values = data(net, 4)
    everywhere = gradient(net, values._replace(mask=np.ones_like(values.mask)))
    row = as_inputs(values._replace(mask=np.ones((1, 2))))
    sizes = {"T": 4, "mask_step": 0, "mask_rows": 1}
    once = run(epochwise.gradient(net, ALL), DOUBLE, row, sizes)
    for name, array in everywhere.items():
        np.testing.assert_array_equal(once[name], array)


def test_a_function_without_exact_value_is_refused(net: Network) -> None:
    with pytest.raises(ProgramError, match="tanh has no value in fractions arithmetic"):
        forward(net, fractions(data(net, 2)), EXACT)


@pytest.fixture
def net() -> Network:
    """Two tanh units and an input, with a delay and a self-loop."""
    from derive.network.library import semilinear
    from derive.network.objective import SquaredError

    connections = [(0, 0), (0, 2, 2), (1, 0), (1, 2)]
    return Network(semilinear("tanh"), 2, 1, connections, SquaredError([1, 0]), name="small")
