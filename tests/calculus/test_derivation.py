"""What a derivation says: as SymPy objects, as printed lines, and the same every time."""

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
from derive.calculus.indexed import Change, Slope, Total, collapse, i, j, k, l, t, t0, t1, tau
from derive.errors import DerivationError
from derive.network import connect
from derive.network.cell import Cell
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.symbols import net_input, parameter, state
from derive.network.topology import Connection

DELAYED = [(0, 1, 2), (0, 0), (1, 0, 3), (1, 3), (2, 1, 2), (2, 2, 1), (2, 4, 2), (0, 3, 5)]

w, x = ix.w, ix.x
y, s, eps, delta, error = (ix.signal(name) for name in ("y", "s", "ε", "δ", "e"))
units, sources = (0, ix.n - 1), (0, ix.n + ix.m - 1)


def of(cell, connections=None, units=3, inputs=2, objective=None) -> Derivation:
    """The derivation of a small network."""
    pattern = connect.full() if connections is None else connections
    judged = SquaredError([2]) if objective is None else objective
    return derivation(Network(cell, units, inputs, pattern, judged, name="net"))


@pytest.fixture(scope="module")
def plain() -> Derivation:
    return of(semilinear("tanh"))


@pytest.fixture(scope="module")
def delayed() -> Derivation:
    return of(semilinear("logistic", bias=True), DELAYED)


@pytest.fixture(scope="module")
def two() -> Derivation:
    """A cell with two states, two net inputs, a shared parameter, and a name that is taken."""
    h, e, a, b = state("h"), state("e"), net_input("a"), net_input("b")
    p, q = parameter("p", shared=True), parameter("q")
    return of(Cell(states={h: sympy.tanh(e) + p * h, e: e * q + a * b}, name="two"), inputs=0)


def lines(d: Derivation, *names: str) -> list[str]:
    """Equations without their numbers."""
    return [str(d[name]).partition(") ")[2] for name in names]


# --- the plain net: the epochwise row ------------------------------------------------------------


def test_plain_net_reads_as_epochwise_backpropagation_through_time(plain):
    assert lines(plain, "s", "y", "eps_last", "delta", "eps", "gradient_w", "update") == [
        "s_k(τ) = Σ_{l∈U∪I} w_kl·x_l(τ−1),  k∈U,  τ = t₀+1…t₁",
        "y_k(τ) = tanh(s_k(τ)),  k∈U,  τ = t₀+1…t₁",
        "ε_k(t₁) = e_k(t₁),  k∈U",
        "δ_k(τ) = (1 − y_k(τ)²)·ε_k(τ),  k∈U,  τ = t₁…t₀+1",
        "ε_k(τ−1) = e_k(τ−1) + Σ_{l∈U} w_lk·δ_l(τ),  k∈U,  τ = t₁…t₀+2",
        "∂J^total(t₀,t₁)/∂w_ij = Σ_{τ=t₀+1…t₁} δ_i(τ)·x_j(τ−1),  i∈U,  j∈U∪I",
        "Δw_ij = η·∂J^total(t₀,t₁)/∂w_ij",
    ]


def test_plain_net_also_gives_the_gradient_by_inputs_and_initial_state(plain):
    assert lines(plain, "gradient_x", "gradient_y0") == [
        "∂J^total(t₀,t₁)/∂x_j(τ) = Σ_{l∈U} w_lj·δ_l(τ+1),  j∈I,  τ = t₀…t₁−1",
        "∂J^total(t₀,t₁)/∂y_k(t₀) = Σ_{l∈U} w_lk·δ_l(t₀+1),  k∈U",
    ]


def test_error_goes_back_along_the_transposed_weights(plain):
    back = plain["eps"].right
    assert back == error[k, tau - 1] + Sum(w[l, k] * delta[l, tau], (l, *units))
    assert back != error[k, tau - 1] + Sum(w[k, l] * delta[l, tau], (l, *units))


def test_gradient_is_a_sum_over_time_of_delta_and_source(plain):
    step = plain["gradient_w"]
    assert step.left == Slope(Total(t0, t1), w[i, j])
    assert step.right == Sum(delta[i, tau] * x[j, tau - 1], (tau, t0 + 1, t1))


def test_update_goes_up_the_gradient(plain):
    step = plain["update"]
    assert step.left == Change(w[i, j])
    assert step.right == ix.eta * Slope(Total(t0, t1), w[i, j])


def test_kronecker_delta_is_written_before_it_collapses_its_sum(plain):
    raw, found = (q.right for q in plain if q.name == "ds_dx")
    assert raw == Sum(w[l, j] * KroneckerDelta(j, k), (j, *sources))
    assert found == w[l, k]
    assert plain["ds_dw"].right == KroneckerDelta(i, k) * x[j, tau - 1]


def test_slope_of_the_squashing_function_is_differentiated_then_found(plain):
    raw, found = (q for q in plain if q.name == "dy_ds")
    assert raw.right == 1 - sympy.tanh(s[k, tau]) ** 2
    assert found.right == 1 - y[k, tau] ** 2
    assert found.rule == f"({raw.number}) in what the forward pass has, by ({plain['y'].number})"


def test_error_is_the_derivative_of_the_objective_on_units_with_a_target(plain):
    d = ix.d
    there = sympy.Eq(ix.MEMBER[k, t], 1)
    assert plain["e"].right == sympy.Piecewise((d[k, t] - y[k, t], there), (0, True))
    assert lines(plain, "J", "e") == [
        "J(t) = −1/2·Σ_{k∈T(t)} (d_k(t) − y_k(t))²",
        "e_k(t) = {d_k(t) − y_k(t) for k∈T(t); 0 otherwise},  k∈U",
    ]


def test_another_objective_gives_another_error():
    d = of(semilinear("logistic"), objective=Objective("d*log(y) + (1 - d)*log(1 - y)", [0]))
    there = d["e"].right.args[0][0]
    D, Y = ix.d[k, t], y[k, t]
    assert sympy.simplify(there - (D / Y - (1 - D) / (1 - Y))) == 0


def test_every_step_has_its_number_and_a_rule_that_cites_only_earlier_ones(plain, delayed, two):
    for d in (plain, delayed, two):
        assert [q.number for q in d.equations] == list(range(1, len(d) + 1))
        for q in d:
            cited = [int(number) for number in re.findall(r"\((\d+)\)", q.rule)]
            assert q.rule and all(number < q.number for number in cited)


def test_chain_rule_becomes_the_result_when_its_partials_are_put_in(plain, two):
    mixed = of([leaky(), semilinear("softplus"), leaky("relu")])
    tried = 0
    for d in (plain, two, mixed, of(leaky("softplus", bias=True))):
        for first, last in zip(d.steps, d.steps[1:], strict=False):
            if first.left != last.left or not first.rule.startswith("chain rule"):
                continue
            if first.name.startswith("gradient"):
                continue
            cell = last.name.partition("/")[2]
            partials = [q for q in d if isinstance(q.left, Slope) and q.name.startswith("d")]
            found = {q.left: q.right for q in partials if q.name.partition("/")[2] in ("", cell)}
            assert sympy.expand(first.right.xreplace(found) - last.right) == 0, str(last)
            tried += 1
    assert tried > 12


# --- the equations themselves, computed with -----------------------------------------------------

STEPS = 3


def follow(d: Derivation, units: int, inputs: int, longest: int, point=None):
    """Follow the equations on a small net, with letters, or with the numbers of ``point``.

    Gives J^total and what evaluates an expression; only with numbers the equations are
    followed backward too.
    """
    sizes = {ix.n: units, ix.m: inputs, ix.LONGEST: longest, t0: 0, t1: STEPS}
    sizes = {v: sympy.Integer(number) for v, number in sizes.items()}
    value: dict = {}

    def known(atom):
        unit, time = atom.indices[0], atom.indices[-1]
        if atom in value or atom.base.label.name == "w" or len(atom.indices) == 1:
            return value.get(atom, stated(atom))
        if atom.base == ix.MEMBER:
            return sympy.S.One
        if time < 0 or time > STEPS:
            return sympy.S.Zero
        assert atom.base in (x, ix.d, y) and (atom.base == ix.d or unit >= units or time == 0), atom
        return stated(atom)

    def stated(atom):
        return point.get(atom, atom) if point else atom

    def at(expr, **letters):
        letters = {{"k": k, "tau": tau, "t": t, "i": i, "j": j, "D": ix.D}[a]: sympy.Integer(v)
                   for a, v in letters.items()}  # fmt: skip
        expr = expr.xreplace({**sizes, **letters}).doit()
        expr = expr.xreplace({a: known(a) for a in expr.atoms(sympy.Indexed)})
        return sympy.N(expr, 40) if point else expr

    def take(name, **letters):
        left = d[name].left.xreplace({**sizes, k: letters["k"], tau: letters.get("tau", tau)})
        value[left.doit()] = at(d[name].right, **letters)

    inner = [v for v in ("f",) if v in d.names]
    every = [sympy.Integer(unit) for unit in range(units)]
    for unit in every:
        value[x[unit, 0]] = stated(y[unit, 0])
    for time in range(1, STEPS + 1):
        for name in ("s", *inner, "y", "x"):
            for unit in every:
                take(name, k=unit, tau=sympy.Integer(time))
    for time in range(1, STEPS + 1):
        for unit in every:
            value[error[unit, time]] = at(d["e"].right, k=unit, t=time)
        value[ix.J(sympy.Integer(time))] = at(d["J"].right, t=time)
    total = d["J_total"].right.xreplace(sizes).doit()
    total = total.xreplace({v: value[v] for v in total.atoms(ix.J)})
    if not point:
        return total, at
    for unit in every:
        take("eps_last", k=unit)
    shift = 0 if longest > 1 else 1
    for time in range(STEPS, 0, -1):
        for unit in every:
            if time < STEPS:
                take("eps", k=unit, tau=sympy.Integer(time + shift))
        for name in (*(f"eps({v})" for v in inner), "delta"):
            for unit in every:
                take(name, k=unit, tau=sympy.Integer(time))
    return total, at


@pytest.mark.parametrize(
    ("cell", "connections", "longest"),
    [
        (semilinear("tanh"), None, 1),
        (leaky("tanh"), None, 1),
        (semilinear("logistic", bias=True), [(0, 1, 2), (0, 0), (1, 2), (1, 0, 2)], 2),
        (leaky("s*s"), [(0, 1, 2), (1, 0), (0, 2), (1, 2, 2)], 2),
    ],
    ids=["plain", "leaky", "delayed", "leaky and delayed"],
)
def test_followed_on_a_small_net_the_equations_give_the_true_gradient(cell, connections, longest):
    """Two units, one input, three steps: every gradient against SymPy's of the unrolled J."""
    d = of(cell, connections, units=2, inputs=1, objective=SquaredError([0, 1]))
    total, letters = follow(d, 2, 1, longest)
    atoms = sorted(total.atoms(sympy.Indexed), key=str)
    # Any numbers do, if no two are alike: the weights are not symmetric.
    point = {a: sympy.Float(7 * place % 31 - 13, 40) / 19 for place, a in enumerate(atoms)}
    point |= {a: abs(v) + 2 for a, v in point.items() if a.base.label.name == "tau"}
    _, at = follow(d, 2, 1, longest, point)
    wanted, tried = [], set()
    for row in range(2):
        for column in range(3):
            for delay in range(1, longest + 1):
                here = dict(i=row, j=column) | (dict(D=delay) if longest > 1 else {})
                wanted.append(("gradient_w", here))
        wanted += [(f"gradient_{p}", dict(i=row)) for p in ("tau", "b")]
        wanted.append(("gradient_y0", dict(k=row)))
    wanted += [("gradient_x", dict(j=2, tau=time)) for time in range(STEPS)]
    wanted = [(name, here) for name, here in wanted if name in d.names]
    for name, here in wanted:
        by = letters(d[name].left.args[1], **here)
        if by not in point:  # no such connection, or too late to matter
            continue
        true = sympy.N(sympy.diff(total, by).xreplace(point), 40)
        assert abs(true - at(d[name].right, **here)) < 1e-30, (name, here)
        assert true != 0, (name, here)
        tried.add(name)
    assert {"gradient_w", "gradient_x", "gradient_y0"} <= tried


# --- other cells and connections -----------------------------------------------------------------


def test_leaky_unit_carries_its_error_and_learns_its_time_constant():
    d = of(leaky("tanh"))
    assert lines(d, "eps(f)", "delta", "eps", "gradient_tau", "gradient_y0") == [
        "ε^(f)_k(τ) = ε_k(τ)/tau_k,  k∈U,  τ = t₁…t₀+1",
        "δ_k(τ) = (1 − f_k(τ)²)·ε^(f)_k(τ),  k∈U,  τ = t₁…t₀+1",
        "ε_k(τ−1) = e_k(τ−1) + (1 − 1/tau_k)·ε_k(τ) + Σ_{l∈U} w_lk·δ_l(τ),  k∈U,  τ = t₁…t₀+2",
        "∂J^total(t₀,t₁)/∂tau_i = Σ_{τ=t₀+1…t₁} (y_i(τ−1) − f_i(τ))·ε_i(τ)/tau_i²,  i∈U",
        "∂J^total(t₀,t₁)/∂y_k(t₀) = (1 − 1/tau_k)·ε_k(t₀+1) + Σ_{l∈U} w_lk·δ_l(t₀+1),  k∈U",
    ]
    assert "tau_k is a parameter of the cell; τ is time." in d.notes


def test_fixed_time_constant_gets_no_gradient():
    assert "gradient_tau" in of(leaky("tanh")).names
    assert "gradient_tau" not in of(leaky("tanh", trainable=False)).names


def test_each_delay_brings_the_error_of_its_own_step_back(delayed):
    assert lines(delayed, "s", "eps", "gradient_w", "gradient_x", "gradient_y0") == [
        "s_k(τ) = Σ_{D∈𝒟} Σ_{l∈U∪I} w_kl^(D)·x_l(τ−D),  k∈U,  τ = t₀+1…t₁",
        "ε_k(τ) = e_k(τ) + Σ_{D∈𝒟} Σ_{l∈U} w_lk^(D)·δ_l(τ+D),  k∈U,  τ = t₁−1…t₀+1",
        "∂J^total(t₀,t₁)/∂w_ij^(D) = Σ_{τ=t₀+1…t₁} δ_i(τ)·x_j(τ−D),  i∈U,  j∈U∪I,  D∈𝒟",
        "∂J^total(t₀,t₁)/∂x_j(τ) = Σ_{D∈𝒟} Σ_{l∈U} w_lj^(D)·δ_l(τ+D),  j∈I,  τ = t₀…t₁−1",
        "∂J^total(t₀,t₁)/∂y_k(t₀) = Σ_{D∈𝒟} Σ_{l∈U} w_lk^(D)·δ_l(t₀+D),  k∈U",
    ]
    back = Sum(w[l, k, ix.D] * delta[l, tau + ix.D], (l, *units), (ix.D, *ix.DELAYS))
    assert delayed["eps"].right == error[k, tau] + back
    assert any(note.startswith("𝒟 = {1, 2, 3, 5}") for note in delayed.notes)


def test_logistic_unit_with_bias(delayed):
    assert lines(delayed, "delta", "gradient_b") == [
        "δ_k(τ) = y_k(τ)·(1 − y_k(τ))·ε_k(τ),  k∈U,  τ = t₁…t₀+1",
        "∂J^total(t₀,t₁)/∂b_i = Σ_{τ=t₀+1…t₁} y_i(τ)·(1 − y_i(τ))·ε_i(τ),  i∈U",
    ]


def test_leak_of_a_delayed_net_spans_one_step():
    d = of(leaky("tanh"), DELAYED)
    assert lines(d, "eps")[0].startswith(
        "ε_k(τ) = e_k(τ) + (1 − 1/tau_k)·ε_k(τ+1) + Σ_{D∈𝒟} Σ_{l∈U} w_lk^(D)·δ_l(τ+D)"
    )


def test_mixed_net_has_one_block_for_each_distinct_cell():
    d = of([leaky("tanh"), semilinear("softplus"), leaky("tanh")])
    assert lines(d, "delta/leaky", "delta/semilinear") == [
        "δ_k(τ) = (1 − f_k(τ)²)·ε^(f)_k(τ),  k with cell leaky,  τ = t₁…t₀+1",
        "δ_k(τ) = logistic(s_k(τ))·ε_k(τ),  k with cell semilinear,  τ = t₁…t₀+1",
    ]
    assert [q.name for q in d].count("s") == 1


def test_two_distinct_cells_of_one_name_are_told_apart():
    d = of([leaky("tanh"), leaky("logistic"), leaky("tanh")])
    assert {"delta/leaky 1", "delta/leaky 2"} <= set(d.names)


def test_each_state_has_an_epsilon_and_each_net_input_a_delta(two):
    assert lines(two, "delta(a)", "delta(b)", "eps(e)", "gradient_p") == [
        "δ^(a)_k(τ) = b_k(τ)·ε^(e′)_k(τ),  k∈U,  τ = t₁…t₀+1",
        "δ^(b)_k(τ) = a_k(τ)·ε^(e′)_k(τ),  k∈U,  τ = t₁…t₀+1",
        "ε^(e′)_k(τ−1) = q_k·ε^(e′)_k(τ) + (1 − f_k(τ)²)·ε^(f)_k(τ),  k∈U,  τ = t₁…t₀+2",
        "∂J^total(t₀,t₁)/∂p = Σ_{τ=t₀+1…t₁} Σ_{k∈U} h_k(τ−1)·ε_k(τ)",
    ]
    assert "e′ is the cell's e." in two.notes
    assert lines(two, "e") == ["e_k(t) = {d_k(t) − h_k(t) for k∈T(t); 0 otherwise},  k∈U"]


def test_shared_weight_gathers_the_gradients_of_its_connections():
    shared = [Connection(0, 1, weight="u"), Connection(1, 2, weight="u"), (2, 0)]
    d = of(semilinear("tanh"), shared, inputs=0)
    assert lines(d, "gradient_shared") == [
        "∂J^total(t₀,t₁)/∂θ_a = Σ_{i∈U} Σ_{j∈U} ∂J^total(t₀,t₁)/∂w_ij·1{a=a(i,j)}"
    ]
    assert "gradient_shared" not in of(semilinear("tanh")).names


def test_net_without_inputs_has_no_gradient_by_them(two):
    assert "gradient_x" not in two.names
    assert "U∪I" not in str(two)


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        (semilinear("tanh"), [x[l, tau]]),
        (semilinear("softplus"), [x[l, tau], s[k, tau]]),
        (leaky("tanh"), [x[l, tau], ix.signal("f")[k, tau]]),
    ],
)
def test_derivation_says_what_the_backward_pass_needs_kept(cell, kept):
    assert list(of(cell).kept) == kept


def test_collapse_puts_the_fixed_index_everywhere_it_stands():
    total = Sum(w[l, j] * x[j, tau] * KroneckerDelta(j, k), (j, *units))
    assert collapse(total, j) == w[l, k] * x[k, tau]
    assert collapse(total, l) == total


# --- size, order, looking up ---------------------------------------------------------------------


def test_equations_do_not_depend_on_the_size_of_the_network(plain):
    large = of(semilinear("tanh"), connect.random(0.01, 0), units=1000, inputs=20)
    assert large.steps == plain.steps
    assert large.kept == plain.kept


def test_derivation_is_the_same_under_every_hash_seed():
    script = (
        "from derive.calculus.derivation import derivation\n"
        "from derive.network.library import leaky, semilinear\n"
        "from derive.network.network import Network\n"
        "from derive.network.objective import SquaredError\n"
        "cells = [leaky(), semilinear('softplus', bias=True), leaky('relu')]\n"
        f"d = derivation(Network(cells, 3, 2, {DELAYED}, SquaredError([2])))\n"
        "print(d); print(d.latex())\n"
    )
    printed = set()
    for seed in ("0", "1", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        env["PYTHONPATH"] = os.pathsep.join([p for p in sys.path if p])
        run = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, check=True
        )
        printed.add(run.stdout)
    assert len(printed) == 1
    assert len(printed.pop()) > 1000


def test_unknown_name_is_answered_with_those_there_are(plain):
    with pytest.raises(DerivationError, match="no equation is named 'detla'.*delta.*gradient_w"):
        plain["detla"]


def test_unknown_algorithm_is_refused_by_name():
    net = Network(semilinear("tanh"), 1, 0, [(0, 0)], SquaredError([0]))
    with pytest.raises(DerivationError, match="'rtlr' has no derivation"):
        derivation(net, "rtlr")


# --- print ---------------------------------------------------------------------------------------


def test_terminal_shows_every_equation_with_its_rule(plain):
    text = str(plain)
    for q in plain:
        row = next(v for v in text.splitlines() if v.startswith(f"({q.number}) "))
        assert row.startswith(str(q)) and row.endswith(q.rule)
    assert "Kept for the way back: x_l(τ)." in text


def test_latex_is_one_align_with_a_tagged_row_for_each_equation(plain, delayed, two):
    for d in (plain, delayed, two):
        text = d.latex()
        assert text.startswith(r"\begin{align}") and text.endswith(r"\end{align}")
        assert text.count(r"\tag{") == len(d)
        assert text.count("{") == text.count("}")
        assert text.isascii(), sorted({c for c in text if not c.isascii()})
    assert plain._repr_latex_() == plain.latex()


def test_latex_of_the_recursion(plain, delayed):
    assert (
        plain["eps"]
        .latex()
        .startswith(
            r"\varepsilon_{k}(\tau-1) &= e_{k}(\tau-1) + \sum_{l\in U} w_{lk}\,\delta_{l}(\tau)"
        )
    )
    assert (
        delayed["gradient_w"]
        .latex()
        .startswith(
            r"\frac{\partial J^{\mathrm{total}}(t_0,t_1)}{\partial w_{ij}^{(D)}} &= "
            r"\sum_{\tau=t_0+1}^{t_1} \delta_{i}(\tau)\,x_{j}(\tau-D)"
        )
    )
