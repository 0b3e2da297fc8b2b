"""The few lines of plain text at the head of an emitted module."""

from __future__ import annotations

import pytest

from derive.calculus.summary import summary
from derive.network import connect
from derive.network.library import leaky
from derive.network.network import Network
from derive.network.objective import SquaredError
from tests.calculus.connected import NETS


def lines(name: str) -> list[str]:
    """All lines of a network's summary."""
    return summary(NETS[name], True, True).splitlines()


def test_plain_net_inputs_are_sums_of_weights_and_outputs() -> None:
    net = Network(leaky("tanh"), 2, 1, connect.full(), SquaredError([0]))
    assert summary(net).splitlines() == [
        "[leaky]",
        "s(t) = sum over connections of w*x(t - delay)",
        "f(t) = tanh(s(t))",
        "y(t) = y(t-1) + (f(t) - y(t-1))/tau",
        "eps_f(t) = eps(t)/tau",
        "delta(t) = eps_f(t)*(1 - f(t)**2)",
        "dy = eps(t)*(1 - 1/tau)",
        "dtau = -eps(t)*(f(t) - y(t-1))/tau**2",
        "eps(t-1) = e(t-1) + dy + sum over connections c out of it of w*delta(t-1 + delay)",
        "e(t) = d - y   (units with a target, where there is one)",
        "dJ/dw(c) = sum over t of delta(t)*x(t - delay), c from x to s",
    ]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("gru", [
            "a(t) = sum over connections of w*rh(t - delay)   (rh of an input line: its input)",
            "eps_rh(t-1) = sum over connections c out of it into a of w*delta_a(t-1 + delay)",
            "p_a(t) = sum over connections of w*p_rh(t - delay), + rh(t - delay) for its own "
            "weight",
            "p_rh(t) = drh(t)/dar(t)*p_ar(t) + drh(t)/dh(t-1)*p_h(t-1)",
            "dJ/dw(c) = sum over t of delta_a(t)*rh(t - delay), c from rh to a",
        ]),
        ("ltc", [
            "s(t) = sum over connections of w*(A - v(t-1))*logistic(gamma*(-mu + x(t - delay)))",
            "ds/dv(t) = sum over connections of -w*logistic(gamma*(-mu + x(t - delay)))",
            "dv = delta(t)*ds/dv(t) + eps(t)*(1 - 1/tau)",
            "dJ/dA(c) = sum over t of delta(t)*w*logistic(gamma*(-mu + x(t - delay))), "
            "c from x to s",
        ]),
        ("a second state is read", [
            "eps_v(t-1) = dv + sum over connections c out of it into s of w*delta(t-1 + delay)",
        ]),
        ("fixed", [
            "dJ/dw(c) = sum over t of delta(t)*x(t - delay), c from x to s, where that is learnt",
        ]),
    ],
)  # fmt: skip
def test_further_connections_are_told(name: str, wanted: list[str]) -> None:
    for line in wanted:
        assert line in lines(name), line


@pytest.mark.parametrize("name", NETS)
def test_every_kind_of_net_has_a_line_for_each_state_and_net_input(name: str) -> None:
    told, net = lines(name), NETS[name]
    for cell in net.cells:
        for s in (*cell.net_inputs, *cell.states):
            assert any(line.startswith(f"{s}(t) = ") for line in told), s
    assert not any("⁺" in line or "∂" in line or "̄" in line for line in told)
