"""The adjoint in continuous time: its equations, and their solution by an ODE solver.

The solution is what a network's gradient tends to as Δt → 0. It stands beside the kernels as
something to compare with, and is no way to train: an adaptive solver takes the time it takes.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Expr, Symbol

from derive.calculus.adjoint import CellAdjoint, cell_adjoint
from derive.calculus.continuous_adjoint import continuous_derivation, undiscretized
from derive.calculus.derivation import Derivation
from derive.calculus.partials import DESIRED, OUTPUT, LocalSystem, injection, local_system
from derive.calculus.steps import Step
from derive.errors import DerivationError
from derive.network.network import Network
from derive.program.interpret import compiled, numpy_arithmetic

Floats = np.ndarray[Any, np.dtype[np.float64]]
Values = dict[Symbol, Any]
Gradient = namedtuple("Gradient", ["J", "theta", "y0"])
NUMPY = numpy_arithmetic()


def continuous_adjoint(net: Any) -> ContinuousAdjoint:
    """The adjoint of a network in continuous time.

    Parameters
    ----------
    net : Network, dict or path of a spec
        Of cells that :func:`derive.discretize` made, or of ``[cell.rates]``; Δt and the scheme
        play no part.

    Returns
    -------
    ContinuousAdjoint
        Prints as numbered equations; ``gradient`` solves them.

    Raises
    ------
    DerivationError
        For a cell that states its next value, a delay other than 1, or a readout that depends on
        a net input.

    Examples
    --------
    >>> adjoint = derive.continuous_adjoint("examples/leaky.toml")
    >>> print(adjoint["eps"])
    (26) −ε̇_k(t) = e_k(t) − ε_k(t)/tau_k + Σ_{l∈U} w_lk·δ_l(t),  k∈U,  t = t₁…t₀
    """
    net = net if isinstance(net, Network) else Network.load(net)
    return ContinuousAdjoint(net, continuous_derivation(net))


@dataclass(frozen=True, eq=False)
class ContinuousAdjoint:
    """The costate equation and the gradients of a network in continuous time.

    Attributes
    ----------
    network : Network
    derivation : Derivation
        Its equations; also by name, ``adjoint["gradient_tau"]``.
    """

    network: Network
    derivation: Derivation

    @property
    def equations(self) -> tuple[Step, ...]:
        """The numbered equations, in order."""
        return self.derivation.steps

    def __getitem__(self, name: str) -> Step:
        return self.derivation[name]

    def __str__(self) -> str:
        return str(self.derivation)

    def latex(self) -> str:
        """All equations as one ``align`` environment."""
        return self.derivation.latex()

    def _repr_latex_(self) -> str:
        return self.latex()

    @cached_property
    def flow(self) -> Flow:
        """What the equations compute, on arrays."""
        return Flow(self.network)

    def gradient(
        self,
        theta: Any,
        x: Callable[[float], Any] | None,
        target: Callable[[float], Any],
        t1: float,
        *,
        t0: float = 0.0,
        y0: Any = None,
        rtol: float = 1e-10,
        atol: float = 1e-12,
    ) -> Any:
        """J^total = ∫ J dt and its gradient, by SciPy's solver forwards and backwards.

        Parameters
        ----------
        theta : (P,) array
        x : function of time, giving (m,), or None
            The input lines; None if there are none.
        target : function of time, giving (n_T,)
            In the order of the objective's targets.
        t0, t1 : float
            The span, in the units of the time constants.
        y0 : (N,) array, optional
            The states at t0, by ``net.states``; zero if not given. Readouts follow from them.
        rtol, atol : float
            The solver's tolerances.

        Returns
        -------
        Gradient
            A named tuple of J, theta (P,) and y0 (N,).

        Raises
        ------
        DerivationError
            If SciPy is missing, the span is empty, or the solver gives up.
        ValueError
            For an array of another shape.
        """
        net = self.network
        theta = np.asarray(theta, dtype=float)
        if theta.shape != (net.size,):
            raise ValueError(f"theta: expected (P={net.size},), got {theta.shape}")
        start = np.zeros(len(net.states)) if y0 is None else np.asarray(y0, dtype=float)
        if start.shape != (len(net.states),):
            raise ValueError(f"y0: expected (N={len(net.states)},), got {start.shape}")
        if (x is None) != (net.inputs == 0):
            raise ValueError(f"x: expected a function of time giving (m={net.inputs},)")
        if not t1 > t0:
            raise DerivationError(f"continuous adjoint: the span {t0!r} to {t1!r} is empty")
        lines = x or (lambda t: np.zeros(0))
        run = Run(self.flow, theta, lines, target)
        tolerances = {"rtol": rtol, "atol": atol}
        moving = self.flow.moving
        forward = _solve(run.forward, (t0, t1), [*start[moving], 0.0], tolerances, True)
        back = _solve(
            lambda t, v: run.backward(t, forward.sol(t)[:-1], v),
            (t1, t0),
            np.zeros(len(moving) + net.size),
            tolerances,
            False,
        )
        by_start = np.zeros(len(net.states))
        by_start[moving] = back.y[: len(moving), -1]
        return Gradient(float(forward.y[-1, -1]), back.y[len(moving) :, -1].copy(), by_start)


def _solve(rate: Any, span: Any, start: Any, tolerances: Any, dense: bool) -> Any:
    try:
        from scipy.integrate import solve_ivp
    except ImportError:
        raise DerivationError(
            "continuous adjoint: solving the equations needs SciPy: pip install 'derive[train]'"
        ) from None
    found = solve_ivp(rate, span, start, method="DOP853", dense_output=dense, **tolerances)
    if not found.success:
        raise DerivationError(f"continuous adjoint: the solver gave up: {found.message}")
    return found


# --- the equations on arrays -----------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """The units of one cell: its equations, and where they stand."""

    local: LocalSystem
    adjoint: CellAdjoint
    units: Any
    slots: Any  # (rates, units): places in the vector of states that have a rate
    output: Symbol

    @cached_property
    def forward(self) -> list[tuple[Symbol, tuple[Symbol, ...], Any]]:
        """Each equation as a function of the values of what stands in it."""
        return [_function(e.symbol, e.expr) for e in self.local.equations]

    @cached_property
    def backward(self) -> list[tuple[Symbol, tuple[Symbol, ...], Any]]:
        """The same for the backward equations."""
        return [_function(e.symbol, e.expr) for e in self.adjoint.equations]


def _function(symbol: Symbol, expr: Expr) -> tuple[Symbol, tuple[Symbol, ...], Any]:
    read = tuple(sorted(expr.free_symbols, key=str))
    return symbol, read, compiled(expr, read, NUMPY)


@dataclass
class Flow:
    """A network's rates and costate rates, cell by cell, all units of a cell at once."""

    net: Network
    parts: list[Part] = field(init=False)
    moving: list[int] = field(init=False)
    """The columns of ``net.states`` that have a rate."""

    def __post_init__(self) -> None:
        column = {place: i for i, place in enumerate(self.net.states)}
        rated = [c.discretized.continuous.rates if c.discretized else () for c in self.net.cells]
        self.moving = [i for (k, y), i in column.items() if y in rated[self.net.cell_index[k]]]
        place = {c: i for i, c in enumerate(self.moving)}
        self.parts = []
        for c, cell in enumerate(undiscretized(self.net).cells):
            local, units = local_system(cell), np.flatnonzero(self.net.cell_index == c)
            slots = np.array([[place[column[k, y]] for k in units.tolist()] for y in rated[c]])
            seen = local.output
            output = local.old[seen] if seen < len(rated[c]) else local.new[seen]
            self.parts.append(Part(local, cell_adjoint(local), units, slots, output))
        error = injection(self.net.objective)
        both = (DESIRED, OUTPUT)
        self.term = compiled(error.expr, both, NUMPY)
        self.error = compiled(error.error, both, NUMPY)


@dataclass
class Run:
    """A flow with values: theta, inputs and targets as functions of time."""

    flow: Flow
    theta: Floats
    x: Callable[[float], Any]
    target: Callable[[float], Any]

    def __post_init__(self) -> None:
        net, wiring = self.flow.net, self.flow.net.wiring
        names = [net.cells[net.cell_index[k]].net_inputs for k in wiring.target.tolist()]
        self.port = np.array([n[p] for n, p in zip(names, wiring.port.tolist(), strict=True)])
        self.matrices = {}
        for name in sorted(set(self.port.tolist())):
            here = self.port == name
            matrix = np.zeros((net.units, net.units + net.inputs))
            weights = self.theta[wiring.weight[here]]
            np.add.at(matrix, (wiring.target[here], wiring.source[here]), weights)
            self.matrices[name] = matrix
        self.parameters = [
            {
                p: self.theta[net.unit_parameters[p.name][part.units]]
                if p in part.local.parameters
                else net.values[p.name][part.units]
                for p in (*part.local.parameters, *part.local.fixed)
            }
            for part in self.flow.parts
        ]

    def values(self, t: float, y: Any) -> tuple[list[Values], Any]:
        """Every quantity of the forward equations at a time, cell by cell, and the signals x."""
        net, known = self.flow.net, []
        signals = np.concatenate([np.zeros(net.units), np.asarray(self.x(t), dtype=float)])
        for part, parameters in zip(self.flow.parts, self.parameters, strict=True):
            states = part.local.old[: len(part.slots)]
            at: Values = {**parameters, **dict(zip(states, y[part.slots], strict=True))}
            _evaluate(part.forward, at)  # outputs need no net input
            signals[part.units] = at[part.output]
            known.append(at)
        for part, at in zip(self.flow.parts, known, strict=True):
            for s in part.local.net_inputs:
                matrix = self.matrices.get(s.name)
                at[s] = 0.0 if matrix is None else (matrix @ signals)[part.units]
            _evaluate(part.forward, at)
        return known, signals

    def forward(self, t: float, y: Any) -> Any:
        """ẏ, and J(t) as the rate of J^total."""
        known, signals = self.values(t, y[:-1])
        rate = np.zeros_like(y)
        for part, at in zip(self.flow.parts, known, strict=True):
            for slot, z in zip(part.slots, part.local.new, strict=False):
                rate[slot] = at[z]
        outputs = signals[list(self.flow.net.objective.targets)]
        rate[-1] = np.sum(self.flow.term((np.asarray(self.target(t), dtype=float), outputs)))
        return rate

    def backward(self, t: float, y: Any, v: Any) -> Any:
        """The rates of ε, and of what is left to integrate of the gradient by theta."""
        net, wiring = self.flow.net, self.flow.net.wiring
        known, signals = self.values(t, y)
        eps, rate = v[: len(y)], np.zeros_like(v)
        by_theta = np.zeros(net.size)
        delta = {name: np.zeros(net.units) for name in self.matrices}
        zero = np.zeros(net.units)
        for part, at in zip(self.flow.parts, known, strict=True):
            self._through(part, at, eps, zero)
            for s, symbol in part.adjoint.delta.items():
                if s.name in delta:
                    delta[s.name][part.units] = at[symbol]
        injected = np.zeros(net.units)
        targets = list(net.objective.targets)
        wanted = np.asarray(self.target(t), dtype=float)
        injected[targets] = self.flow.error((wanted, signals[targets]))
        for name, matrix in self.matrices.items():
            injected += (matrix.T @ delta[name])[: net.units]
            here = self.port == name
            product = delta[name][wiring.target[here]] * signals[wiring.source[here]]
            np.add.at(by_theta, wiring.weight[here], product)
        for part, at in zip(self.flow.parts, known, strict=True):
            self._through(part, at, eps, injected)
            for slot, old in zip(part.slots, part.local.old, strict=False):
                carry = part.adjoint.carry.get(old)
                total = 0.0 if carry is None else at[carry]
                rate[slot] = -(total + (injected[part.units] if old == part.output else 0.0))
            for p, symbol in part.adjoint.parameters.items():
                np.add.at(by_theta, net.unit_parameters[p.name][part.units], at[symbol])
        rate[len(y) :] = -by_theta
        return rate

    def _through(self, part: Part, at: Values, eps: Any, of_output: Any) -> None:
        """The backward equations of a cell, for given ε of its rates and of its output."""
        for r, (z, bar) in enumerate(zip(part.local.new, part.adjoint.eps, strict=True)):
            if r < len(part.slots):
                at[bar] = eps[part.slots[r]]
            else:
                at[bar] = of_output[part.units] if z == part.output else 0.0
        _evaluate(part.backward, at, np.ones(len(part.units)))


def _evaluate(
    equations: list[tuple[Symbol, tuple[Symbol, ...], Any]], at: Values, ones: Any = 1.0
) -> None:
    """Compute, in order, what can be computed of the values there are."""
    for symbol, read, function in _computable(equations, at):
        at[symbol] = function(tuple(at[v] for v in read)) * ones


def _computable(
    equations: list[tuple[Symbol, tuple[Symbol, ...], Any]], at: Values
) -> Iterator[tuple[Symbol, tuple[Symbol, ...], Any]]:
    for equation in equations:
        if all(v in at for v in equation[1]):
            yield equation
