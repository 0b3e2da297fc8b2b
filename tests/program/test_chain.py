"""The chain of operations from step to step, against chains counted by hand."""

from __future__ import annotations

import pytest

from derive.network import connect
from derive.network.library import LIBRARY, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.algorithms import programs, settle
from derive.program.chain import Latencies, chain

BY = Latencies(
    addition=3, multiplication=5, fused=7, division=11, selection=1, other=100,
    functions={"tanh": 1000},
)  # fmt: skip


def per_step(net: Network, function: str, latencies: Latencies = BY) -> float:
    """Cycles that a step adds."""
    program = programs(net, settle(net, "epochwise", {}))[function]
    first, last = (
        chain(program, {"T": T, "mask_step": 1, "mask_rows": T}, latencies) for T in (6, 12)
    )
    return (last - first) / 6


def plain(units: int, inputs: int, pattern: object) -> Network:
    """Semilinear tanh units."""
    return Network(semilinear("tanh"), units, inputs, pattern, SquaredError([units - 1]))


@pytest.mark.parametrize("units", [1, 2, 5])
def test_a_step_forward_waits_for_each_term_of_the_longest_sum_and_for_tanh(units: int) -> None:
    """Units come before input lines in a sum, so what was computed last stands first in it."""
    assert per_step(plain(units, 2, connect.full()), "forward") == 7 * (units + 2) + 1000


def test_a_longer_delay_lets_steps_overlap() -> None:
    ring = plain(1, 1, [(0, 0, 2), (0, 1, 1)])
    assert per_step(ring, "forward") == (7 * 2 + 1000) / 2


def test_units_that_do_not_hear_themselves_have_no_chain() -> None:
    assert per_step(plain(2, 1, [(0, 2, 1), (1, 2, 1)]), "forward") == 0


def test_the_way_back_adds_a_product_a_sum_and_no_function() -> None:
    """ε(t−1) += w δ(t), e(t−1) is added, δ = ε (1 − y²): the slope is there already."""
    net = plain(1, 1, connect.full())
    back = per_step(net, "gradient") - per_step(net, "forward")
    assert back == 7 + 3 + 5


@pytest.mark.parametrize("cell", sorted(LIBRARY))
def test_every_cell_has_a_chain_that_a_slower_function_lengthens_or_leaves(cell: str) -> None:
    net = Network(LIBRARY[cell](), 2, 1, connect.full(), SquaredError([0]))
    slower = Latencies(4, 6, 8, 12, 2, 200, {"tanh": 2000})
    assert 0 < per_step(net, "gradient") < per_step(net, "gradient", slower)
