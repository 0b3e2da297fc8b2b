"""Claims about the adjoint in continuous time as equations."""

from __future__ import annotations

from typing import Any

import pytest
import sympy

import derive
from derive.calculus.continuous_adjoint import continuous_derivation, costate_sign
from derive.errors import DerivationError
from derive.network.continuous import SCHEMES, ContinuousCell, discretize, state_space

y, v, s, o = derive.state("y"), derive.state("v"), derive.net_input("s"), derive.state("o")
tau, b = derive.parameter("tau", initial=2.0), derive.parameter("b")
RATE = {y: (-y + derive.logistic(s + b)) / tau}


def network(cell: Any, connections: Any = None, **more: Any) -> derive.Network:
    connections = derive.connect.full() if connections is None else connections
    return derive.Network(cell, 2, 1, connections, derive.SquaredError([1]), **more)


def equations(cell: Any) -> dict[str, str]:
    """The last equation of each name, without its number and ranges."""
    d = continuous_derivation(network(cell))
    return {n: str(d[n]).split(") ", 1)[1].split(",  ")[0] for n in d.names}


def test_the_costate_runs_against_the_slope_of_H() -> None:
    assert costate_sign() == -1


def test_of_a_leaky_unit_it_is_pearlmutters() -> None:
    """T_i·ẏ_i = −y_i + σ(x_i): his z is ε, his e has the other sign, his w_ij is from i to j."""
    found = equations(discretize({y: (-y + derive.logistic(s)) / tau}, 0.1))
    assert found["eps"] == "−ε̇_k(t) = e_k(t) − ε_k(t)/tau_k + Σ_{l∈U} w_lk·δ_l(t)"
    assert found["eps_last"] == "ε_k(t₁) = 0"
    assert found["eps(f)"] == "ε^(f)_k(t) = ε_k(t)/tau_k"
    assert found["delta"] == "δ_k(t) = f_k(t)·(1 − f_k(t))·ε^(f)_k(t)"
    assert found["gradient_w"] == "∂J^total(t₀,t₁)/∂w_ij = ∫_t₀…t₁ δ_i(t)·x_j(t) dt"
    assert found["gradient_tau"] == (
        "∂J^total(t₀,t₁)/∂tau_i = ∫_t₀…t₁ (y_i(t) − f_i(t))·ε_i(t)/tau_i² dt"
    )
    assert found["gradient_y0"] == "∂J^total(t₀,t₁)/∂y_k(t₀) = ε_k(t₀)"


def test_of_beers_unit_others_hear_the_readout() -> None:
    found = equations(
        discretize(
            ContinuousCell({y: (-y + s) / tau}, readouts={o: derive.logistic(y + b)}, output=o),
            0.1,
        )
    )
    assert found["eps"] == "ε_k(t) = e_k(t) + Σ_{l∈U} w_lk·δ_l(t)"
    assert found["eps(y)"] == "−ε̇^(y)_k(t) = o_k(t)·(1 − o_k(t))·ε_k(t) − ε^(y)_k(t)/tau_k"
    assert found["delta"] == "δ_k(t) = ε^(y)_k(t)/tau_k"
    assert found["gradient_b"] == ("∂J^total(t₀,t₁)/∂b_i = ∫_t₀…t₁ o_i(t)·(1 − o_i(t))·ε_i(t) dt")


def test_several_states_have_a_costate_each() -> None:
    found = equations(state_space([[-1, 2], [-3, -4]], [0, 1], dt=0.1))
    assert found["eps"] == ("−ε̇_k(t) = e_k(t) − ε_k(t) − 3·ε^(x2)_k(t) + Σ_{l∈U} w_lk·δ_l(t)")
    assert found["eps(x2)"] == "−ε̇^(x2)_k(t) = 2·ε_k(t) − 4·ε^(x2)_k(t)"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_scheme_and_the_step_play_no_part(scheme: str) -> None:
    first = continuous_derivation(network(discretize(RATE, 0.1)))
    assert str(continuous_derivation(network(discretize(RATE, 0.05, scheme)))) == str(first)


def test_it_prints_numbered_with_rules_and_as_latex() -> None:
    adjoint = derive.continuous_adjoint(network(discretize(RATE, 0.1)))
    text = str(adjoint)
    assert text.startswith("network: the adjoint in continuous time\n\n(1) s_k(t) = ")
    assert "Euler–Lagrange: (" in text and "The way back reads: x_l(t), f_k(t)." in text
    latex = adjoint.latex()
    assert r"-\dot{\varepsilon}_{k}(t) &= e_{k}(t) - \frac{\varepsilon_{k}(t)}" in latex
    assert r"\int_{t_0}^{t_1} \delta_{i}(t)\,x_{j}(t)\,\mathrm{d}t" in latex
    assert adjoint._repr_latex_() == latex
    assert [step.number for step in adjoint.equations] == [*range(1, len(adjoint.equations) + 1)]


def test_a_spec_and_the_library_will_do() -> None:
    net = network(discretize(RATE, 0.1))
    assert str(derive.continuous_adjoint(net.to_spec())) == str(derive.continuous_adjoint(net))
    assert derive.continuous_adjoint(network(derive.cells.leaky()))["gradient_tau"]


def test_cells_have_the_names_their_network_gives_them() -> None:
    cells = {
        name: {"rates": {"y": f"-y/{i + 2} + s"}, "dt": 0.1, "units": [i]}
        for i, name in enumerate(("slow", "fast"))
    }
    spec = network(discretize(RATE, 0.1)).to_spec()
    del spec["cell"]
    text = str(derive.continuous_adjoint({**spec, "cells": cells}))
    assert "k with cell slow" in text and "k with cell fast" in text


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (lambda: network(derive.cells.semilinear()), "cell 'semilinear' states its next value"),
        (lambda: network(discretize(RATE, 0.1), [(0, 1), (1, 0, 3)]), "a connection of delay 3"),
        (
            lambda: network(
                discretize(ContinuousCell({y: -y}, readouts={o: sympy.tanh(y + s)}), 0.1)
            ),
            "readout 'o' of cell 'cell' depends on net input 's'",
        ),
    ],
)
def test_what_has_no_continuous_time_is_refused(net: Any, message: str) -> None:
    with pytest.raises(DerivationError, match=message):
        derive.continuous_adjoint(net())
