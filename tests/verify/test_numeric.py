"""Rungs 2 and 3 on kernels that are right, and on kernels that are slightly wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest

from derive.interpreted import Interpreted
from derive.network.library import semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.verify import numeric
from derive.verify.report import Claim
from tests.verify.examples import NETS, programs_of


class Disturbed:
    """A kernel with a relative error in one of its answers."""

    def __init__(self, kernel: Any, where: str, by: float) -> None:
        self.kernel, self.where, self.by = kernel, where, by

    def forward(self, *args: Any, **keywords: Any) -> Any:
        y = self.kernel.forward(*args, **keywords)
        return y * (1 + self.by) if self.where == "y" else y

    def gradient(self, *args: Any, wrt: Any = None, **keywords: Any) -> Any:
        g = self.kernel.gradient(*args, wrt=wrt, **keywords)
        if wrt is None:
            return (g[0], g[1] * (1 + self.by)) if self.where == "theta alone" else g
        if self.where in ("theta", "x", "y0", "J"):
            return g._replace(**{self.where: getattr(g, self.where) * (1 + self.by)})
        return g


def rungs(net: Network, kernel: Any, dtype: str = "float64") -> dict[str, list[Claim]]:
    programs, sample = programs_of(net), numeric.draw(net, 1, dtype)
    forward = programs["forward"]
    return {
        "rounding": list(numeric.rounding(net, kernel, programs, sample, dtype)),
        "stated": [numeric.stated_claim(net, kernel, sample, dtype)],
        "quotients": list(numeric.quotients(net, kernel, sample, dtype)),
        "complex": list(numeric.complex_step(net, forward, kernel, sample, dtype)),
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NETS)
def test_every_rung_holds(name: str, dtype: str) -> None:
    net = NETS[name]
    found = rungs(net, Interpreted(net, programs_of(net), dtype, False), dtype)
    for rung, claims in found.items():
        assert all(c.ok for c in claims), (rung, [c for c in claims if not c.ok])
    assert bool(found["complex"]) == (name != "cornered")


@pytest.mark.parametrize(
    ("where", "by", "rung"),
    [
        ("y", 1e-12, "rounding"),
        ("y", 1e-12, "stated"),
        ("J", 1e-12, "rounding"),
        ("theta", 1e-12, "rounding"),
        ("theta alone", 1e-12, "rounding"),
        ("theta", 1e-7, "quotients"),
        ("theta alone", 1e-7, "quotients"),
        ("x", 1e-7, "quotients"),
        ("y0", 1e-7, "quotients"),
        ("theta", 1e-12, "complex"),
        ("theta", float("nan"), "quotients"),
        ("theta", float("nan"), "complex"),
        ("y", float("nan"), "stated"),
        ("x", float("nan"), "rounding"),
    ],
)
def test_a_small_error_is_seen(where: str, by: float, rung: str) -> None:
    net = NETS["wz3x5"]
    kernel = Disturbed(Interpreted(net, programs_of(net), "float64", False), where, by)
    assert not all(c.ok for c in rungs(net, kernel)[rung])


def test_the_rounding_limit_grows_with_depth() -> None:
    net = NETS["wz3x5"]
    kernel, programs = Interpreted(net, programs_of(net), "float64", False), programs_of(net)
    sample = numeric.draw(net)
    half = replace(sample, x=sample.x[:2], target=sample.target[:2], mask=sample.mask[:2])
    limits = [
        numeric.rounding(net, kernel, programs, s, "float64")[0].limit for s in (half, sample)
    ]
    assert limits[0] == pytest.approx(limits[1] * 2 / sample.steps)


def test_ulps_are_those_of_the_largest_component() -> None:
    exactly = [mpmath.mpf(1), mpmath.mpf("1e-8")]
    assert numeric.ulps(np.array([1 + 2**-51, 1e-8]), exactly, "float64") == pytest.approx(2)
    assert numeric.ulps(np.array([1.0, 1e-8 + 2**-52]), exactly, "float64") == pytest.approx(
        1, rel=1e-6
    )


def test_draws_leave_nothing_symmetric() -> None:
    net = NETS["wz3x5"]
    sample = numeric.draw(net, 3)
    W = net.weight_matrix(sample.theta)[:, :3]
    assert np.abs(W - W.T).max() > 0.1
    # Step Jacobians diag(f′)·W of two steps do not commute.
    y = numeric.stated_forward(net, sample.theta, sample.x, sample.y0)
    A, B = ((1 - y[t][:, None] ** 2) * W for t in (1, 2))
    assert np.abs(A @ B - B @ A).max() > 1e-2


@pytest.mark.parametrize("name", NETS)
def test_draws_have_steps_beyond_the_longest_delay_and_a_mask_with_a_hole_at_the_end(
    name: str,
) -> None:
    net = NETS[name]
    sample = numeric.draw(net)
    assert sample.steps >= net.wiring.longest_delay + 3
    assert sample.mask[-1, -1] == 0
    assert sample.mask.any()


def test_draws_keep_away_from_corners() -> None:
    net = NETS["cornered"]
    sample = numeric.draw(net)
    assert sample.margin > 0.01
    assert numeric.draw(NETS["wz3x5"]).margin == np.inf


def test_a_network_without_inputs_or_connections_is_checked_all_the_same() -> None:
    net = Network(semilinear("tanh", bias=True), 1, 0, [], SquaredError([0]), name="lonely")
    found = rungs(net, Interpreted(net, programs_of(net), "float64", False))
    assert all(c.ok for claims in found.values() for c in claims)
