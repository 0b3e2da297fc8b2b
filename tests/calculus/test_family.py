"""Every algorithm of the family: its printed equations, followed with numbers, give the gradient.

The oracle is a naive simulation differentiated by complex steps. For what an algorithm leaves out,
the simulation leaves it out too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from sympy import KroneckerDelta

from derive.calculus import indexed as ix
from derive.calculus.derivation import derivation
from derive.calculus.indexed import e, h, k, t
from derive.calculus.steps import Step
from derive.network import connect
from derive.network.cell import Cell, ParameterDeclaration
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.topology import Connection
from tests.calculus import connected
from tests.calculus.following import Follower, followed, planted
from tests.calculus.oracle import grouped_slopes, relative, run, slopes
from tests.strategies import adaptive, chained, data, deaf, gated, networks, shared_leak

STEPS = 5
SPARSE = [(0, 1, 2), (0, 0), (1, 0, 3), (1, 3), (2, 1, 2), (2, 2, 1), (2, 4, 2), (0, 3, 3)]
GATES = [
    Connection(0, 1, 1, "s"), Connection(0, 3, 2, "gate"), (1, 0), (1, 2, 2), (2, 1), (2, 3),
    Connection(0, 2, 1, "gate"), (2, 5), (1, 4),
]  # fmt: skip


def net_of(cell, connections=None, targets=(0, 2), objective=None) -> Network:
    """A network of three units and two inputs."""
    pattern = connect.full() if connections is None else connections
    return Network(cell, 3, 2, pattern, objective or SquaredError(list(targets)), name="net")


def quick() -> Cell:
    """A second state v, as the adaptive cell has one, but another cell."""
    return Cell.from_text({"y": "tanh(s)*v", "v": "v/3 + y/2 + c*s"},
                          parameters=(ParameterDeclaration("c", 0.5),), name="quick")  # fmt: skip


def voltage() -> Cell:
    """An output that other cells call otherwise."""
    return Cell.from_text({"v": "v/2 + tanh(s)"}, name="voltage")


NETS = {
    "tanh": net_of(semilinear("tanh")),
    "delayed": net_of(semilinear("logistic", bias=True), SPARSE),
    "all delays 2": net_of(leaky("tanh"), connect.full(delay=2)),
    "leaky": net_of(leaky("tanh", bias=True)),
    "two states": net_of(adaptive()),
    "two states, delayed": net_of(adaptive(), SPARSE),
    "two net inputs": net_of(gated()),
    "chained": net_of(chained(), objective=Objective("-(d - y)**4/4", [1, 2])),
    "shared parameter": net_of(shared_leak()),
    "shared weight": net_of(
        semilinear("tanh"),
        [Connection(0, 1, weight="u"), Connection(1, 2, weight="u"), (2, 0), (0, 3), (1, 4)],
    ),
    "mixed": Network(
        [gated(), adaptive(), leaky("tanh"), deaf()], 4, 2,
        [c if isinstance(c, Connection) else Connection(*c) for c in GATES],
        SquaredError([1, 2, 3]), name="mixed",
    ),
}  # fmt: skip
NETS["two cells with a state of one name"] = Network(
    [adaptive(), quick(), semilinear("tanh")], 3, 2,
    [(0, 1), (1, 0, 2), (2, 0), (1, 2), (0, 3), (1, 4), (2, 2, 2), (0, 0)],
    SquaredError([0, 1, 2]), name="alike",
)  # fmt: skip
NETS["outputs of two letters"] = net_of(
    [semilinear("tanh"), voltage(), leaky("tanh")], [(0, 1), (1, 0, 2), (2, 0), (1, 2), (0, 3)]
)
NETS |= connected.NETS
every_case = connected.every_case(NETS)


# --- algorithms that only go back ----------------------------------------------------------------


@every_case
def test_epochwise_gives_the_gradient_of_the_total(net: Network, forced: bool) -> None:
    values = data(net, STEPS, seed=3)
    f = followed(net, values, "epochwise", teacher_forcing=forced)
    f.forward(STEPS)
    f.back(1, STEPS)
    assert relative(f.gradient(), slopes(net, values, forced=forced).sum(axis=0)) < 1e-12


@every_case
def test_realtime_gives_the_gradient_of_every_step(net: Network, forced: bool) -> None:
    values = data(net, STEPS, seed=3)
    f = followed(net, values, "realtime", teacher_forcing=forced)
    f.forward(STEPS)
    found = []
    for last in range(1, STEPS + 1):
        f.back(1, last, t=last)
        found.append(f.gradient(t=last, end=last))
    assert relative(np.array(found), slopes(net, values, forced=forced)) < 1e-12


def truncated_gradients(f: Follower, h: int, h_prime: int) -> dict[int, object]:
    """What BPTT(h;h′) gives at each time, from the first whole window on."""
    f.forward(f.end)
    found = {}
    for last in range(h, f.end + 1):
        f.back(last - h + 1, last, t=last, h=h, h2=h_prime)
        found[last] = f.gradient(t=last, h=h, h2=h_prime, end=last)
    return found


WINDOWS = [(1, 1), (3, 1), (3, 2), (4, 4)]


@pytest.mark.parametrize(
    ("net", "forced", "h", "h_prime"),
    [
        pytest.param(*case.values, *window, id=f"{case.id}-{window}")
        for case in connected.cases(NETS)
        for window in (WINDOWS if case.values[0] not in connected.NETS.values() else [(3, 2)])
    ],
)
def test_truncated_leaves_out_exactly_the_steps_before_its_window(
    net: Network, forced: bool, h: int, h_prime: int
) -> None:
    values = data(net, STEPS, seed=3)
    f = followed(net, values, "truncated", h=h, h_prime=h_prime, teacher_forcing=forced)
    for last, found in truncated_gradients(f, h, h_prime).items():
        within = slopes(net, values, last - h, forced)[last - h_prime : last].sum(axis=0)
        assert np.abs(found - within).max() < 1e-12


def test_truncated_differs_from_the_gradient_where_the_window_is_too_short() -> None:
    net = NETS["tanh"]
    values = data(net, STEPS, seed=4)
    found = truncated_gradients(followed(net, values, "truncated", h=2), 2, 1)[STEPS]
    true = slopes(net, values)[STEPS - 1]
    assert relative(found, true) > 1e-3


# --- sensitivities -------------------------------------------------------------------------------


@every_case
def test_recurrent_learning_gives_the_gradient_of_every_step(net: Network, forced: bool) -> None:
    values = data(net, STEPS, seed=3)
    f = followed(net, values, "rtrl", teacher_forcing=forced)
    f.forward(STEPS)
    found = np.array([f.gradient(t=last) for last in range(1, STEPS + 1)])
    assert relative(found, slopes(net, values, forced=forced)) < 1e-12


GROUPS = ((0, 2), (1,))


@pytest.mark.parametrize(
    "name",
    ["tanh", "delayed", "leaky", "two states", "two net inputs", "gru", "gru, delayed", "ltc",
     "looking, delayed", "leaks at once"],
)  # fmt: skip
def test_subgrouped_learning_leaves_out_exactly_what_other_groups_add(name: str) -> None:
    net = Network(
        NETS[name].cells[0], 3, 2, NETS[name].connections, SquaredError([0, 1]), name="net"
    )
    values = data(net, STEPS, seed=3)
    f = followed(net, values, "rtrl", groups=GROUPS)
    f.forward(STEPS)
    weights = net.wiring.weights * (1 + len(net.connection_parameters))
    found = np.array([f.gradient(t=last) for last in range(1, STEPS + 1)])[:, :weights]
    assert relative(found, grouped_slopes(net, values, GROUPS)[:, :weights]) < 1e-12
    assert relative(found, slopes(net, values)[:, :weights]) > 1e-3


def test_one_group_is_the_whole_of_recurrent_learning() -> None:
    net = NETS["two states"]
    values = data(net, STEPS, seed=3)
    f = followed(net, values, "rtrl", groups=((0, 1, 2),))
    f.forward(STEPS)
    found = np.array([f.gradient(t=last) for last in range(1, STEPS + 1)])
    assert relative(found, slopes(net, values)) < 1e-12


# --- windows joined by sensitivities -------------------------------------------------------------


def hybrid_windows(f: Follower, h: int) -> Iterator[tuple[int, object]]:
    """Follow FP/BPTT(h) from window to window; gives the end of each and its gradient."""
    f.forward(f.end)
    seeds = sorted({q.name.partition("[")[2][:-1] for q in f.steps if q.name.startswith("zeta")})
    boundary = [q for q in f.steps if q.name.startswith("boundary")]
    for last in range(h, f.end + 1, h):
        first, letters = last - h + 1, dict(t=last, h=h)
        f.back(first, last, **letters)
        for step in boundary:
            f.take(step, end=last, **letters)
        yield last, f.gradient(end=last, **letters)
        for of in seeds:
            # p of outputs is needed as far back as the longest delay reaches.
            several = any("r′ < h" in q.ranges for q in f.steps if is_sensitivity(q, of))
            for lag in range(min(h, f.longest)) if several else [0]:
                end = dict(r2=lag, end=last - lag)
                f.back(first, letter="zeta", of=of, last=last - lag, r2=lag, **letters)
                for step in f.steps:
                    name, _, seed = step.name.partition("[")
                    if name.startswith("zeta_boundary") and seed[:-1] == of:
                        f.take(step, **letters, **end)
                for step in f.steps:
                    if is_sensitivity(step, of):
                        f.take(step, **letters, **end)


def is_sensitivity(step: Step, of: str) -> bool:
    """Whether a step of the hybrid gives p of a state at the end of a window."""
    if not isinstance(step.left, sympy.Indexed) or step.left.indices[0] != ix.q:
        return False
    letter, *tiers = str(step.left.base.label).split("|")
    return letter == "p" and (tiers[0] if tiers else "") == of


@every_case
@pytest.mark.parametrize("h", [1, 2, 3])
def test_hybrid_gives_the_gradient_of_every_window(net: Network, forced: bool, h: int) -> None:
    values = data(net, STEPS, seed=3)
    true = slopes(net, values, forced=forced)
    f = followed(net, values, "hybrid", h=h, teacher_forcing=forced)
    for last, found in hybrid_windows(f, h):
        assert relative(found, true[last - h : last].sum(axis=0)) < 1e-12


@pytest.mark.parametrize(
    "name", ["tanh", "two states", "delayed", "gru", "gru, delayed", "ltc, delayed"]
)
def test_hybrid_and_recurrent_learning_have_the_same_sensitivities(name: str) -> None:
    net = NETS[name]
    values = data(net, STEPS, seed=3)
    hybrid, rtrl = followed(net, values, "hybrid", h=2), followed(net, values, "rtrl")
    rtrl.forward(STEPS)
    last = [end for end, _ in hybrid_windows(hybrid, 2)][-1]
    kept = [v for v in hybrid.value if str(v[0]).split("|")[0] == "p" and v[-1] == last]
    assert len(kept) >= 3 * net.wiring.weights
    for key in kept:
        assert abs(hybrid.value[key] - rtrl.value[key]) < 1e-12, key


# --- any network ---------------------------------------------------------------------------------


@settings(max_examples=20)
@given(networks(max_units=3, longest_delay=3))
def test_on_any_network_all_exact_algorithms_agree(net: Network) -> None:
    exact_algorithms_agree(net)


@settings(max_examples=30)
@given(connected.connected(max_units=3))
def test_on_any_network_of_further_connections_they_agree(net: Network) -> None:
    exact_algorithms_agree(net)


def exact_algorithms_agree(net: Network) -> None:
    """Recurrent learning and the hybrid give the gradient of each step, forced or not."""
    if not net.size:
        return
    values = data(net, 4, seed=1)
    for forced in [False, True] if connected.forcible(net) else [False]:
        true = slopes(net, values, forced=forced)
        scale = max(1.0, np.abs(true).max())
        f = followed(net, values, "epochwise", teacher_forcing=forced)
        f.forward(4)
        f.back(1, 4)
        assert np.abs(f.gradient() - true.sum(axis=0)).max() < 1e-11 * scale
        f = followed(net, values, "rtrl", teacher_forcing=forced)
        f.forward(4)
        found = np.array([f.gradient(t=last) for last in range(1, 5)])
        assert np.abs(found - true).max() < 1e-11 * scale
        f = followed(net, values, "hybrid", h=2, teacher_forcing=forced)
        for last, window in hybrid_windows(f, 2):
            assert np.abs(window - true[last - 2 : last].sum(axis=0)).max() < 1e-11 * scale


# --- planted faults: a check that cannot fail shows nothing --------------------------------------


def wrong_recurrent_learning(name: str, fault) -> float:
    """How far off the gradient is after a fault in the recursion of p."""
    net = NETS[name]
    values = data(net, STEPS, seed=3)
    f = Follower(net, values, planted(derivation(net, "rtrl"), "p_w", fault))
    f.forward(STEPS)
    found = np.array([f.gradient(t=last) for last in range(1, STEPS + 1)])
    return relative(found, slopes(net, values))


def transposed(expr):
    """Every weight w_ab as w_ba."""
    return expr.xreplace(
        {v: v.base[(v.indices[1], v.indices[0], *v.indices[2:])]
         for v in expr.atoms(sympy.Indexed) if str(v.base.label) == "w"}
    )  # fmt: skip


FAULTS = {
    "the term 1{i=k} dropped": lambda v: v.xreplace({KroneckerDelta(ix.i, k): sympy.S.Zero}),
    "the weights transposed": transposed,
    "the sign of the slope": lambda v: -v,
    "the source a step too early": lambda v: v.xreplace(
        {ix.x[ix.j, ix.tau - 1]: ix.x[ix.j, ix.tau - 2]}
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_in_the_recursion_of_p_is_seen(fault) -> None:
    assert wrong_recurrent_learning("tanh", fault) > 1e-3


def test_a_forgotten_delay_of_p_is_seen() -> None:
    p = derivation(NETS["delayed"], "rtrl")["p_w"].right.atoms(sympy.Indexed)
    late = {v: v.base[(*v.indices[:-1], ix.tau - 1)] for v in p if str(v.base.label) == "p"}
    assert wrong_recurrent_learning("delayed", lambda v: v.xreplace(late)) > 1e-3


def without_looking(expr):
    """No slope of a net input by what its connections look at."""
    return expr.xreplace({v: sympy.S.Zero for v in expr.atoms(ix.Slope)})


def without_sums_at(limits: tuple):
    """Sums over all delays begin with others."""

    def changed(expr):
        def other(total):
            return sympy.Sum(total.function, *(
                (ix.D, *limits) if v[0] == ix.D else v for v in total.limits))  # fmt: skip

        return expr.replace(lambda v: isinstance(v, sympy.Sum), other)

    return changed


@pytest.mark.parametrize(
    ("name", "step", "fault"),
    [
        ("gru", "eps(rh)", lambda v: sympy.S.Zero),
        ("gru", "eps(rh)", without_sums_at(ix.LATER)),
        ("leaks at once", "eps", without_sums_at(ix.LATER)),
        ("leaks at once", "eps_last", lambda v: v - sympy.Add(
            *(a for a in v.args if a.has(sympy.Sum)))),
        ("ltc", "eps", without_looking),
        ("ltc", "ds_dv", lambda v: -v),
        ("ltc", "gradient_gamma", lambda v: -v),
        ("ltc", "eps", lambda v: v.xreplace({ix.x[k, ix.tau - 1]: ix.x[ix.l, ix.tau - 1]})),
        ("ltc", "gradient_A", lambda v: v.xreplace({ix.w[ix.i, ix.j]: ix.w[ix.j, ix.i]})),
        ("a second state is read", "eps(v)/adaptive", lambda v: sympy.Add(
            *(a for a in v.args if not a.has(sympy.Sum)))),
        ("a second state is read", "gradient_w(s′)", lambda v: v.xreplace(
            {a: ix.x[a.indices] for a in v.atoms(sympy.Indexed) if "^(v)" in str(a.base)})),
    ],
    ids=["nothing heard of r∘h", "r∘h heard late", "heard late", "nothing at the last step",
         "no looking", "sign of looking", "sign", "source of another", "transposed",
         "second state not heard", "output heard instead"],
)  # fmt: skip
def test_a_fault_in_what_connections_bring_back_is_seen(name: str, step: str, fault) -> None:
    net = NETS[name]
    values = data(net, STEPS, seed=4)
    f = Follower(net, values, planted(derivation(net, "epochwise"), step, fault))
    f.forward(STEPS)
    f.back(1, STEPS)
    assert relative(f.gradient(), slopes(net, values).sum(axis=0)) > 1e-3


@pytest.mark.parametrize(
    ("name", "step", "fault"),
    [
        ("gru", "p(rh)_w(ar)", lambda v: sympy.S.Zero),
        ("gru", "p(a)_w(ar)", lambda v: sympy.S.Zero),
        ("leaks at once", "p(s)_w", lambda v: v.xreplace({a: a.base[(*a.indices[:-1], ix.tau - 1)]
            for a in v.atoms(sympy.Indexed) if str(a.base) == "p"})),
        ("ltc", "p(s)_mu", without_looking),
        ("ltc", "p(s)_gamma", lambda v: v.xreplace({KroneckerDelta(ix.i, k): sympy.S.Zero})),
    ],
    ids=["r∘h is not learned", "nor heard", "heard late", "no looking", "no share of its own"],
)  # fmt: skip
def test_a_fault_in_what_connections_carry_on_is_seen(name: str, step: str, fault) -> None:
    net = NETS[name]
    values = data(net, STEPS, seed=3)
    d = derivation(net, "rtrl")
    wrong = planted(d, step, fault)
    for other in [v for v in d.names if v.startswith("p_")]:  # what was found is put in there
        found = d[step].right
        if d[other].right.has(found):
            wrong = planted(wrong, other, lambda v, found=found: v.xreplace({found: fault(found)}))
    f = Follower(net, values, wrong)
    f.forward(STEPS)
    found = np.array([f.gradient(t=last) for last in range(1, STEPS + 1)])
    assert relative(found, slopes(net, values)) > 1e-3


def wrong_hybrid(name: str, step: str, fault) -> float:
    """How far off the worst window is after a fault."""
    net = NETS[name]
    values = data(net, 6, seed=4)  # three windows: p of the second needs that of the first
    f = Follower(net, values, planted(derivation(net, "hybrid"), step, fault))
    true = slopes(net, values)
    windows = hybrid_windows(f, 2)
    return max(relative(g, true[last - 2 : last].sum(axis=0)) for last, g in windows)


def without_boundary(expr):
    """The window's own sum only: silently BPTT(h;h)."""
    return sympy.Add(*(v for v in expr.args if not any(
        str(a.base.label) == "p" for a in v.atoms(sympy.Indexed))))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "step", "fault"),
    [
        ("tanh", "boundary", lambda v: v + e[k, t - h]),
        ("tanh", "gradient_w", without_boundary),
        ("delayed", "gradient_w", without_boundary),
        ("tanh", "p_w", without_boundary),
        ("tanh", "zeta_last", lambda v: v * 2),
        ("delayed", "boundary_earlier", lambda v: sympy.S.Zero),
        ("two states", "boundary(v)", lambda v: sympy.S.Zero),
        ("gru, delayed", "zeta(rh)_last[rh]", lambda v: v + 1),
        ("gru, delayed", "boundary_earlier(rh)", lambda v: sympy.S.Zero),
        ("leaks at once", "eps_last", lambda v: e[k, t]),
        ("leaks at once", "zeta_last", lambda v: KroneckerDelta(k, ix.q)),
        ("ltc, delayed", "boundary", without_looking),
    ],
    ids=["e(t−h) at the boundary", "no boundary term", "no boundary term, delayed",
         "p forgets", "seed", "only one lag", "only the output's state",
         "seed of a heard state", "only one lag of a heard state", "nothing hears at once",
         "nothing hears at once, swept", "what connections look at"],
)  # fmt: skip
def test_a_fault_at_the_boundary_is_seen(name: str, step: str, fault) -> None:
    assert wrong_hybrid(name, step, fault) > 1e-3


def test_an_error_injected_before_the_newest_steps_is_seen() -> None:
    net = NETS["tanh"]
    values = data(net, STEPS, seed=4)
    d = derivation(net, "truncated", {"h": 4, "h_prime": 2})

    def everywhere(expr):
        return expr.replace(lambda v: isinstance(v, sympy.Piecewise), lambda v: v.args[0][0])

    f = Follower(net, values, planted(d, "eps", everywhere))
    found = truncated_gradients(f, 4, 2)[STEPS]
    assert relative(found, slopes(net, values, STEPS - 4)[STEPS - 2 :].sum(axis=0)) > 1e-3


@pytest.mark.parametrize("algorithm", ["epochwise", "rtrl"])
@pytest.mark.parametrize("name", ["tanh", "leaky"])
def test_a_derivative_that_flows_through_a_forced_output_is_seen(algorithm: str, name: str) -> None:
    net = NETS[name]
    values = data(net, STEPS, seed=3)
    d = derivation(net, algorithm, {"teacher_forcing": True})

    def uncut(expr):
        members = [v for v in expr.atoms(sympy.Indexed) if v.base == ix.MEMBER]
        return expr.xreplace({v: sympy.S.Zero for v in members})

    f = Follower(net, values, planted(d, "eps" if algorithm == "epochwise" else "p_w", uncut))
    f.forward(STEPS)
    true = slopes(net, values, forced=True).sum(axis=0)
    if algorithm == "epochwise":
        f.back(1, STEPS)
        assert relative(f.gradient(), true) > 1e-3
    else:
        found = sum(f.gradient(t=last) for last in range(1, STEPS + 1))
        assert relative(found, true) > 1e-3


def test_the_followed_net_computes_what_the_simulation_computes() -> None:
    for net in NETS.values():
        for forced in [False, True] if connected.forcible(net) else [False]:
            values = data(net, STEPS, seed=3)
            f = followed(net, values, "epochwise", teacher_forcing=forced)
            f.forward(STEPS)
            y, _ = run(net, values, lambda _, theta=values.theta: theta, forced)
            for column, (unit, name) in enumerate(net.states):
                found = [f.value[f.written(name, unit), unit, step] for step in range(STEPS + 1)]
                assert relative(np.array(found), y[:, column].real) < 1e-12
