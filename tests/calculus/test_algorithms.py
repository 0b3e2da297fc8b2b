"""What each algorithm's derivation says, beside what it computes: lines, titles, what is kept."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import sympy
from sympy import KroneckerDelta, Sum

from derive.calculus import indexed as ix
from derive.calculus.derivation import Derivation, derivation
from derive.calculus.horizon import EPOCHWISE, REALTIME, WINDOW, truncated
from derive.calculus.indexed import h, h2, i, j, k, l, t, t0, t1, tau
from derive.errors import DerivationError
from derive.network import connect
from derive.network.cell import Cell
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.network.symbols import net_input, parameter, state
from tests.calculus.reading import assert_well_written, chain_rules_that_hold
from tests.strategies import adaptive, chained, deaf, gated, shared_leak

DELAYED = [(0, 1, 2), (0, 0), (1, 0, 3), (1, 3), (2, 1, 2), (2, 2, 1), (2, 4, 2), (0, 3, 5)]
OPTIONS = {
    "epochwise": {},
    "realtime": {},
    "truncated": {"h": 9, "h_prime": 3},
    "rtrl": {},
    "hybrid": {"h": 16},
    "settling": {},
}
every_algorithm = pytest.mark.parametrize("algorithm", OPTIONS)
forcing = pytest.mark.parametrize("forced", [False, True], ids=["free", "forced"])


def of(cell, algorithm: str, connections=None, units=3, inputs=2, **options) -> Derivation:
    """The derivation of a small network."""
    pattern = connect.full() if connections is None else connections
    net = Network(cell, units, inputs, pattern, SquaredError([2]), name="wz3x5")
    return derivation(net, algorithm, {**OPTIONS[algorithm], **options})


def lines(d: Derivation, *names: str) -> list[str]:
    """Equations without their numbers."""
    return [str(d[name]).partition(") ")[2] for name in names]


# --- the plain net -------------------------------------------------------------------------------


def test_realtime_injects_the_error_of_the_last_step_only() -> None:
    d = of(semilinear("tanh"), "realtime")
    assert lines(d, "direct", "eps_last", "delta", "eps", "gradient_w", "update") == [
        "∂J(t)/∂y_k(τ) = e_k(t)·1{t=τ},  k∈U",
        "ε_k(t) = e_k(t),  k∈U",
        "δ_k(τ) = (1 − y_k(τ)²)·ε_k(τ),  k∈U,  τ = t…t₀+1",
        "ε_k(τ−1) = Σ_{l∈U} w_lk·δ_l(τ),  k∈U,  τ = t…t₀+2",
        "∂J(t)/∂w_ij = Σ_{τ=t₀+1…t} δ_i(τ)·x_j(τ−1),  i∈U,  j∈U∪I",
        "Δw_ij = η·∂J(t)/∂w_ij",
    ]


def test_truncated_goes_back_through_h_steps_and_injects_at_the_newest() -> None:
    d = of(semilinear("tanh"), "truncated")
    assert lines(d, "J_total", "delta", "eps", "gradient_w") == [
        "J^total(t−h′,t) = Σ_{τ=t−h′+1…t} J(τ)",
        "δ_k(τ) = (1 − y_k(τ)²)·ε_k(τ),  k∈U,  τ = t…t−h+1",
        "ε_k(τ−1) = {e_k(τ−1) for τ ≥ t−h′+2; 0 otherwise} + Σ_{l∈U} w_lk·δ_l(τ),  k∈U,  "
        "τ = t…t−h+2",
        "∂J^total(t−h′,t)/∂w_ij ≈ Σ_{τ=t−h+1…t} δ_i(τ)·x_j(τ−1),  i∈U,  j∈U∪I",
    ]
    assert "h = 9: how many steps go into one gradient." in d.notes
    assert "h′ = 3: how many steps lie between two gradients." in d.notes


def test_truncated_with_one_step_between_gradients_is_of_one_error() -> None:
    d = of(semilinear("tanh"), "truncated", h_prime=1)
    assert lines(d, "eps", "gradient_w") == [
        "ε_k(τ−1) = Σ_{l∈U} w_lk·δ_l(τ),  k∈U,  τ = t…t−h+2",
        "∂J(t)/∂w_ij ≈ Σ_{τ=t−h+1…t} δ_i(τ)·x_j(τ−1),  i∈U,  j∈U∪I",
    ]


def test_recurrent_learning_carries_p_forward() -> None:
    d = of(semilinear("tanh"), "rtrl")
    assert lines(d, "p_w_definition", "p_w", "p_start_w", "gradient_w", "update") == [
        "p^k_ij(τ) = ∂⁺y_k(τ)/∂w_ij,  k∈U,  i∈U,  j∈U∪I",
        "p^k_ij(τ) = (1 − y_k(τ)²)·(x_j(τ−1)·1{i=k} + Σ_{l∈U} w_kl·p^l_ij(τ−1)),  k∈U,  i∈U,  "
        "j∈U∪I,  τ = t₀+1…t",
        "p^k_ij(t₀) = 0,  k∈U,  i∈U,  j∈U∪I",
        "∂J(t)/∂w_ij = Σ_{k∈U} e_k(t)·p^k_ij(t),  i∈U,  j∈U∪I",
        "Δw_ij = η·∂J(t)/∂w_ij",
    ]


def test_p_is_a_sympy_object_like_everything_else() -> None:
    found = of(semilinear("tanh"), "rtrl")["p_w"].right
    p, w, x, y = (ix.signal(name) for name in "pwxy")
    brought = Sum(w[k, l] * p[l, i, j, tau - 1], (l, *ix.UNITS))
    own = x[j, tau - 1] * KroneckerDelta(i, k)
    assert found == (1 - y[k, tau] ** 2) * (brought + own)


def test_subgroups_keep_sums_and_units_within_a_group() -> None:
    d = of(semilinear("tanh"), "rtrl", groups=[[0, 2], [1]])
    assert lines(d, "p_w", "gradient_w") == [
        "p^k_ij(τ) ≈ (1 − y_k(τ)²)·(x_j(τ−1)·1{i=k} + Σ_{l∈G(k)} w_kl·p^l_ij(τ−1)),  k∈U,  i∈U,  "
        "j∈U∪I,  k∈G(i),  τ = t₀+1…t",
        "∂J(t)/∂w_ij ≈ Σ_{k∈G(i)} e_k(t)·p^k_ij(t),  i∈U,  j∈U∪I",
    ]
    assert any("the groups are {0, 2}, {1}." in note for note in d.notes)


def test_hybrid_adds_what_the_window_starts_from() -> None:
    d = of(semilinear("tanh"), "hybrid")
    back, on = ("eps", "boundary", "gradient_w"), ("zeta_last", "zeta", "zeta_boundary", "p_w")
    assert lines(d, *back, *on) == [
        "ε_k(τ−1) = e_k(τ−1) + Σ_{l∈U} w_lk·δ_l(τ),  k∈U,  τ = t…t−h+2",
        "ε_k(t−h) = Σ_{l∈U} w_lk·δ_l(t−h+1),  k∈U",
        "∂J^total(t−h,t)/∂w_ij = Σ_{τ=t−h+1…t} δ_i(τ)·x_j(τ−1) + Σ_{l∈U} ε_l(t−h)·p^l_ij(t−h),  "
        "i∈U,  j∈U∪I",
        "ζ^q_k(t) = 1{k=q},  q∈U,  k∈U",
        "ζ^q_k(τ−1) = Σ_{l∈U} w_lk·δ^q_l(τ),  q∈U,  k∈U,  τ = t…t−h+2",
        "ζ^q_k(t−h) = Σ_{l∈U} w_lk·δ^q_l(t−h+1),  q∈U,  k∈U",
        "p^q_ij(t) = Σ_{τ=t−h+1…t} δ^q_i(τ)·x_j(τ−1) + Σ_{l∈U} ζ^q_l(t−h)·p^l_ij(t−h),  q∈U,  "
        "i∈U,  j∈U∪I",
    ]  # fmt: skip
    assert not d["boundary"].right.has(ix.e)


def test_boundary_of_a_delayed_net_runs_over_the_lags() -> None:
    d = of(semilinear("tanh"), "hybrid", DELAYED)
    assert lines(d, "boundary_earlier", "gradient_w", "p_w") == [
        "ε^(∂)_k(t−h−r) = Σ_{D=r+1…D₁} Σ_{l∈U} w_lk^(D)·δ_l(t−h−r+D),  k∈U,  r = 1…D₁−1",
        "∂J^total(t−h,t)/∂w_ij^(D) = Σ_{τ=t−h+1…t} δ_i(τ)·x_j(τ−D) + "
        "Σ_{l∈U} ε_l(t−h)·p^l_ij,D(t−h) + "
        "Σ_{r=1…D₁−1} Σ_{l∈U} ε^(∂)_l(t−h−r)·p^l_ij,D(t−h−r),  i∈U,  j∈U∪I,  D∈𝒟",
        "p^q_ij,D(t−r′) = Σ_{τ=t−h+1…t−r′} δ^q_i(τ)·x_j(τ−D) + "
        "Σ_{l∈U} ζ^q_l(t−h)·p^l_ij,D(t−h) + "
        "Σ_{r=1…D₁−1} Σ_{l∈U} ζ^q_(∂)l(t−h−r)·p^l_ij,D(t−h−r),  q∈U,  i∈U,  j∈U∪I,  D∈𝒟,  "
        "r′ = 0…D₁−1,  r′ < h",
    ]


def test_settling_is_one_linear_equation_for_all_weights() -> None:
    d = of(semilinear("tanh"), "settling")
    assert lines(d, "y*", "p_w*", "delta", "eps", "gradient_w", "relaxed_eps") == [
        "y*_k = tanh(s*_k),  k∈U",
        "p*^k_ij = (1 − y*_k²)·p*^(s)k_ij,  k∈U,  i∈U,  j∈U∪I",
        "δ_k = (1 − y*_k²)·ε_k,  k∈U",
        "ε_k = e_k + Σ_{l∈U} w_lk·δ_l,  k∈U",
        "∂J/∂w_ij = δ_i·x*_j,  i∈U,  j∈U∪I",
        "ε_k(ρ) = e_k + Σ_{l∈U} w_lk·δ_l(ρ−1),  k∈U,  ρ ≥ 1",
    ]


def test_settling_leaky_unit_carries_its_epsilon() -> None:
    d = of(leaky("tanh"), "settling")
    assert lines(d, "eps") == ["ε_k = e_k + (1 − 1/tau_k)·ε_k + Σ_{l∈U} w_lk·δ_l,  k∈U"]


def test_forced_output_passes_no_derivative_on() -> None:
    d = of(leaky("tanh"), "epochwise", teacher_forcing=True)
    assert lines(d, "x", "dx_dy", "eps") == [
        "x_k(τ) = T_k(τ)·d_k(τ) + y_k(τ)·(1 − T_k(τ)),  k∈U",
        "∂x_k(τ)/∂y_k(τ) = 1 − T_k(τ),  k∈U",
        "ε_k(τ−1) = e_k(τ−1) + "
        "(1 − T_k(τ−1))·((1 − 1/tau_k)·ε_k(τ) + Σ_{l∈U} w_lk·δ_l(τ)),  k∈U,  τ = t₁…t₀+2",
    ]
    # Where a unit is forced nothing but the error is left; at the start nothing is forced.
    assert d["eps"].right.xreplace({ix.MEMBER[k, tau - 1]: sympy.S.One}) == ix.e[k, tau - 1]
    assert not d["gradient_y0"].right.has(ix.MEMBER)


def test_forced_leak_goes_on_from_the_target() -> None:
    d = of(leaky("tanh"), "rtrl", teacher_forcing=True)
    assert lines(d, "y", "p_w") == [
        "y_k(τ) = x_k(τ−1) + (f_k(τ) − x_k(τ−1))/tau_k,  k∈U,  τ = t₀+1…t",
        "p^k_ij(τ) = (1 − 1/tau_k)·(1 − T_k(τ−1))·p^k_ij(τ−1) + "
        "(1 − f_k(τ)²)·(x_j(τ−1)·1{i=k} + "
        "Σ_{l∈U} w_kl·(1 − T_l(τ−1))·p^l_ij(τ−1))/tau_k,  k∈U,  i∈U,  j∈U∪I,  τ = t₀+1…t",
    ]


# --- states, net inputs, parameters --------------------------------------------------------------


def test_p_of_a_second_state_and_by_a_parameter_are_told_apart() -> None:
    d = of(adaptive(), "rtrl")
    assert lines(d, "p_w", "p(v)_w", "p(v)_a") == [
        "p^k_ij(τ) = a_k·(f_k(τ)² − 1)·p^(v)k_ij(τ−1) + "
        "(1 − f_k(τ)²)·(x_j(τ−1)·1{i=k} + Σ_{l∈U} w_kl·p^l_ij(τ−1)),  k∈U,  i∈U,  j∈U∪I,  "
        "τ = t₀+1…t",
        "p^(v)k_ij(τ) = b_k·p^k_ij(τ−1) + (1 − b_k)·p^(v)k_ij(τ−1),  k∈U,  i∈U,  j∈U∪I,  "
        "τ = t₀+1…t",
        "p^(v)k_(a)i(τ) = b_k·p^k_(a)i(τ−1) + (1 − b_k)·p^(v)k_(a)i(τ−1),  k∈U,  i∈U,  τ = t₀+1…t",
    ]


def test_every_net_input_has_its_own_weights_and_brings_all_p() -> None:
    d = of(gated(), "rtrl")
    assert lines(d, "p(s)_w(gate)", "p(gate)_w(gate)", "p(s)_c") == [
        "p^(s)k_(gate)ij(τ) = Σ_{l∈U} w^(s)_kl·p^l_(gate)ij(τ−1),  k∈U,  i∈U,  j∈U∪I,  τ = t₀+1…t",
        "p^(gate)k_(gate)ij(τ) = x_j(τ−1)·1{i=k} + Σ_{l∈U} w^(gate)_kl·p^l_(gate)ij(τ−1),  k∈U,  "
        "i∈U,  j∈U∪I,  τ = t₀+1…t",
        "p^(s)k_(c)i(τ) = Σ_{l∈U} w^(s)_kl·p^l_(c)i(τ−1),  k∈U,  i∈U,  τ = t₀+1…t",
    ]


def test_p_by_a_shared_parameter_has_no_unit_of_its_own() -> None:
    d = of(shared_leak(), "rtrl")
    assert lines(d, "gradient_tau") == ["∂J(t)/∂tau = Σ_{k∈U} e_k(t)·p^k_(tau)(t)"]
    assert not d["p_tau"].right.has(KroneckerDelta)


def test_slope_of_several_ways_keeps_its_name_and_one_of_a_single_way_does_not() -> None:
    d = of(chained(), "rtrl")
    named = [str(v) for v in d["p_w"].right.atoms(ix.Within)]
    assert named == ["Within(y[k, τ], h[k, τ - 1])"]
    assert any("∂°" in note for note in d.notes)
    assert not any("∂°" in note for note in of(semilinear("tanh"), "rtrl").notes)


def test_letter_that_an_algorithm_needs_is_not_the_cells() -> None:
    """p is a sensitivity in recurrent learning; epochwise has no use for the letter."""
    s, y = net_input("s"), state("y")
    p, q = state("p"), parameter("q", shared=True)
    cell = Cell(states={y: sympy.tanh(s + p), p: q * p + y}, output=y, name="lettered")
    assert "p_k(τ) =" in str(of(cell, "epochwise"))
    learning, hybrid = of(cell, "rtrl"), of(cell, "hybrid")
    assert "p′ is the cell's p." in learning.notes and "p′_k(τ) =" in str(learning)
    assert "q′ is the cell's q." in hybrid.notes


def test_cell_that_learns_nothing_has_p_of_zero() -> None:
    still = Cell.from_text({"y": "y/2"}, net_inputs=(), name="still")
    d = of([semilinear("tanh"), still, leaky("tanh")], "rtrl", [(0, 1), (0, 0), (2, 0)])
    assert lines(d, "p_w/still")[0].startswith("p^k_ij(τ) = 0,  k with cell still")


# --- what all have in common ---------------------------------------------------------------------

CELLS = {
    "plain": semilinear("tanh"),
    "leaky": leaky("tanh", bias=True),
    "two states": adaptive(),
    "two net inputs": gated(),
    "chained": chained(),
    "mixed": [gated(), adaptive(), deaf()],
}


def drawn(name: str, delay: int = 1) -> object:
    if name == "mixed":
        return [(1, 0, delay), (1, 1)]
    return connect.full(delay)


@every_algorithm
@forcing
@pytest.mark.parametrize("delay", [1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_equations_are_numbered_cite_earlier_ones_and_typeset(
    algorithm: str, forced: bool, name: str, delay: int
) -> None:
    d = of(CELLS[name], algorithm, drawn(name, delay), teacher_forcing=forced)
    assert_well_written(d)
    assert d["update" if name in CELLS and "update" in d.names else d.names[-1]]


@every_algorithm
@pytest.mark.parametrize("name", ["plain", "leaky", "two states", "two net inputs", "chained"])
def test_chain_rule_becomes_the_result_when_its_partials_are_put_in(
    algorithm: str, name: str
) -> None:
    assert chain_rules_that_hold(of(CELLS[name], algorithm)) >= 2


@every_algorithm
@forcing
def test_no_line_depends_on_the_size_of_the_network(algorithm: str, forced: bool) -> None:
    small = of(leaky("tanh"), algorithm, teacher_forcing=forced)
    net = Network(leaky("tanh"), 1000, 20, connect.random(0.01, 0), SquaredError([2]), name="wz3x5")
    large = derivation(net, algorithm, {**OPTIONS[algorithm], "teacher_forcing": forced})
    assert large.steps == small.steps
    assert (large.kept, large.notes) == (small.kept, small.notes)


def test_every_derivation_is_the_same_under_every_hash_seed() -> None:
    script = (
        "from derive.calculus.derivation import derivation\n"
        "from derive.calculus.recipes import RECIPES\n"
        "from derive.network.library import leaky, semilinear\n"
        "from derive.network.network import Network\n"
        "from derive.network.objective import SquaredError\n"
        "cells = [leaky(), semilinear('softplus', bias=True), leaky('relu')]\n"
        f"net = Network(cells, 3, 2, {DELAYED}, SquaredError([2]))\n"
        "for name in RECIPES:\n"
        "    d = derivation(net, name, {'teacher_forcing': True})\n"
        "    print(d); print(d.latex())\n"
    )
    printed = set()
    for seed in ("0", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        env["PYTHONPATH"] = os.pathsep.join([p for p in sys.path if p])
        run = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, check=True
        )
        printed.add(run.stdout)
    assert len(printed) == 1
    assert len(printed.pop()) > 10_000


# --- titles, what is kept, options ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "options", "title"),
    [
        ("epochwise", {}, "epochwise backpropagation through time"),
        ("realtime", {}, "real-time backpropagation through time, BPTT(∞)"),
        ("truncated", {}, "truncated backpropagation through time, BPTT(9;3)"),
        ("truncated", {"h_prime": 1}, "truncated backpropagation through time, BPTT(9)"),
        ("rtrl", {}, "real-time recurrent learning"),
        ("rtrl", {"groups": [[0], [1, 2]]},
         "subgrouped real-time recurrent learning, 2 groups"),
        ("hybrid", {},
         "FP/BPTT(16) hybrid of real-time recurrent learning and backpropagation through time"),
        ("settling", {"tol": 1e-9}, "recurrent backpropagation at a fixed point"),
        ("rtrl", {"teacher_forcing": True}, "real-time recurrent learning, with teacher forcing"),
    ],
)  # fmt: skip
def test_first_line_names_the_network_and_the_algorithm(
    algorithm: str, options: dict, title: str
) -> None:
    assert str(of(semilinear("tanh"), algorithm, **options)).startswith(f"wz3x5: {title}\n\n")


def test_length_of_a_window_may_stay_a_letter() -> None:
    net = Network(semilinear("tanh"), 1, 0, [(0, 0)], SquaredError([0]))
    assert "BPTT(h)" in str(derivation(net, "truncated"))
    assert "FP/BPTT(h)" in str(derivation(net, "hybrid"))


@pytest.mark.parametrize(
    ("algorithm", "cell", "kept"),
    [
        ("realtime", leaky("tanh"), "Kept for the way back: x_l(τ), f_k(τ)."),
        ("truncated", semilinear("softplus"), "Kept for the way back: x_l(τ), s_k(τ)."),
        ("rtrl", adaptive(),
         "Carried from step to step: p^k_ij(τ), p^(v)k_ij(τ), p^k_(a)i(τ), p^(v)k_(a)i(τ)."),
        ("hybrid", semilinear("tanh"),
         "Kept for the way back, and for the next window: x_l(τ), p^k_ij(t−h)."),
        ("settling", leaky("tanh"), "Needed of the fixed point: x*_l, f*_k."),
    ],
)  # fmt: skip
def test_derivation_says_what_must_be_kept_and_what_for(algorithm: str, cell, kept: str) -> None:
    assert kept in str(of(cell, algorithm))


def test_forced_output_must_be_kept_since_others_hear_the_target() -> None:
    y = ix.signal("y")
    assert y[k, tau] not in of(semilinear("tanh"), "epochwise").kept
    assert y[k, tau] in of(semilinear("tanh"), "epochwise", teacher_forcing=True).kept


@pytest.mark.parametrize(
    ("algorithm", "options", "complaint"),
    [
        ("rtrl", {"h": 3}, "'rtrl' has no option 'h'; its options are accumulate, groups, "),
        ("epochwise", {"h_prime": 1}, "no option 'h_prime'"),
        ("truncated", {"h": 0}, "h must be a whole number of steps, at least 1, not 0"),
        ("hybrid", {"h": 2.5}, "h must be a whole number"),
        ("truncated", {"h": 3, "h_prime": 4}, "h_prime must be at most h = 3, not 4"),
        ("rtrl", {"groups": [[0], [1]]}, "groups must have every unit 0…2 once"),
    ],
)
def test_option_that_cannot_be_is_refused_by_name(
    algorithm: str, options: dict, complaint: str
) -> None:
    net = Network(semilinear("tanh"), 3, 0, [(0, 0)], SquaredError([0]))
    with pytest.raises(DerivationError, match=re.escape(complaint)):
        derivation(net, algorithm, options)


def test_unknown_algorithm_is_answered_with_those_there_are() -> None:
    net = Network(semilinear("tanh"), 1, 0, [(0, 0)], SquaredError([0]))
    with pytest.raises(DerivationError, match="'rtlr' has no derivation; .*'rtrl', 'hybrid'"):
        derivation(net, "rtlr")


# --- which errors are part of a horizon ----------------------------------------------------------

e = ix.e


@pytest.mark.parametrize(
    ("horizon", "time", "earliest", "latest", "found"),
    [
        (EPOCHWISE, tau, t0 + 1, t1 - 1, e[k, tau]),
        (EPOCHWISE, t1, t1, t1, e[k, t1]),
        (EPOCHWISE, t0, t0, t0, sympy.S.Zero),
        (REALTIME, tau, t0 + 1, t - 1, sympy.S.Zero),
        (REALTIME, t, t, t, e[k, t]),
        (REALTIME, t0, t0, t0, sympy.S.Zero),
        (WINDOW, tau, t - h + 1, t - 1, e[k, tau]),
        (WINDOW, t - h, t - h, t - h, sympy.S.Zero),
        (truncated(False), tau, t - h + 1, t - 1, sympy.S.Zero),
        (truncated(True), t, t, t, e[k, t]),
        (truncated(True), tau, t - h + 1, t - 1,
         sympy.Piecewise((e[k, tau], tau >= t - h2 + 1), (0, True))),
    ],
)  # fmt: skip
def test_error_is_injected_where_its_time_is_one_of_the_totals(
    horizon, time, earliest, latest, found
) -> None:
    assert horizon.injected(time, earliest, latest) == found
