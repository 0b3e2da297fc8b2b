"""Whether an approximation leaves anything out, decided without numbers."""

from __future__ import annotations

import numpy as np
import pytest

from derive.network import connect
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.verify.forms import WHOLE, Form
from derive.verify.paths import is_approximate, learns
from tests.verify.examples import NETS

T = 5
TANH = semilinear("tanh")


def everywhere(net: Network) -> np.ndarray:
    return np.ones((T, len(net.objective.targets)))


def chain(*connections: tuple[int, ...], cell=TANH, targets=(2,)) -> Network:  # type: ignore[no-untyped-def]
    return Network(cell, 3, 1, list(connections), SquaredError(list(targets)), name="chain")


FORWARD = chain((0, 3), (1, 0), (2, 1))


def test_an_exact_form_leaves_nothing_out() -> None:
    net = NETS["wz3x5"]
    assert not is_approximate(net, WHOLE, everywhere(net))
    assert not is_approximate(net, Form(2), everywhere(net))


@pytest.mark.parametrize(("back", "left_out"), [(1, True), (2, True), (3, False)])
def test_layers_need_as_many_steps_as_there_are(back: int, left_out: bool) -> None:
    # The weight from the input moves unit 0 at t − 2, which moves the target at t.
    assert is_approximate(FORWARD, Form(1, back=back), everywhere(FORWARD)) == left_out


def test_a_recurrence_needs_all_of_them() -> None:
    net = chain((0, 3), (1, 0), (1, 1), (2, 1))
    assert is_approximate(net, Form(1, back=T - 1), everywhere(net))
    assert not is_approximate(net, Form(1, back=T), everywhere(net))


def test_a_delay_counts_as_its_steps() -> None:
    net = chain((0, 3), (2, 0, 3))
    assert is_approximate(net, Form(1, back=3), everywhere(net))
    assert not is_approximate(net, Form(1, back=4), everywhere(net))


def test_a_leak_is_a_recurrence() -> None:
    net = chain((0, 3), (2, 0), cell=leaky("tanh"))
    assert is_approximate(net, Form(1, back=T - 1), everywhere(net))


def test_an_error_that_is_missing_leaves_nothing_out() -> None:
    net = chain((0, 3), (0, 0), targets=(0,))
    mask = np.zeros((T, 1))
    mask[0] = 1
    assert not is_approximate(net, Form(1, back=1), mask)
    mask[1] = 1
    assert is_approximate(net, Form(1, back=1), mask)


def test_nothing_is_left_out_behind_a_forced_output() -> None:
    net = chain((0, 3), (0, 0), targets=(0,))
    assert is_approximate(net, Form(1, back=1), everywhere(net))
    assert not is_approximate(net, Form(1, back=1, forced=True), everywhere(net))


def test_groups_leave_out_what_one_hears_of_another() -> None:
    net = Network(TANH, 2, 1, connect.full(), SquaredError([0, 1]), name="two")
    assert is_approximate(net, Form(1, groups=((0,), (1,))), everywhere(net))
    assert not is_approximate(net, Form(1, groups=((0, 1),)), everywhere(net))
    deaf = Network(TANH, 2, 1, [(0, 0), (1, 1), (0, 2)], SquaredError([0, 1]), name="deaf")
    assert not is_approximate(deaf, Form(1, groups=((0,), (1,))), everywhere(deaf))


def test_a_network_learns_if_some_parameter_moves_some_target() -> None:
    assert learns(FORWARD, 3)
    assert not learns(chain((0, 3), (1, 0)), T)
    assert not learns(chain((2, 1, 4)), 3)
    assert learns(chain((2, 1, 4)), 4)
