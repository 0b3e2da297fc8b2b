"""Rung 2 on kernels that are right, and on kernels that are slightly wrong."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from derive.verify import rounding, samples
from derive.verify.forms import form_of
from derive.verify.kernels import on_numpy
from derive.verify.report import Claim
from tests.verify.disturbed import Disturbed
from tests.verify.examples import ALGORITHMS, EPOCHWISE, NETS, algorithm_of, programs_of


def claims(net: Any, algorithm: Any, dtype: str = "float64", **disturbed: Any) -> list[Claim]:
    programs, form = programs_of(net, algorithm), form_of(algorithm)
    sample = samples.draw(net, 1, dtype, form)
    kernel: Any = on_numpy(net, programs, algorithm, dtype)
    if disturbed:
        kernel = Disturbed(kernel, **disturbed)
    return [
        *rounding.rounding(net, kernel, programs, sample, dtype, form),
        rounding.stated_claim(net, kernel, sample, dtype),
    ]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NETS)
def test_a_right_kernel_is_within_its_depth(name: str, dtype: str) -> None:
    found = claims(NETS[name], EPOCHWISE, dtype)
    assert all(c.ok for c in found), [c for c in found if not c.ok]


@pytest.mark.parametrize(
    "algorithm", [name for name in ALGORITHMS if not name.startswith("epochwise")]
)
def test_steps_and_sequence_of_every_algorithm_are_within_their_depth(algorithm: str) -> None:
    net = NETS["delayed"]
    found = claims(net, algorithm_of(net, f"{algorithm}, forced"), "float32")
    assert all(c.ok for c in found), [c for c in found if not c.ok]
    assert sum("each" in c.name for c in found) == 3


@pytest.mark.parametrize("where", ["y", "J", "theta", "theta alone", "x", "y0"])
def test_a_small_error_is_seen(where: str) -> None:
    assert not all(c.ok for c in claims(NETS["wz3x5"], EPOCHWISE, where=where, by=1e-12))


@pytest.mark.parametrize("where", ["step y", "step J", "step theta"])
def test_a_small_error_of_a_step_is_seen(where: str) -> None:
    net = NETS["wz3x5"]
    found = claims(net, algorithm_of(net, "hybrid 2"), where=where, by=1e-12)
    (wrong,) = [c for c in found if not c.ok]
    assert "each" in wrong.name


def test_what_is_no_number_is_seen() -> None:
    for where in ("y", "x"):
        assert not all(c.ok for c in claims(NETS["wz3x5"], EPOCHWISE, where=where, by=np.nan))


def test_the_limit_grows_with_depth() -> None:
    net = NETS["wz3x5"]
    programs = programs_of(net)
    kernel, sample = on_numpy(net, programs, EPOCHWISE, "float64"), samples.draw(net)
    limits = [
        rounding.rounding(net, kernel, programs, s, "float64")[0].limit
        for s in (sample.of_steps(2), sample)
    ]
    assert limits[0] == pytest.approx(limits[1] * 2 / sample.steps)


def test_steps_are_fewer_where_a_run_in_50_digits_is_too_dear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = NETS["wz3x5"]
    rtrl = programs_of(net, algorithm_of(net, "rtrl"))
    assert rounding.affordable(rtrl, 50) == 50
    monkeypatch.setattr(rounding, "STATEMENTS", 2000)
    assert 2 <= rounding.affordable(rtrl, 50) < rounding.affordable(programs_of(net), 50) < 50
    monkeypatch.setattr(rounding, "STATEMENTS", 1)
    assert rounding.affordable(rtrl, 50) == 2


def test_ulps_are_those_of_the_largest_component() -> None:
    exactly = [mpmath.mpf(1), mpmath.mpf("1e-8")]
    assert rounding.ulps(np.array([1 + 2**-51, 1e-8]), exactly, "float64") == pytest.approx(2)
    assert rounding.ulps(np.array([1.0, 1e-8 + 2**-52]), exactly, "float64") == pytest.approx(
        1, rel=1e-6
    )
