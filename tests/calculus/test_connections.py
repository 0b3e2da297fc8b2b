"""Derivations of networks whose connections are of further kinds: what they say."""

from __future__ import annotations

import re

import numpy as np
import pytest

from derive.calculus import indexed as ix
from derive.calculus.derivation import Derivation, derivation
from derive.errors import DerivationError
from derive.network import connect
from derive.network.library import semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.network.topology import Connection
from tests.calculus import connected
from tests.calculus.connected import NETS, gru, ltc, net_of
from tests.calculus.following import END, followed
from tests.calculus.oracle import STEP, relative, run
from tests.calculus.reading import assert_well_written, chain_rules_that_hold
from tests.strategies import data

ALGORITHMS = {
    "epochwise": {},
    "realtime": {},
    "truncated": {"h": 9, "h_prime": 3},
    "rtrl": {},
    "hybrid": {"h": 16},
    "settling": {},
}
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
STEPS = 4


def lines(d: Derivation, *names: str) -> list[str]:
    """Equations without their numbers."""
    return [str(d[name]).partition(") ")[2] for name in names]


# --- what they say -------------------------------------------------------------------------------


def test_state_that_is_heard_in_the_same_step_gets_what_its_connections_bring_back() -> None:
    d = derivation(NETS["gru"])
    names = ("a", "x(rh)", "eps_last", "eps(rh)_last", "eps(rh)", "gradient_w(a)", "gradient_rh0")
    assert lines(d, *names) == [
        "a_k(τ) = Σ_{D∈𝒟} Σ_{l∈U∪I} w^(a)_kl^(D)·x^(rh)_l(τ−D),  k∈U,  τ = t₀+1…t₁",
        "x^(rh)_k(τ) = rh_k(τ),  k∈U",
        "ε_k(t₁) = e_k(t₁),  k∈U",
        "ε^(rh)_k(t₁) = Σ_{l∈U} w^(a)_lk^(0)·δ^(a)_l(t₁),  k∈U",
        "ε^(rh)_k(τ) = Σ_{D∈𝒟} Σ_{l∈U} w^(a)_lk^(D)·δ^(a)_l(τ+D),  k∈U,  τ = t₁−1…t₀+1",
        "∂J^total(t₀,t₁)/∂w^(a)_ij^(D) = Σ_{τ=t₀+1…t₁} δ^(a)_i(τ)·x^(rh)_j(τ−D),  i∈U,  j∈U∪I,  "
        "D∈𝒟",
        "∂J^total(t₀,t₁)/∂rh_k(t₀) = Σ_{D=1…D₁} Σ_{l∈U} w^(a)_lk^(D)·δ^(a)_l(t₀+D),  k∈U",
    ]
    assert "x^(rh)_l(τ) is x_l(τ) of an input." in d.notes
    assert "x_l(τ), x^(rh)_l(τ) = 0 for τ < t₀." in d.notes
    assert any(note.startswith("𝒟 = {0, 1}: the delays; ") for note in d.notes)


def test_sums_over_the_times_a_signal_is_heard_at_begin_with_its_own() -> None:
    net = NETS["leaks at once"]
    back = [q.right for q in derivation(net) if q.name == "eps"][0]
    (heard,) = [v for v in back.atoms(ix.Sum) if v.has(ix.tau2)]
    assert heard.limits[-1] == (ix.tau2, ix.tau, ix.t1)
    on = [q.right for q in derivation(net, "rtrl") if q.name == "p(s)_w"][0]
    (heard,) = [v for v in on.atoms(ix.Sum) if v.has(ix.tau2)]
    assert heard.limits[-1] == (ix.tau2, ix.t0, ix.tau)


def test_net_without_delay_0_has_the_limits_it_had() -> None:
    net = net_of(semilinear("tanh"), connected.SPARSE)
    back = [q.right for q in derivation(net) if q.name == "eps"][0]
    (heard,) = [v for v in back.atoms(ix.Sum) if v.has(ix.tau2)]
    assert heard.limits[-1] == (ix.tau2, ix.tau + 1, ix.t1)


def test_layer_hears_the_one_before_in_the_same_step() -> None:
    d = derivation(NETS["layers at once"])
    assert lines(d, "eps_last", "gradient_y0") == [
        "ε_k(t₁) = e_k(t₁) + Σ_{l∈U} w_lk^(0)·δ_l(t₁),  k∈U",
        "∂J^total(t₀,t₁)/∂y_k(t₀) = Σ_{D=1…D₁} Σ_{l∈U} w_lk^(D)·δ_l(t₀+D),  k∈U",
    ]


def test_sensitivity_of_a_net_input_is_by_those_of_the_states_it_hears() -> None:
    d = derivation(NETS["gru"], "rtrl")
    assert lines(d, "p(a)_w(ar)", "p(rh)_w(ar)") == [
        "p^(a)k_(ar)ij,D(τ) = Σ_{D′∈𝒟} Σ_{l∈U} w^(a)_kl^(D′)·p^(rh)l_(ar)ij,D(τ−D′),  k∈U,  i∈U,  "
        "j∈U∪I,  D∈𝒟,  τ = t₀+1…t",
        "p^(rh)k_(ar)ij,D(τ) = r_k(τ)·p^k_(ar)ij,D(τ−1) + "
        "h_k(τ−1)·r_k(τ)·(1 − r_k(τ))·(x_j(τ−D)·1{i=k} + "
        "Σ_{D′∈𝒟} Σ_{l∈U} w^(ar)_kl^(D′)·p^l_(ar)ij,D(τ−D′)),  k∈U,  i∈U,  j∈U∪I,  D∈𝒟,  "
        "τ = t₀+1…t",
    ]


def test_connection_with_parameters_has_a_gradient_by_each_of_them() -> None:
    d = derivation(NETS["ltc"])
    assert lines(d, "s", "ds_dv", "gradient_w", "gradient_A") == [
        "s_k(τ) = Σ_{l∈U∪I} w_kl·logistic(gamma_kl·(x_l(τ−1) − mu_kl))·(A_kl − v_k(τ−1)),  k∈U,  "
        "τ = t₀+1…t₁",
        "∂s_k(τ)/∂v_k(τ−1) = Σ_{l∈U∪I} (−w_kl·logistic(gamma_kl·(x_l(τ−1) − mu_kl))),  k∈U,  "
        "τ = t₀+1…t₁",
        "∂J^total(t₀,t₁)/∂w_ij = Σ_{τ=t₀+1…t₁} logistic(gamma_ij·(x_j(τ−1) − mu_ij))·"
        "(A_ij − v_i(τ−1))·δ_i(τ),  i∈U,  j∈U∪I",
        "∂J^total(t₀,t₁)/∂A_ij = Σ_{τ=t₀+1…t₁} w_ij·logistic(gamma_ij·(x_j(τ−1) − mu_ij))·δ_i(τ),  "
        "i∈U,  j∈U∪I",
    ]
    assert lines(d, "eps")[0].startswith(
        "ε_k(τ−1) = e_k(τ−1) + (1 − 1/tau_k)·ε_k(τ) + δ_k(τ)·∂s_k(τ)/∂v_k(τ−1) + Σ_{l∈U} w_lk·"
    )
    assert "Kept for the way back: x_l(τ), s_k(τ), ∂s_k(τ)/∂v_k(τ−1)." in str(d)
    assert (
        "gamma_kl, mu_kl, A_kl: of the connection from l to k, learnt as its weight is." in d.notes
    )


def test_state_that_connections_look_at_is_kept_for_them() -> None:
    v = ix.signal("v")
    assert v[ix.k, ix.tau] in derivation(NETS["looking"]).kept


def test_net_inputs_of_one_name_that_differ_are_told_apart() -> None:
    d = derivation(NETS["one name, stated differently"])
    assert [line.partition(" = ")[0] for line in lines(d, "s", "s′", "s′′")] == [
        "s_k(τ)", "s′_k(τ)", "s′′_k(τ)",
    ]  # fmt: skip
    assert d["s"].ranges[0] == "k with cell semilinear"
    assert d["s′′"].ranges[0] == "k with cell reader"
    assert {"s′ is the s of cell ltc.", "s′′ is the s of cell reader."} <= set(d.notes)


def test_net_inputs_of_one_name_that_are_alike_are_one() -> None:
    net = net_of([semilinear("tanh"), semilinear("logistic"), semilinear("tanh")])
    d = derivation(net)
    assert "s′" not in d.names and d["s"].ranges[0] == "k∈U"


def test_shared_connection_shares_all_it_has() -> None:
    d = derivation(NETS["shared contributions"])
    assert lines(d, "gradient_shared_mu") == [
        "∂J^total(t₀,t₁)/∂mu_a = Σ_{D∈𝒟} Σ_{i∈U} Σ_{j∈U∪I} ∂J^total(t₀,t₁)/∂mu_ij^(D)·1{a=a(i,j,D)}"
    ]
    assert "gradient_shared" in d.names


def test_further_lags_of_a_heard_state_reach_into_the_window() -> None:
    d = derivation(NETS["gru, delayed"], "hybrid")
    assert lines(d, "boundary_earlier(rh)", "zeta(rh)_last[rh]") == [
        "ε^(∂, rh)_k(t−h−r) = Σ_{D=r+1…D₁} Σ_{l∈U} w^(a)_lk^(D)·δ^(a)_l(t−h−r+D),  k∈U,  "
        "r = 1…D₁−1",
        "ζ^(rh)q_(rh)k(t−r′) = 1{k=q} + Σ_{l∈U} w^(a)_lk^(0)·δ^(rh)q_(a)l(t−r′),  q∈U,  k∈U,  "
        "r′ = 0…D₁−1,  r′ < h",
    ]
    assert "boundary_earlier" not in derivation(NETS["gru"], "hybrid").names


def test_at_rest_no_delay_matters() -> None:
    d = derivation(NETS["gru"], "settling")
    assert lines(d, "eps(rh)", "relaxed_eps(rh)") == [
        "ε^(rh)_k = Σ_{D∈𝒟} Σ_{l∈U} w^(a)_lk^(D)·δ^(a)_l,  k∈U",
        "ε^(rh)_k(ρ) = Σ_{D∈𝒟} Σ_{l∈U} w^(a)_lk^(D)·δ^(a)_l(−D+ρ),  k∈U,  ρ ≥ 1",
    ]
    assert r"x^{*(\mathrm{rh})}_{l}" in d.latex()


# --- weights that are not learnt -----------------------------------------------------------------


def test_weights_that_are_not_learnt_are_told() -> None:
    told = "w_kl: given, and not learnt, for (k,l) = (0,1), (1,0)."
    d = derivation(NETS["fixed"])
    assert told in d.notes and "gradient_w" in d.names
    d = derivation(NETS["all fixed"])
    assert "w_kl^(D): given, and not learnt." in d.notes
    assert not {"gradient_w", "update", "ds_dw"} & set(d.names)
    assert "gradient_tau" in d.names
    assert not any("not learnt" in note for note in derivation(NETS["ltc"]).notes)


def test_fixed_and_learnt_weights_alone_make_none_shared() -> None:
    assert "gradient_shared" not in derivation(NETS["fixed"]).names


def test_net_of_which_nothing_is_learnt_has_no_gradient_at_rest() -> None:
    net = net_of(semilinear("tanh"), [Connection(0, 1, fixed=0.5), Connection(1, 3, fixed=1.0)])
    with pytest.raises(DerivationError, match="nothing of this network is learnt"):
        derivation(net, "settling")
    for algorithm in ("epochwise", "rtrl", "hybrid"):
        assert_well_written(derivation(net, algorithm))
    assert "gradient_x" in derivation(net).names


# --- teacher forcing -----------------------------------------------------------------------------


@every_algorithm
def test_forced_output_that_is_heard_in_the_same_step_is_refused(algorithm: str) -> None:
    net = net_of(semilinear("tanh"), [(1, 0, 0), (0, 2)], (0, 1))
    with pytest.raises(DerivationError, match="unit 1 hears the output of unit 0 in the same step"):
        derivation(net, algorithm, {"teacher_forcing": True})
    assert derivation(net, algorithm)


@every_algorithm
def test_output_without_target_may_be_heard_in_the_same_step(algorithm: str) -> None:
    net = net_of(semilinear("tanh"), [(1, 0, 0), (0, 2)], (1, 2))
    assert derivation(net, algorithm, {"teacher_forcing": True})
    assert derivation(NETS["gru"], algorithm, {"teacher_forcing": True})


def test_forced_state_that_connections_look_at_is_the_target() -> None:
    d = derivation(NETS["ltc"], options={"teacher_forcing": True})
    assert "(A_kl − x_k(τ−1))" in str(d["s"])
    assert str(d["ds_dv"].left) == "Within(s[k, τ], x[k, τ - 1])"
    assert any("or what connections look at of it" in note for note in d.notes)


# --- what all have in common ---------------------------------------------------------------------


@every_algorithm
@pytest.mark.parametrize("name", ["gru, delayed", "ltc", "one name, stated differently", "fixed"])
def test_equations_are_numbered_cite_earlier_ones_and_typeset(algorithm: str, name: str) -> None:
    net = NETS[name]
    for forced in [False, True] if connected.forcible(net) else [False]:
        options = {**ALGORITHMS[algorithm], "teacher_forcing": forced}
        assert_well_written(derivation(net, algorithm, options))


@every_algorithm
@pytest.mark.parametrize("name", ["ltc", "looking", "fixed"])
def test_chain_rule_becomes_the_result_when_its_partials_are_put_in(
    algorithm: str, name: str
) -> None:
    assert chain_rules_that_hold(derivation(NETS[name], algorithm, ALGORITHMS[algorithm])) >= 2


@every_algorithm
@pytest.mark.parametrize("cell", [gru, ltc])
def test_no_line_depends_on_the_size_of_the_network(algorithm: str, cell) -> None:
    small = Network(cell(), 3, 2, connect.full(), SquaredError([2]), name="net")
    large = Network(cell(), 200, 20, connect.random(0.1, 0), SquaredError([2]), name="net")
    few, many = (derivation(net, algorithm, ALGORITHMS[algorithm]) for net in (small, large))
    assert (few.steps, few.kept, few.notes) == (many.steps, many.kept, many.notes)


@connected.every_case(NETS)
def test_gradient_by_inputs_and_initial_state(net: Network, forced: bool) -> None:
    values = data(net, STEPS, seed=4)
    f = followed(net, values, "epochwise", teacher_forcing=forced)
    f.forward(STEPS)
    f.back(1, STEPS)

    def slope(name: str, at: tuple[int, ...]) -> float:
        moved = getattr(values, name).astype(complex)
        moved[at] += 1j * STEP
        there = values._replace(**{name: moved})
        return float(run(net, there, lambda _: values.theta, forced)[1].sum().imag / STEP)

    for m in range(net.inputs):
        step = f.results["gradient_x"]
        found = [
            f(step.right, {ix.j: net.units + m, ix.tau: time, END: STEPS}) for time in range(STEPS)
        ]
        assert relative(np.array(found), [slope("x", (time, m)) for time in range(STEPS)]) < 1e-12
    for column, (unit, name) in enumerate(net.states):
        cells = re.compile(rf"gradient_{name}0(/(?P<cell>.*))?$")
        (step,) = [
            q
            for q in f.results.values()
            if (match := cells.match(q.name))
            and (match["cell"] is None or unit in f.units(match["cell"]))
        ]
        found = f(step.right, {ix.k: unit, END: STEPS})
        assert abs(found - slope("y0", (column,))) < 1e-12


@pytest.mark.parametrize("algorithm", ["epochwise", "rtrl"])
@pytest.mark.parametrize(
    "name", ["gru, delayed", "leaks at once", "ltc, delayed", "a second state is read at once"]
)
def test_chain_rule_has_the_value_of_its_result(algorithm: str, name: str) -> None:
    """Where delays differ, what is found has been summed over time: numbers show it is the same."""
    net = NETS[name]
    f = followed(net, data(net, STEPS, seed=4), algorithm)
    f.forward(STEPS)
    if algorithm == "epochwise":
        f.back(1, STEPS)
    slopes = [
        q for q in f.d if re.match(r"d[^i]|slope_", q.name) and q.left.has(ix.Slope, ix.Within)
    ]
    there_and_back = {ix.k: ix.l, ix.l: ix.k, ix.tau: ix.tau2, ix.tau2: ix.tau, ix.D: ix.D2}
    tried = 0
    for first, last in zip(f.d.steps, f.d.steps[1:], strict=False):
        chained = first.left == last.left and first.rule.startswith("chain rule over")
        if not chained or first.name.startswith("gradient"):
            continue
        cell = last.name.partition("/")[2]
        found: dict = {}
        for q in slopes:
            if q.name.partition("/")[2] in ("", cell):
                for turned in ({}, {ix.tau: ix.tau + 1}, there_and_back):
                    found[q.left.xreplace(turned)] = q.right.xreplace(turned)
        raw = first.right
        for _ in range(4):
            raw = raw.xreplace(found)
        times = range(1, STEPS) if last.name.startswith("eps") else range(1, STEPS + 1)
        for time in times:
            at = {ix.tau: time, END: STEPS}
            for given in f.ranges(last, at):
                value = f.value[f.key(last.left, given)]
                assert abs(f(raw, given) - value) < 1e-12, str(first)
                tried += 1
    assert tried > 20
