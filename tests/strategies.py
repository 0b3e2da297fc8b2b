"""Random valid networks, and data for them: the one source of examples for every test.

``networks()`` draws a :class:`Network` of 1–5 units: sparse, dense or without any connection,
delayed, with shared weights, self-loops, mixed cells, targets on some units only. ``data(net, T)``
draws what a kernel is called with: random, unsymmetric, some targets missing. ``simulate`` is a
second, naive statement of what a network computes, to compare with.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import sympy
from hypothesis import strategies as st

from derive.network import connect
from derive.network.cell import Cell, NetInputDeclaration, ParameterDeclaration
from derive.network.library import (
    adaptive as tiring,
)
from derive.network.library import (
    ctrnn,
    gru,
    leaky,
    lru,
    lstm,
    ltc,
    mgu,
    reservoir,
    s4d,
    second_order,
    semilinear,
)
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError, Term
from derive.network.objectives import (
    AbsoluteError,
    Activity,
    Huber,
    LogisticCrossEntropy,
    SoftmaxCrossEntropy,
    WeightDecay,
)
from derive.network.symbols import intermediate, net_input, parameter, state
from derive.network.topology import Connection
from derive.verify.random_networks import possible

# --- cells: each a function, so that an example can have several that are equal but not one -----


def shared_leak() -> Cell:
    """Stated in SymPy, with one trainable time constant for all units."""
    y, s, tau = state("y"), net_input("s"), parameter("tau", initial=3.0, shared=True)
    return Cell(states={y: y + (sympy.tanh(s) - y) / tau}, name="shared_leak")


def adaptive() -> Cell:
    """Two states, of which the second is the unit's own memory."""
    y, v, s = state("y"), state("v"), net_input("s")
    a, b = parameter("a", initial=0.3), parameter("b", initial=0.2, trainable=False)
    return Cell(states={y: sympy.tanh(s - a * v), v: (1 - b) * v + b * y}, name="adaptive")


def gated() -> Cell:
    """Two net inputs and an intermediate: a gate that mixes old and new."""
    return Cell.from_text(
        {"y": "g*y + (1 - g)*tanh(s)"},
        intermediates={"g": "logistic(gate + c)"},
        net_inputs=("s", "gate"),
        parameters=(ParameterDeclaration("c", 0.5),),
        name="gated",
    )


def chained() -> Cell:
    """Intermediates of intermediates, and the second state as output."""
    u, q, h, y, s = intermediate("u"), intermediate("q"), state("h"), state("y"), net_input("s")
    k = parameter("k", initial=0.7)
    return Cell(
        states={h: h / 2 + q, y: sympy.tanh(q * k) + h / 4},
        intermediates={q: sympy.sin(u) + u / 3, u: s + h * k},
        output=y,
        name="chained",
    )


def rational_pair() -> Cell:
    """Two states in exact arithmetic."""
    return Cell.from_text(
        {"y": "s/2 - a*v*y", "v": "v/3 + y/4"},
        parameters=(ParameterDeclaration("a", 0.5),),
        name="rational_pair",
    )


def deaf() -> Cell:
    """No net input at all: nothing can be connected to it."""
    return Cell.from_text(
        {"y": "y*r"}, net_inputs=(), parameters=(ParameterDeclaration("r", 0.9),), name="deaf"
    )


def reset_gated() -> Cell:
    """A unit in two parts: its candidate hears what a gate leaves of all units' states at once."""
    return Cell.from_text(
        {"h": "(1 - u)*h + u*tanh(a)", "rh": "logistic(r)*h"},
        intermediates={"u": "logistic(r - b)"},
        net_inputs=(NetInputDeclaration("a", hears="rh", delay=0), "r"),
        parameters=(ParameterDeclaration("b", 0.4),),
        name="reset_gated",
    )


def conductance() -> Cell:
    """Connections with parameters of their own, which look at the unit they drive."""
    parameters = tuple(ParameterDeclaration(n, v) for n, v in (("g", 1.2), ("m", 0.3), ("A", 0.8)))
    return Cell.from_text(
        {"y": "y + (s - y)/tau", "v": "v/2 + y"},
        net_inputs=(
            NetInputDeclaration("s", None, 1, "w*logistic(g*(x - m))*(A - y*v)", parameters),
        ),
        parameters=(ParameterDeclaration("tau", 3.0),),
        name="conductance",
    )


def listening() -> Cell:
    """Hears the second state of those units that have one."""
    return Cell.from_text(
        {"y": "tanh(s + i/2)"},
        net_inputs=("s", NetInputDeclaration("i", hears="v")),
        name="listening",
    )


def saturating() -> Cell:
    """In exact arithmetic: a synapse that is no multiple of what it carries."""
    return Cell.from_text(
        {"y": "y/3 + s", "v": "v/2 - y*v/4"},
        net_inputs=(NetInputDeclaration("s", None, 1, "w*x*(1 - x/4) + w**2*v/8"),),
        name="saturating",
    )


SMOOTH: tuple[Callable[[], Cell], ...] = (
    lambda: semilinear("tanh"),
    lambda: semilinear("tanh", bias=True),
    lambda: semilinear("logistic"),
    lambda: semilinear("softplus", bias=True),
    lambda: semilinear("identity"),
    lambda: semilinear("sin(s) + s/3"),
    lambda: leaky("tanh", tau=3.0),
    lambda: leaky("logistic", tau=2.5, trainable=False, bias=True),
    lambda: leaky("tanh", tau=2.0, dt=0.5),
    shared_leak,
    adaptive,
    gated,
    chained,
    deaf,
    lambda: reservoir(0.25),
    lstm,
    lambda: lstm(forget=False, peepholes=True),
    lambda: lstm(peepholes=True),
    gru,
    mgu,
    lambda: ctrnn(dt=0.5),
    lambda: tiring(dt=0.5, bias=True),
    second_order,
    lambda: lru("tanh", skip=True),
    lambda: lru(tied=True),
    s4d,
    reset_gated,
    conductance,
    listening,
    lambda: gru(reset="before"),
    lambda: mgu(reset="before", bias=False),
    lambda: ltc(dt=0.5),
    lambda: ctrnn(dt=0.5, scheme="exponential"),
    lambda: tiring(dt=0.25, scheme="heun"),
)
RATIONAL: tuple[Callable[[], Cell], ...] = (
    lambda: semilinear("identity", bias=True),
    lambda: semilinear("s - s**3/8"),
    lambda: semilinear("s/(1 + s**2)"),
    lambda: leaky("s", tau=2.0),
    lambda: leaky("s", tau=4.0, trainable=False),
    rational_pair,
    deaf,
    lambda: reservoir(0.25, "s/2"),
    lambda: tiring("s", tau=2.0, tau_a=4.0, dt=0.5),
    lambda: second_order("s/2"),
    saturating,
)
CORNERED: tuple[Callable[[], Cell], ...] = (
    lambda: semilinear("relu", bias=True),
    lambda: semilinear("abs(s) - s/2"),
    lambda: semilinear("where(s > 0, tanh(s), s/4)"),
    lambda: semilinear("max(s, s/10)"),
    lambda: second_order("relu"),
)
# What is written out for a unit grows with its net inputs; so many of the heavy ones will do.
HEAVY, MOST_HEAVY = 2, 2
OBJECTIVES = ("-(d - y)**4/4", "-log(cosh(d - y))", "d*y - softplus(y)", "-(d - y)**2*(1 + y**2)")
RATIONAL_OBJECTIVES = ("-(d - y)**4/4", "-(d - y)**2*(1 + y**2)")


@st.composite
def networks(
    draw: st.DrawFn,
    max_units: int = 5,
    rational: bool = False,
    corners: bool = False,
    longest_delay: int = 4,
) -> Network:
    """A valid network.

    Parameters
    ----------
    rational : bool
        Only cells and objectives that exact fractions can compute.
    corners : bool
        Also functions with a corner, such as relu; none of them is analytic.
    """
    # Size and kind of wiring are hypothesis' to shrink. The rest comes from a seed: drawn one by
    # one, most examples would be of one tanh unit without delay.
    n = draw(st.sampled_from(range(1, max_units + 1)))
    m = draw(st.sampled_from(range(4)))
    wiring = draw(st.sampled_from(["none", "sparse", "shared", "sparse", "shared", "pattern"]))
    mixed = draw(st.booleans())
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def one_of(choices: Any) -> Any:
        return choices[generator.integers(len(choices))]

    makers = RATIONAL if rational else SMOOTH + (CORNERED if corners else ())
    cell: Any = [one_of(makers)() for _ in range(n)] if mixed else one_of(makers)()
    if any(len(c.net_inputs) > HEAVY for c in (cell if mixed else [cell])):
        n = min(n, MOST_HEAVY)
        cell = cell[:n] if mixed else cell
    objectives = RATIONAL_OBJECTIVES if rational else OBJECTIVES
    targets = generator.permutation(n)[: generator.integers(1, n + 1)].tolist()
    objective: Objective = SquaredError(targets)
    if generator.random() < 0.5:
        objective = Objective(one_of(objectives), targets)
    if generator.random() < 0.3:
        objective = _judged_by(generator, n, rational, corners)
    connections: Any = []
    if wiring == "pattern":
        delay = int(generator.integers(1, longest_delay + 1))
        seed = int(generator.integers(100))
        patterns = [connect.full(delay), connect.random(0.5, seed, delay), connect.ring()]
        if n > 1:
            patterns.append(connect.layers(n - 1, 1, delay=0))
        connections = one_of(patterns)
    elif wiring != "none":
        cells = cell if mixed else [cell] * n
        connections = _sparse(generator, cells, m, longest_delay, wiring == "shared")
    net = Network(cell, n, m, connections, objective, name="drawn")
    learned = sorted({p.name for p in net.parameters})
    if not learned or generator.random() < 0.7:
        return net
    kept = [name for name in learned if generator.random() < 0.7] or learned
    objective = objective + WeightDecay(0.125, kept)
    return Network(cell, n, m, connections, objective, name="drawn")


def _judged_by(generator: np.random.Generator, n: int, rational: bool, corners: bool) -> Objective:
    """A sum of terms: groups that pool, weighted targets, two terms on one unit, activity."""

    def some() -> list[int]:
        return generator.permutation(n)[: generator.integers(1, n + 1)].tolist()

    def constants(units: list[int]) -> Any:
        return (generator.integers(1, 9, len(units)) / 8).tolist()

    terms: list[Callable[[list[int]], Objective]] = [
        lambda units: SquaredError(units, constants(units)),
        lambda units: Activity("-lam*y**2/2", units, {"lam": constants(units)}),
        lambda units: Activity("-(y - M)**2/4", units, pools={"M": ("sum", "y/2")}),
    ]
    if not rational:
        terms += [SoftmaxCrossEntropy, LogisticCrossEntropy]
        terms.append(
            lambda units: Objective(
                "d*(V - S)",
                units,
                pools={
                    "c": ("max", "y"),
                    "P": ("sum", "exp(y - c)"),
                    "S": ("sum", "y*exp(y - c)/P"),
                    "V": ("sum", "y**2*exp(y - c)/P"),
                },
            )  # fmt: skip
        )
    if corners:
        terms += [AbsoluteError, lambda units: Huber(units, constants(units))]
    chosen = generator.permutation(len(terms))[: generator.integers(1, 4)]
    objective = Objective.of(term for i in chosen for term in terms[i](some()).terms)
    return objective if objective.targets else objective + SquaredError(some())


def _sparse(
    generator: np.random.Generator, cells: list[Cell], m: int, longest_delay: int, shared: bool
) -> list[Connection]:
    n = len(cells)
    places = possible(cells, m, longest_delay)
    count = min(len(places), int(generator.integers(1, 3 * n + 3)))
    chosen: Any = generator.choice(len(places), count, replace=False) if places else []
    ids: list[Any] = ["a", "b", 7, None, None] if shared else [None]
    drawn = []
    for i in chosen:
        target, source, delay, s = places[i]
        label = ids[generator.integers(len(ids))]
        fixed = float(generator.normal()) if label is None and generator.random() < 0.1 else None
        drawn.append(Connection(target, source, delay, s, label, fixed))
    return drawn


def spec_networks() -> st.SearchStrategy[Network]:
    """Networks of every kind of cell, for what does not run them."""
    return networks(corners=True)


# --- data ----------------------------------------------------------------------------------------


class Data(NamedTuple):
    """What a kernel is called with, in design order: ``kernel.gradient(*data)``."""

    theta: Any
    x: Any
    target: Any
    mask: Any
    y0: Any


def data(net: Network, T: int = 5, batch: int = 0, seed: int = 0) -> Data:
    """Random theta, x, target, mask and y0; ``batch`` adds a last axis.

    A third of the targets are missing; in every odd seed those of the last step are.
    """
    generator = np.random.default_rng(seed)
    tail = (batch,) if batch else ()
    n_T = len(net.objective.targets)
    theta = generator.normal(size=net.size) * 0.8 + 0.05
    for name in ("tau", "tau_a"):
        if name in net.unit_parameters:
            at = net.unit_parameters[name]
            theta[at[at >= 0]] = generator.uniform(1.5, 4.0, size=int((at >= 0).sum()))
    mask = (generator.random((T, n_T, *tail)) < 0.67).astype(float)
    mask[-1] = 0 if seed % 2 else mask[-1]
    mask[0, 0] = 1
    return Data(
        theta,
        generator.normal(size=(T, net.inputs, *tail)),
        generator.normal(size=(T, n_T, *tail)),
        mask,
        generator.normal(size=(len(net.states), *tail)) * 0.7,
    )


def fractions(values: Data) -> Data:
    """The same data to the nearest eighth, as exact fractions."""
    exact = np.vectorize(lambda v: Fraction(round(8 * v), 8), otypes=[object])
    return Data(*(exact(a) if a.size else a.astype(object) for a in values))


def as_inputs(values: Data) -> dict[str, Any]:
    """The data by name, as the interpreter takes it."""
    return values._asdict()


# --- a second opinion ----------------------------------------------------------------------------


def logistic_value(x: Any) -> Any:
    """1/(1 + exp(−x))."""
    return 1 / (1 + np.exp(-x))


NUMPY = [
    {
        "logistic": logistic_value,
        "softplus": lambda x: np.log(1 + np.exp(x)),
        "relu": lambda x: np.where(np.real(x) > 0, x, 0),
        "step": lambda x: np.where(np.real(x) > 0, 1, 0),
        "Max": lambda *a: np.max(a),
    },
    "numpy",
]


def simulate(
    net: Network, values: Data, forced: bool = False, only: Any = None, given: Any = None
) -> tuple[Any, Any]:
    """The states y (T+1, N) and J^total, straight from what was stated; one sequence.

    Deliberately naive: a list of past states, one connection at a time, the equations called as
    functions. It shares no code with Programs.

    Parameters
    ----------
    forced : bool
        Teacher forcing: after J(t) a target stands where the output did, for all that follows.
    only : list of int, optional
        The units that are simulated; the states of the others are those of ``given``.
    """
    theta, x, target, mask, y0 = values
    kind = np.result_type(theta, x, y0, float)
    own = {(p.name, p.unit): p.start for p in net.parameters if p.unit is not None}
    columns = {place: i for i, place in enumerate(net.states)}
    functions = []
    for cell in net.cells:
        eq = cell.equations
        order = [*cell.states, *cell.net_inputs, *(p.name for p in cell.parameters)]
        bodies = {k.name: v for k, v in eq.states.items()}
        for name, body in reversed(list(eq.intermediates.items())):
            bodies = {k: v.xreplace({name: body}) for k, v in bodies.items()}
        symbols = [sympy.Symbol(v, real=True) for v in order]
        functions.append((order, {k: sympy.lambdify(symbols, v, NUMPY) for k, v in bodies.items()}))

    def parameter_of(k: int, name: str) -> Any:
        if (name, k) in own:
            return theta[own[name, k]]
        cell = net.cells[net.cell_index[k]]
        declared = {p.name: p for p in cell.parameters}
        if declared[name].trainable:  # shared: it stands under the first unit that has the cell
            first = next(i for i in range(net.units) if net.cell_index[i] == net.cell_index[k])
            return theta[own[name, first]]
        return net.values[name][k]

    y = np.zeros((len(x) + 1, len(net.states)), dtype=kind)
    y[0] = y0
    signal = y.copy()  # what is heard, and what a unit goes on from
    adds = []
    for cell in net.cells:
        found = {}
        for port in cell.ports:
            names = ["w", "x", *cell.states, *(q.name for q in port.parameters)]
            stated = {s.name: e for s, e in cell.equations.synapses.items()}
            w, x_ = sympy.symbols("w x", real=True)
            expr = stated.get(port.name, w * x_)
            symbols = [sympy.Symbol(v, real=True) for v in names]
            found[port.name] = (port, sympy.lambdify(symbols, expr, NUMPY))
        adds.append(found)

    def added(c: Any, i: int, t: int) -> Any:
        """What one connection adds to a net input at time t + 1."""
        cell, then = net.cells[net.cell_index[c.target]], t + 1 - c.delay
        port, function = adds[net.cell_index[c.target]][c.net_input]
        if then < 0:
            carried = 0
        elif c.source >= net.units:
            carried = x[then, c.source - net.units]
        else:
            output = net.cells[net.cell_index[c.source]].output
            at = columns[c.source, port.hears or output]
            # Of this very step: as computed, whatever a teacher puts in its place afterwards.
            carried = y[then, at] if c.delay == 0 else signal[then, at]
        learnt = c.fixed is None
        further = [
            theta[net.connection_parameters[q.name][i]] if learnt else q.initial
            for q in port.parameters
        ]
        own = [signal[t, columns[c.target, name]] for name in cell.states]
        return function(theta[i] if learnt else c.fixed, carried, *own, *further)

    for t in range(len(x)):
        for _ in range(1 + len(net.states)):  # until what is heard in the same step has come round
            for k in range(net.units):
                cell = net.cells[net.cell_index[k]]
                net_inputs = dict.fromkeys(cell.net_inputs, 0)
                for c, i in zip(net.connections, net.wiring.weight.tolist(), strict=True):
                    if c.target == k:
                        net_inputs[c.net_input] = net_inputs[c.net_input] + added(c, i, t)
                order, bodies = functions[net.cell_index[k]]
                known = {name: signal[t, columns[k, name]] for name in cell.states} | net_inputs
                known |= {p.name: parameter_of(k, p.name) for p in cell.parameters}
                for name, body in bodies.items():
                    y[t + 1, columns[k, name]] = body(*(known[v] for v in order))
                    if only is not None and k not in only:
                        y[t + 1, columns[k, name]] = given[t + 1, columns[k, name]]
            if not net.stages:
                break
        signal[t + 1] = y[t + 1]
        for j, k in enumerate(net.objective.targets if forced else ()):
            if mask[t, j]:
                output = net.cells[net.cell_index[k]].output
                signal[t + 1, columns[k, output]] = target[t, j]
    outputs = [columns[k, net.cells[net.cell_index[k]].output] for k in range(net.units)]
    J: Any = 0
    for term in net.objective.terms:
        if term.over == "parameters" and only is not None and 0 not in only:
            continue  # counted with the first of several groups
        for t in range(len(x)):
            J = J + judged(term, net, y[t + 1, outputs], target[t], mask[t], theta)
    return y, J


@cache
def _lambdified(expr: Any, letters: tuple[str, ...]) -> Any:
    return sympy.lambdify([sympy.Symbol(name, real=True) for name in letters], expr, NUMPY)


def judged(term: Term, net: Network, y: Any, target: Any, mask: Any, theta: Any) -> Any:
    """What one term says of one time."""

    def function(expr: Any) -> Any:
        letters = ("d", "y", "w", *term.constants, *(p.name for p in term.pools))
        body = _lambdified(expr, letters)
        return lambda **known: body(*(known.get(name, 0) for name in letters))

    summand = function(term.expression)
    if term.over == "parameters":
        fixed = {name: value for name, value in term.constants.items()}
        places = [i for p in net.parameters if p.name in term.names for i in range(p.start, p.stop)]
        return sum(summand(w=theta[i], **fixed) for i in places)
    units = term.units if term.units is not None else range(net.units)
    each = [
        {c: v[i] if isinstance(v, tuple) else v for c, v in term.constants.items()} | {"y": y[k]}
        for i, k in enumerate(units)
    ]
    pools: dict[str, Any] = {}
    for pool in term.pools:
        shares = [function(term.pooled(pool))(**known, **pools) for known in each]
        pools[pool.name] = max(map(np.real, shares)) if pool.kind == "max" else sum(shares)
    J: Any = 0
    for k, known in zip(units, each, strict=True):
        if term.over == "units":
            J = J + summand(**known, **pools)
        elif mask[j := net.objective.targets.index(k)]:
            J = J + summand(**known, **pools, d=target[j])
    return J
