"""Rungs 2 and 3: a kernel against 50 digits, and its gradient against its own forward pass.

Both run on the network itself, on the functions a user calls. The other side of rung 3 needs no
derivative of anything: it evaluates J from the states that ``forward`` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Symbol
from sympy.core.relational import Relational

from derive.functions import relu, step
from derive.network.network import Network
from derive.program.interpret import MULTIPRECISION, compiled, numpy_arithmetic, run
from derive.program.ir import Program
from derive.verify.report import Claim
from derive.verify.unrolling import output_columns, step_equations

WRT = ("theta", "x", "y0")
LABEL = {"y": "forward y", "J": "J^total", "theta": "∂J/∂theta", "x": "∂J/∂x", "y0": "∂J/∂y0"}
CORNERS = (relu, step, sympy.Abs, sympy.sign, sympy.Max, sympy.Min, sympy.Piecewise)

COMPONENTS = 40
"""Components of each argument differenced one by one; beyond, drawn ones and directions."""

DIGITS = 50

STATEMENTS = 400_000
"""Assignments a run in 50 digits may take: a few seconds."""


@dataclass(frozen=True)
class Sample:
    """One set of arguments, and how far it keeps from every corner of the cells' functions."""

    theta: Any
    x: Any
    target: Any
    mask: Any
    y0: Any
    margin: float

    @property
    def steps(self) -> int:
        """T."""
        return int(len(self.x))

    def arguments(self, name: str) -> dict[str, Any]:
        """What ``forward`` or ``gradient`` takes."""
        only = () if name == "forward" else ("target", "mask")
        return {n: getattr(self, n) for n in ("theta", "x", *only, "y0")}


def draw(net: Network, seed: int = 0, dtype: str = "float64", most: int = 4096) -> Sample:
    """Random arguments on which a mistake shows.

    Weights are not symmetric and step Jacobians do not commute; there are at least three steps
    beyond the longest delay, a mask with zeros (one at the last step, where another target stays if
    there are several) and weights other than one, and targets far from the outputs. Where cells
    have corners the best of several draws is taken: the one that stays farthest from them.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    longest = net.wiring.longest_delay
    T = longest + 4 if longest + 4 <= most else 6
    cornered = any(_corners(net, k) for k in range(len(net.cells)))
    best: Sample | None = None
    draws = 40 if T * net.units <= 4000 else 4
    for _ in range(draws):
        sample = _drawn(net, generator, T, dtype)
        if not cornered:
            return sample
        sample = replace(sample, margin=margin(net, sample))
        if best is None or sample.margin > best.margin:
            best = sample
    assert best is not None
    return best


def _drawn(net: Network, generator: Any, T: int, dtype: str) -> Sample:
    n_T = len(net.objective.targets)
    w = net.wiring
    theta = net.init(0)
    fan_in = max(1.0, w.size / max(1, net.units))
    theta[: w.weights] = generator.normal(0, 1.2 / np.sqrt(fan_in), w.weights)
    # Cell parameters near their stated values, so that a time constant stays one.
    rest = theta[w.weights :]
    rest += generator.uniform(0.05, 0.3, rest.size) * np.maximum(1, np.abs(rest))
    mask = generator.choice([0.0, 1.0, 0.5], size=(T, n_T), p=[0.2, 0.6, 0.2])
    mask[-1] = 1.0
    mask[-2] = 1.0
    mask[-1, -1] = 0.0
    sample = Sample(
        theta,
        generator.normal(size=(T, net.inputs)),
        generator.normal(size=(T, n_T)) + 1.0,
        mask,
        generator.uniform(-0.8, 0.8, len(net.states)),
        np.inf,
    )
    rounded = {n: getattr(sample, n).astype(dtype) for n in ("theta", "x", "target", "mask", "y0")}
    return replace(sample, **rounded)


# --- the network as stated, in NumPy -------------------------------------------------------------


def stated_forward(
    net: Network, theta: Any, x: Any, y0: Any, probe: Callable[[int, Any], None] | None = None
) -> Any:
    """The states (T+1, N) straight from equations and connections, in float64.

    ``probe`` is called at each step with each cell and the values of its symbols over its units.
    """
    theta, x, y0 = (np.asarray(v, dtype=np.float64) for v in (theta, x, y0))
    T, w = len(x), net.wiring
    ports = [len(net.cells[c].net_inputs) for c in net.cell_index]
    first = np.concatenate([[0], np.cumsum(ports)]).astype(np.int64)
    columns = np.array(output_columns(net))
    cells = [_stated_cell(net, c, first) for c in range(len(net.cells))]
    y = np.zeros((T + 1, len(net.states)))
    signals = np.zeros((T + 1, net.units + net.inputs))  # row t: outputs and inputs of time t
    y[0] = y0
    for t in range(1, T + 1):
        signals[t - 1, : net.units] = y[t - 1, columns]
        signals[t - 1, net.units :] = x[t - 1]
        s = np.zeros(first[-1])
        there = t - w.delay >= 0
        carried = np.where(there, signals[np.maximum(t - w.delay, 0), w.source], 0.0)
        np.add.at(s, first[w.target] + w.port, theta[w.weight] * carried)
        for number, cell in enumerate(cells):
            values = cell.values(theta, y[t - 1], s)
            for at, function in zip(cell.columns, cell.functions, strict=True):
                y[t, at] = function(values)
            if probe is not None:
                probe(number, values)
    return y


@dataclass(frozen=True)
class _Stated:
    """A cell's equations as functions, and where its units' states and net inputs are."""

    columns: tuple[Any, ...]  # per state: its column for each unit
    rows: tuple[Any, ...]  # per net input: its place for each unit
    parameters: tuple[Any, ...]  # per parameter: places in theta (integers) or values
    functions: tuple[Callable[[tuple[Any, ...]], Any], ...]

    def values(self, theta: Any, before: Any, s: Any) -> tuple[Any, ...]:
        own = (theta[p] if p.dtype.kind == "i" else p for p in self.parameters)
        return (*(before[c] for c in self.columns), *(s[r] for r in self.rows), *own)


def _symbols(net: Network, cell: int) -> tuple[Symbol, ...]:
    eq = net.cells[cell].equations
    return (*eq.states, *eq.net_inputs, *eq.parameters)


def _stated_cell(net: Network, number: int, first: Any) -> _Stated:
    cell = net.cells[number]
    units = np.flatnonzero(net.cell_index == number)
    column = {place: i for i, place in enumerate(net.states)}
    symbols, arithmetic = _symbols(net, number), numpy_arithmetic(np.float64)
    return _Stated(
        tuple(np.array([column[k, s] for k in units.tolist()]) for s in cell.states),
        tuple(first[units] + port for port in range(len(cell.net_inputs))),
        tuple(
            net.unit_parameters[p.name][units] if p.trainable else net.values[p.name][units]
            for p in cell.parameters
        ),
        tuple(
            compiled(e, symbols, arithmetic) for e in step_equations(net, int(units[0])).values()
        ),
    )


def objective_value(net: Network, y: Any, target: Any, mask: Any) -> Any:
    """J^total of states y (T+1, N[, lanes]), summed in extended precision; works on complex y."""
    d, out = Symbol("d", real=True), Symbol("y", real=True)
    y = np.asarray(y)
    kind = np.clongdouble if np.iscomplexobj(y) else np.longdouble
    summand = compiled(net.objective.expression, (d, out), numpy_arithmetic(kind))
    columns = np.array(output_columns(net))[list(net.objective.targets)]
    shape = np.shape(target) + (1,) * (y.ndim - 2)
    there = np.reshape(mask, shape) != 0
    wanted = np.where(there, np.reshape(target, shape), 0).astype(kind)
    terms = np.reshape(mask, shape).astype(kind) * summand((wanted, y[1:, columns].astype(kind)))
    return np.where(there, terms, 0).sum(axis=(0, 1))


# --- corners -------------------------------------------------------------------------------------


def _corners(net: Network, cell: int) -> list[sympy.Expr]:
    """The expressions of a cell that must stay away from 0."""
    found: list[sympy.Expr] = []
    for expr in step_equations(net, _unit_with(net, cell)).values():
        for f in sympy.preorder_traversal(expr):
            if isinstance(f, (sympy.Max, sympy.Min)):
                found += [a - b for i, a in enumerate(f.args) for b in f.args[:i]]
            elif isinstance(f, (relu, step, sympy.Abs, sympy.sign)):
                found.append(f.args[0])
            elif isinstance(f, Relational):
                found.append(f.lhs - f.rhs)
    return sorted(set(found), key=sympy.default_sort_key)


def _unit_with(net: Network, cell: int) -> int:
    return int(np.flatnonzero(net.cell_index == cell)[0])


def margin(net: Network, sample: Sample) -> float:
    """How near the run of a sample comes to a corner."""
    arithmetic = numpy_arithmetic(np.float64)
    tests = [
        [compiled(e, _symbols(net, cell), arithmetic) for e in _corners(net, cell)]
        for cell in range(len(net.cells))
    ]
    nearest = [np.inf]

    def probe(cell: int, values: Any) -> None:
        for test in tests[cell]:
            distance = np.abs(test(values))
            # Exactly 0 is what a unit that nothing reaches computes; a step does not move it.
            nearest[0] = min(nearest[0], np.min(distance, where=distance > 0, initial=np.inf))

    stated_forward(net, sample.theta, sample.x, sample.y0, probe)
    return float(nearest[0])


def is_analytic(net: Network) -> bool:
    """Whether complex numbers may go through every cell and the objective."""
    expressions = [e for k in _firsts(net) for e in step_equations(net, k).values()]
    expressions.append(net.objective.expression)
    return not any(e.has(*CORNERS, sympy.erf, Relational) for e in expressions)


def _firsts(net: Network) -> list[int]:
    return [_unit_with(net, cell) for cell in range(len(net.cells))]


# --- rung 2: rounding ----------------------------------------------------------------------------


def rounding(
    net: Network, kernel: Any, programs: Mapping[str, Program], sample: Sample, dtype: str
) -> tuple[Claim, ...]:
    """The kernel against the same Program in 50 digits.

    The error of each output is that of its worst component, in units of last place of its largest
    one. The limit is the counted depth: twice T·(fan-in + fan-out + operations of a cell), one
    rounding for each on the way forward and one on the way back.
    """
    steps = _affordable(net, sample.steps)
    sample = replace(sample, x=sample.x[:steps], target=sample.target[:steps],
                     mask=sample.mask[:steps])  # fmt: skip
    limit = float(2 * steps * _depth(net))
    exactly = _multiprecision(programs, sample)
    y = kernel.forward(**sample.arguments("forward"))
    g = kernel.gradient(**sample.arguments("gradient"), wrt=WRT)
    J, plain = kernel.gradient(**sample.arguments("gradient"))
    claims = []
    method = f"rounding: {dtype} against {DIGITS} digits, in ulp"
    pairs = [("y", y), ("J", g.J), *((name, getattr(g, name)) for name in WRT)]
    for name, value in pairs:
        worst = ulps(value, exactly[name], dtype)
        if name == "J":
            worst = max(worst, ulps(J, exactly["J"], dtype))
        if name == "theta":
            worst = max(worst, ulps(plain, exactly["theta"], dtype))
        ok = bool(worst <= limit)
        claims.append(Claim(LABEL[name], method, worst, limit, ok, f"{steps} steps"))
    return tuple(claims)


def _affordable(net: Network, steps: int) -> int:
    per_step = 4 * (net.wiring.size + 4 * len(net.states) + net.inputs)
    return max(2, min(steps, STATEMENTS // per_step))


def _depth(net: Network) -> int:
    w = net.wiring
    fan_in = int(np.bincount(w.target).max()) if w.size else 0
    fan_out = int(np.bincount(w.source).max()) if w.size else 0
    operations = 0
    for k in _firsts(net):
        here = 0
        for expr in step_equations(net, k).values():
            functions = sum(isinstance(e, sympy.Function) for e in sympy.preorder_traversal(expr))
            here += int(expr.count_ops()) + 4 * functions
        operations = max(operations, here)
    objective = int(net.objective.expression.count_ops())
    return fan_in + fan_out + operations + objective


def _multiprecision(programs: Mapping[str, Program], sample: Sample) -> dict[str, Any]:
    with mpmath.workdps(DIGITS):
        number = np.frompyfunc(lambda v: mpmath.mpf(float(v)), 1, 1)
        inputs = {k: _objects(number, v) for k, v in sample.arguments("gradient").items()}
        sizes = {"T": sample.steps, "mask_step": 1, "mask_rows": sample.steps}
        found = run(programs["forward"], MULTIPRECISION, inputs, {"T": sample.steps})
        found |= run(programs["gradient_all"], MULTIPRECISION, inputs, sizes)
        return {k.removeprefix("grad_"): v for k, v in found.items()}


def _objects(number: Any, values: Any) -> Any:
    out = np.empty(values.shape, dtype=object)
    out[...] = number(values)
    return out


def ulps(value: Any, exactly: Any, dtype: str) -> float:
    """The largest error in units of last place of the largest component."""
    value, exactly = np.asarray(value).reshape(-1), np.asarray(exactly).reshape(-1)
    if not value.size:
        return 0.0
    if not np.isfinite(value.astype(np.float64)).all():
        return float("inf")
    with mpmath.workdps(DIGITS):
        largest = max(abs(v) for v in exactly)
        unit = np.spacing(np.dtype(dtype).type(float(largest)))
        worst = max(abs(mpmath.mpf(float(v)) - e) for v, e in zip(value, exactly, strict=True))
        return float(worst / mpmath.mpf(float(unit)))


# --- rung 3: difference quotients ----------------------------------------------------------------


def stated_claim(net: Network, kernel: Any, sample: Sample, dtype: str) -> Claim:
    """The kernel's states against the equations and connections as stated."""
    y = kernel.forward(**sample.arguments("forward"))
    wanted = stated_forward(net, sample.theta, sample.x, sample.y0)
    scale = max(1e-300, float(np.abs(wanted).max()))
    worst = float(np.abs(y.astype(np.float64) - wanted).max()) / scale
    limit = float(2 * sample.steps * _depth(net) * np.finfo(dtype).eps)
    method = "equations as stated, in NumPy"
    ok = bool(worst <= limit)
    return Claim(LABEL["y"], method, worst, limit, ok, f"{sample.steps} steps, relative")


def quotients(
    net: Network, kernel: Any, sample: Sample, dtype: str, seed: int = 0
) -> tuple[Claim, ...]:
    """The kernel's gradient against central differences of J computed from its forward pass.

    Three steps h, h/2, h/4 are extrapolated to h = 0 (Richardson; the error is of order h⁶). h is
    a power of two, small against the distance to the nearest corner. Arguments of up to 40
    components are differenced one by one, larger ones at 30 components and along 10 directions.
    """
    g = kernel.gradient(**sample.arguments("gradient"), wrt=WRT)
    _, plain = kernel.gradient(**sample.arguments("gradient"))
    double = dtype == "float64"
    h = 2.0**-6 if double else 2.0**-3
    if np.isfinite(sample.margin):
        h = min(h, 2.0 ** np.floor(np.log2(max(sample.margin, 2.0**-16) / 64)))
    limit = max(1e-9 if double else 1e-3, 256 * float(np.finfo(dtype).eps) / h)
    claims = []
    for name in WRT:
        at = getattr(sample, name)
        gradient = np.asarray(getattr(g, name), dtype=np.float64)
        scale = max(1e-8, float(np.abs(gradient).max())) if gradient.size else 1.0
        # What gives theta alone is another function than what gives all.
        answers = [gradient, np.asarray(plain, np.float64)] if name == "theta" else [gradient]
        worst = 0.0
        ways = directions(at.shape, seed)
        for direction in ways:
            slope = _slope(net, kernel, sample, name, direction, h)
            wanted = [float((answer * direction).sum()) for answer in answers]
            error = max(abs(slope - w) / scale for w in wanted)
            if error > limit and double:
                # Where J bends sharply h was too long; a wrong gradient fails at any.
                slope = _slope(net, kernel, sample, name, direction, h / 8)
                error = max(abs(slope - w) / scale for w in wanted)
            worst = worst if error <= worst else error  # NaN stays
        detail = f"{len(ways)} of {at.size} directions, h = {h:.2g}, relative"
        if at.size and not ways:
            detail = "nothing to differentiate by"
        method = "differences of the forward pass, extrapolated"
        claims.append(Claim(LABEL[name], method, worst, limit, bool(worst <= limit), detail))
    return tuple(claims)


def directions(shape: tuple[int, ...], seed: int) -> list[Any]:
    """Unit vectors where there are few components, else 30 of them and 10 random directions."""
    size = int(np.prod(shape))
    generator = np.random.Generator(np.random.PCG64(seed))
    chosen = np.arange(size)
    if size > COMPONENTS:
        chosen = np.sort(generator.choice(size, 30, replace=False))
    ways = []
    for i in chosen:
        e = np.zeros(size)
        e[i] = 1.0
        ways.append(e.reshape(shape))
    if size > COMPONENTS:
        for _ in range(10):
            v = generator.normal(size=size)
            ways.append((v / np.linalg.norm(v)).reshape(shape))
    return ways


def _slope(net: Network, kernel: Any, sample: Sample, name: str, way: Any, h: float) -> float:
    """dJ/dh along a direction, extrapolated from three central differences."""
    at = getattr(sample, name)

    def J(step: float) -> Any:
        moved = (at + step * way).astype(at.dtype)
        arguments = {**sample.arguments("forward"), name: moved}
        y = kernel.forward(**arguments)
        return objective_value(net, y, sample.target, sample.mask)

    row = [float((J(h / 2**i) - J(-h / 2**i)) * 2**i / (2 * h)) for i in range(3)]
    power = 4.0
    while len(row) > 1:
        row = [(power * b - a) / (power - 1) for a, b in zip(row, row[1:], strict=False)]
        power *= 4
    return row[0]


def complex_step(
    net: Network, forward: Program, kernel: Any, sample: Sample, dtype: str
) -> tuple[Claim, ...]:
    """The kernel's gradient against Im J(v + ih)/h of the forward Program run on complex numbers.

    There is no difference, so no cancellation: it is exact to rounding. Only for analytic cells.
    """
    if not is_analytic(net):
        return ()
    g = kernel.gradient(**sample.arguments("gradient"), wrt=WRT)
    h = 1e-30
    limit = float(8 * sample.steps * _depth(net) * np.finfo(dtype).eps)
    claims = []
    for name in WRT:
        at = getattr(sample, name)
        ways = directions(at.shape, 1)
        if not ways:
            continue
        stack = np.moveaxis(np.array(ways), 0, -1)
        lanes = (len(ways),)
        inputs: dict[str, Any] = {}
        for n, v in sample.arguments("forward").items():
            wide = v.astype(np.complex128)[..., None] + np.zeros(lanes)
            inputs[n] = wide + 1j * h * stack if n == name else wide
        y = run(forward, numpy_arithmetic(np.complex128), inputs, {"T": sample.steps}, lanes)["y"]
        slopes = objective_value(net, y, sample.target, sample.mask).imag / h
        gradient = np.asarray(getattr(g, name), dtype=np.float64)
        along = (gradient[..., None] * stack).reshape(-1, len(ways)).sum(axis=0)
        scale = max(1e-8, float(np.abs(gradient).max()))
        worst = float(np.abs(slopes - along).max()) / scale
        ok = bool(worst <= limit)
        detail = f"{len(ways)} of {at.size} directions, relative"
        claims.append(Claim(LABEL[name], "complex step", worst, limit, ok, detail))
    return tuple(claims)
