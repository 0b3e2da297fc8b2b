"""Arguments on which a mistake shows."""

from __future__ import annotations

import numpy as np
import pytest

from derive.verify import samples
from derive.verify.forms import Form
from derive.verify.samples import FAR, LONG, LONGEST
from derive.verify.stated import Stated, stated_forward
from tests.verify.examples import NETS


def test_draws_leave_nothing_symmetric() -> None:
    net = NETS["wz3x5"]
    sample = samples.draw(net, 3)
    W = net.weight_matrix(sample.theta)[:, :3]
    assert np.abs(W - W.T).max() > 0.1
    # Step Jacobians diag(f′)·W of two steps do not commute.
    y = stated_forward(net, sample.theta, sample.x, sample.y0)
    A, B = ((1 - y[t][:, None] ** 2) * W for t in (1, 2))
    assert np.abs(A @ B - B @ A).max() > 1e-2


@pytest.mark.parametrize("name", NETS)
def test_draws_have_steps_beyond_the_longest_delay_and_a_mask_with_a_hole_at_the_end(
    name: str,
) -> None:
    net = NETS[name]
    sample = samples.draw(net)
    assert sample.steps >= net.wiring.longest_delay + 3
    assert sample.mask[-1, -1] == 0
    assert sample.mask.any()


def test_draws_cover_two_windows_and_a_step_unless_windows_are_long() -> None:
    net = NETS["wz3x5"]
    assert samples.draw(net, form=Form(5)).steps == 11
    assert samples.draw(net, form=Form(2, back=9)).steps == 11
    assert samples.draw(net, form=Form(LONG)).steps == LONG + 2
    assert samples.draw(net, form=Form(10_000)).steps == LONGEST
    assert samples.draw(net, form=Form(1, back=10_000)).steps == FAR
    # A last window of a single step with a single target has its error.
    assert samples.draw(net, form=Form(2)).mask[-1] != 0


def test_draws_keep_away_from_corners() -> None:
    net = NETS["cornered"]
    assert samples.draw(net).margin > 0.01
    assert samples.draw(net, form=Form(1, forced=True)).margin > 0.01
    assert samples.draw(NETS["wz3x5"]).margin == np.inf


def test_a_forced_run_as_stated_goes_on_from_targets() -> None:
    net = NETS["leaky_pair"]
    sample = samples.draw(net, 2)
    target, mask = sample.target, np.zeros_like(sample.mask)
    arguments = sample.theta, sample.x, sample.y0
    free = stated_forward(net, *arguments)
    stated = Stated(net)
    assert np.array_equal(stated.forward(*arguments, (target, mask)), free)
    mask[0] = 1
    forced = stated.forward(*arguments, (target, mask))
    assert np.array_equal(forced[1], free[1])  # what the unit computed stays
    y1 = free[1].copy()
    y1[1] = target[0, 0]
    later = stated_forward(net, sample.theta, sample.x[1:], y1)
    assert np.allclose(forced[2:], later[1:])
