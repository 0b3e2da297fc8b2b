"""Rung 3 on kernels that are right, and on kernels that are slightly wrong."""

from __future__ import annotations

from typing import Any

import pytest

from derive.network.library import semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.verify import differences, samples
from derive.verify.forms import form_of
from derive.verify.kernels import on_numpy
from derive.verify.report import Claim
from tests.verify.disturbed import Disturbed
from tests.verify.examples import EPOCHWISE, NETS, algorithm_of, programs_of


def rungs(
    net: Network, algorithm: Any = EPOCHWISE, dtype: str = "float64", **disturbed: Any
) -> dict[str, list[Claim]]:
    programs, form = programs_of(net, algorithm), form_of(algorithm)
    sample = samples.draw(net, 1, dtype, form)
    kernel: Any = on_numpy(net, programs, algorithm, dtype)
    if disturbed:
        kernel = Disturbed(kernel, **disturbed)
    forward = programs["forward"]
    return {
        "quotients": list(differences.quotients(net, kernel, sample, dtype, form)),
        "complex": list(differences.complex_step(net, forward, kernel, sample, dtype, form)),
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NETS)
def test_a_right_gradient_is_a_difference_quotient(name: str, dtype: str) -> None:
    found = rungs(NETS[name], EPOCHWISE, dtype)
    for rung, claims in found.items():
        assert all(c.ok for c in claims), (rung, [c for c in claims if not c.ok])
    assert bool(found["complex"]) == (name != "cornered")


@pytest.mark.parametrize("name", ["realtime", "rtrl", "hybrid 2", "epochwise, forced",
                                  "rtrl, forced", "hybrid 2, forced"])  # fmt: skip
def test_so_is_that_of_every_exact_algorithm(name: str) -> None:
    net = NETS["sharing"]
    for rung, claims in rungs(net, algorithm_of(net, name)).items():
        assert all(c.ok for c in claims), (rung, [c for c in claims if not c.ok])


def test_an_approximation_is_none() -> None:
    net = NETS["wz3x5"]
    for claims in rungs(net, algorithm_of(net, "truncated 2")).values():
        assert not all(c.ok for c in claims)


def test_under_teacher_forcing_the_run_of_forward_is_another() -> None:
    net = NETS["wz3x5"]
    algorithm = algorithm_of(net, "epochwise, forced")
    kernel = on_numpy(net, programs_of(net, algorithm), algorithm, "float64")
    sample = samples.draw(net, 1, form=form_of(algorithm))
    free = differences.Slopes(net, kernel.forward, sample, "float64")
    found = differences.quotients(net, kernel, sample, "float64", form_of(algorithm), free)
    assert not any(c.ok for c in found)


@pytest.mark.parametrize(
    ("where", "by", "rung"),
    [
        ("theta", 1e-7, "quotients"),
        ("theta alone", 1e-7, "quotients"),
        ("x", 1e-7, "quotients"),
        ("y0", 1e-7, "quotients"),
        ("J", 1e-12, "quotients"),
        ("theta", 1e-12, "complex"),
        ("theta", float("nan"), "quotients"),
        ("theta", float("nan"), "complex"),
    ],
)
def test_a_small_error_is_seen(where: str, by: float, rung: str) -> None:
    assert not all(c.ok for c in rungs(NETS["wz3x5"], where=where, by=by)[rung])


def test_a_network_without_inputs_or_connections_is_checked_all_the_same() -> None:
    net = Network(semilinear("tanh", bias=True), 1, 0, [], SquaredError([0]), name="lonely")
    assert all(c.ok for claims in rungs(net).values() for c in claims)
