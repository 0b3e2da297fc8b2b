"""Claims about signals in pages: what is emitted for them computes the gradient, everywhere."""

from __future__ import annotations

import numpy as np
import pytest

import derive
from derive.blocks import BYTES
from derive.build import toolchain
from derive.emit.cython import listed
from derive.network import connect
from derive.network.library import LIBRARY
from derive.network.network import Network
from derive.network.objective import SquaredError
from tests.strategies import data


def net_of(cell: str, units: int) -> Network:
    """A fifth of a net of that cell."""
    pattern = connect.random(0.2, seed=4)
    return Network(LIBRARY[cell](), units, 3, pattern, SquaredError([units - 1, 0]), name="pages")


@pytest.fixture(params=["local", "reproducible"])
def profile(request: pytest.FixtureRequest) -> str:
    """Binaries for this processor, and for any: pages are chosen for both."""
    return str(request.param)


def have(monkeypatch: pytest.MonkeyPatch, register: int) -> None:
    """Take registers for so many bytes wide, whatever they are."""
    monkeypatch.setattr(toolchain.Profile, "register", property(lambda self: register))


@pytest.mark.parametrize(
    ("dtype", "register", "schedule"),
    [
        ("float64", BYTES, "pages, tables"), ("float32", BYTES, "pages, tables"),
        ("float32", BYTES // 2, "short pages, tables"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("cell", "units"), [("semilinear", 64), ("ctrnn", 81), ("lstm", 50)])
def test_kernels_with_signals_in_pages_compute_the_gradient(
    cell: str, units: int, dtype: str, register: int, schedule: str, profile: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    have(monkeypatch, register)
    net = net_of(cell, units)
    kernel = derive.compile(net, dtype=dtype, schedule="tables", profile=profile)
    assert kernel.schedule == schedule and "k_looked_up(" in kernel.source
    assert "const uint8_t table_within_by_page_" in kernel.source
    whole = derive.compile(net, batch=True, schedule="tables")
    assert "k_looked_up" not in whole.source
    for T in (1, 7, 130):
        given = data(net, T)
        given.theta[net.wiring.weight] *= 0.4  # small differences stay small
        exact = tuple(a.astype(dtype).astype(float) for a in given[:3])
        expected = whole.gradient(exact[0], *(a[..., None] for a in exact[1:]))
        J, gradient = kernel.gradient(*(a.astype(dtype) for a in exact))[:2]
        close = 1e-10 if dtype == "float64" else 3e-4
        assert J == pytest.approx(expected[0], rel=close)
        scale = np.abs(expected[1]).max()
        np.testing.assert_allclose(gradient, expected[1], rtol=close, atol=close * scale)


def test_numbers_that_are_none_stay_with_the_units_that_hear_them(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(monkeypatch, BYTES)
    net = net_of("semilinear", 64)
    kernel = derive.compile(net, profile=profile, schedule="tables")
    theta, x = data(net, 2)[:2]
    for bad in (np.nan, np.inf, -np.inf, 1e300, 5e-324):
        x[0] = [bad, 0.0, 0.0]
        y = kernel.forward(theta, x)
        heard = {c.target for c in net.connections if c.source == 64}
        expected = derive.compile(net, batch=True).forward(theta, x[..., None])[..., 0]
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-300)
        still = [k for k in range(64) if k not in heard]
        assert np.isfinite(y[1][still]).all() and len(still) > 20


def test_what_stood_in_scratch_before_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, BYTES)
    net = net_of("semilinear", 64)
    kernel = derive.compile(net, profile="reproducible", schedule="tables")
    theta, x, target = data(net, 90)[:3]
    expected = {T: kernel.gradient(theta, x[:T], target[:T]) for T in range(1, 60)}
    for T, (J, gradient) in expected.items():
        kernel.gradient(theta * np.nan, x * np.nan, target)  # leaves no number in the scratch
        again = kernel.gradient(theta, x[:T], target[:T])
        assert again[0] == J and np.isfinite(again[1]).all()
        np.testing.assert_array_equal(again[1], gradient)


def test_tables_are_written_in_full_lines_whatever_their_length() -> None:
    for count in (0, 1, 7, 40, 2000):
        values = [str(i**3) for i in range(count)]
        lines = listed(values, 40).split("\n")
        assert [v.rstrip(",") for line in lines for v in line.split()] == values
        assert all(len(line) <= 40 for line in lines)
        many = [len(line.split()) for line in lines]
        widest = max(map(len, values), default=0)
        assert len(set(many[:-1])) <= 1 and (len(lines) == 1 or many[0] == 40 // (widest + 2))
