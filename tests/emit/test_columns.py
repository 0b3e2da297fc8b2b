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


def full(cell: str, n: int, m: int) -> Network:
    """A net of that cell, fully connected."""
    return Network(LIBRARY[cell](), n, m, connect.full(), SquaredError([n - 1, 0]), name="full")


NETS = [("semilinear", 8, 1), ("elman", 9, 2), ("lstm", 9, 1)]


@pytest.mark.parametrize("profile", ["local", "reproducible"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("cell", "n", "m"), NETS)
def test_sums_in_vectors_of_columns_are_the_gradient(
    cell: str, n: int, m: int, dtype: str, profile: str
) -> None:
    net = full(cell, n, m)
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
