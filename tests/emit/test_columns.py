"""Claims about rows of sensitivities in vectors: what is emitted for them computes the gradient."""

from __future__ import annotations

import numpy as np
import pytest

import derive
from derive.network import connect
from derive.network.library import LIBRARY
from derive.network.network import Network
from derive.network.objective import SquaredError
from tests.strategies import data


def net_of(cell: str, n: int, m: int, pattern: connect.Pattern) -> Network:
    """A net of that cell."""
    return Network(LIBRARY[cell](), n, m, pattern, SquaredError([n - 1, 0]), name="rows")


NETS = [
    ("semilinear", 8, 1, connect.full()),
    ("elman", 9, 2, connect.full()),
    ("lstm", 9, 1, connect.full()),
    ("semilinear", 110, 2, connect.random(0.15, seed=3)),
]


@pytest.mark.parametrize("profile", ["local", "reproducible"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("cell", "n", "m", "pattern"), NETS)
def test_sums_in_vectors_of_columns_are_the_gradient(
    cell: str, n: int, m: int, pattern: connect.Pattern, dtype: str, profile: str
) -> None:
    net = net_of(cell, n, m, pattern)
    kernel = derive.compile(net, algorithm="rtrl", dtype=dtype, schedule="tables", profile=profile)
    assert "for vector in range(" in kernel.source and "COLUMNS" in kernel.source
    whole = derive.compile(net, dtype="float64")
    for T in (1, 7):
        exact = tuple(a.astype(dtype).astype(float) for a in data(net, T)[:3])
        expected = whole.gradient(*exact)
        J, gradient = kernel.gradient(*(a.astype(dtype) for a in exact))[:2]
        close = 1e-10 if dtype == "float64" else 2e-4
        assert J == pytest.approx(expected[0], rel=close)
        np.testing.assert_allclose(gradient, expected[1], rtol=close, atol=close)
