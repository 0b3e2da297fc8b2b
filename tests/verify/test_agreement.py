"""Rung 4: agreements hold, differences are seen, and what disagrees fails."""

from __future__ import annotations

from typing import Any

import pytest

from derive.network.library import semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.algorithms import settle
from derive.verify import samples
from derive.verify.agreement import steps_agree, with_epochwise
from derive.verify.forms import form_of
from derive.verify.kernels import on_numpy
from derive.verify.report import Claim
from tests.verify.disturbed import Disturbed
from tests.verify.examples import ALGORITHMS, LOOKING, NETS, algorithm_of, programs_of


def claims(net: Network, algorithm: Any, of: Any = None, **disturbed: Any) -> dict[str, Claim]:
    """The claims of an algorithm about a kernel ``of`` another, or of itself."""
    form, sample_form = form_of(algorithm), form_of(algorithm)
    sample = samples.draw(net, 1, form=sample_form)
    kernel: Any = on_numpy(net, programs_of(net, of or algorithm), of or algorithm, "float64")
    if disturbed:
        kernel = Disturbed(kernel, **disturbed)
    found = (
        *steps_agree(net, kernel, sample, "float64", form),
        *with_epochwise(net, kernel, algorithm, sample, "float64", 1),
    )
    return {c.name: c for c in found}


@pytest.mark.parametrize("forced", ["", ", forced"])
@pytest.mark.parametrize(
    "algorithm", [name for name in ALGORITHMS if not name.startswith("epochwise")]
)
def test_every_algorithm_agrees_and_differs_as_it_claims(algorithm: str, forced: str) -> None:
    net = NETS["mixed"]
    found = claims(net, algorithm_of(net, algorithm + forced))
    assert all(c.ok for c in found.values()), [c for c in found.values() if not c.ok]
    approximate = algorithm.startswith("truncated") or "grouped" in algorithm
    assert ("∂J/∂theta differs from epochwise's" in found) == approximate
    assert ("∂J/∂theta = epochwise's" in found) != approximate


@pytest.mark.parametrize("memory", [1, 2, "sqrt", 10_000])
def test_from_checkpoints_it_is_what_it_is_with_all_steps_kept(memory: int | str) -> None:
    name = "∂J/∂theta = epochwise's that keeps all steps"
    for net in (NETS["sharing"], LOOKING):
        found = claims(net, settle(net, "epochwise", {"memory": memory, "teacher_forcing": True}))
        assert {n.partition(",")[0] for n, c in found.items() if c.ok} == {name}
        # What is a single segment in the kernel is claimed of several.
        assert ("in segments of √T steps" in " ".join(found)) == (memory == 10_000)
    assert not claims(net, settle(net, "epochwise", {}))


def test_checkpoints_that_change_the_gradient_are_seen() -> None:
    net = NETS["sharing"]
    found = claims(net, settle(net, "epochwise", {"memory": 2}), where="theta alone", by=1e-9)
    assert not any(c.ok for c in found.values())


@pytest.mark.parametrize("where", ["step theta", "step J", "theta alone", "begun anew"])
def test_steps_that_do_not_sum_to_the_sequence_are_seen(where: str) -> None:
    net = NETS["wz3x5"]
    found = claims(net, algorithm_of(net, "rtrl"), where=where, by=1e-9)
    assert not all(c.ok for c in found.values())


def test_an_approximation_that_is_none_fails_its_claim() -> None:
    net = NETS["wz3x5"]
    found = claims(net, algorithm_of(net, "truncated 2"), of=algorithm_of(net, "rtrl"))
    assert not found["∂J/∂theta differs from epochwise's"].ok


def test_an_approximation_passed_off_as_exact_fails_its_claims() -> None:
    net = NETS["wz3x5"]
    found = claims(net, algorithm_of(net, "rtrl"), of=algorithm_of(net, "truncated 2"))
    assert not found["∂J/∂theta = epochwise's"].ok
    assert not found["∂J(t)/∂theta, each step = epochwise's"].ok


def test_where_no_path_is_left_out_a_short_window_must_equal() -> None:
    layers = [(0, 2), (1, 0)]
    net = Network(semilinear("tanh"), 2, 1, layers, SquaredError([1]), name="layers")
    found = claims(net, settle(net, "truncated", {"h": 2}))
    assert found["∂J/∂theta = epochwise's: no path is left out"].ok
    shorter = claims(net, settle(net, "truncated", {"h": 1}))
    assert shorter["∂J/∂theta differs from epochwise's"].ok


def test_a_window_that_covers_the_sample_is_exact_and_shown_to_be_one_cut_shorter() -> None:
    net = NETS["leaky_pair"]
    found = claims(net, settle(net, "truncated", {"h": 100}))
    assert found["∂J/∂theta = epochwise's"].ok
    told = found["∂J/∂theta differs from epochwise's"]
    assert told.ok
    assert "cut after 3 steps for h = 100" in told.detail
