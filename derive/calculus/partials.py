"""The local partial derivatives of a cell, rewritten in what the forward pass already has.

A unit is a short list of equations v_i = F_i(v_<i, old states, net inputs, parameters). Each F_i
is differentiated with respect to each symbol in it, and in the result every expression whose value
the forward pass has under a name is replaced by that name, largest first. That is how tanh′ turns
out to be 1 − y²: nobody stated it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from weakref import WeakKeyDictionary

import sympy
from sympy import Expr, Symbol

from derive.errors import DerivationError
from derive.functions import convention, step
from derive.network.cell import Cell
from derive.network.objective import Objective, Pool, Term

NEXT = "⁺"
"""Ends the name of a state's next value; no identifier has it, so no user's name can collide."""


@dataclass(frozen=True)
class Equation:
    """v = F: one line of a unit's forward computation."""

    symbol: Symbol
    expr: Expr


@dataclass(frozen=True)
class Partial:
    """∂(of)/∂(by): as SymPy differentiates it, and in terms of known quantities."""

    of: Symbol
    by: Symbol
    stated: Expr
    found: Expr


@dataclass(frozen=True)
class LocalSystem:
    """What one unit computes in one step, and every local partial of it.

    ``equations`` are in order of computation: functions worth remembering, intermediates, then
    the next states. ``old`` and ``new`` pair up; ``parameters`` are the trainable ones. ``gains``
    are ∂s/∂y of net inputs whose connections look at their target's own state: sums over
    connections, as the net inputs are, and known to the unit as these are.

    Where a unit is computed in parts (:mod:`derive.calculus.parts`), this is one of them: it
    computes ``computed`` and reads ``links``, what an earlier part has computed in the same step.
    """

    name: str
    old: tuple[Symbol, ...]
    new: tuple[Symbol, ...]
    net_inputs: tuple[Symbol, ...]
    parameters: tuple[Symbol, ...]
    fixed: tuple[Symbol, ...]
    equations: tuple[Equation, ...]
    partials: tuple[Partial, ...]
    output: int
    """Which of the states other units see."""
    computed: tuple[Symbol, ...] = ()
    links: tuple[Symbol, ...] = ()
    gains: tuple[Symbol, ...] = ()

    @property
    def into(self) -> tuple[Symbol, ...]:
        """What has partials, in order of computation."""
        return (*self.net_inputs, *(e.symbol for e in self.equations))

    @cached_property
    def inner(self) -> tuple[Symbol, ...]:
        """The symbols computed on the way to the next states, and kept within the unit."""
        return tuple(e.symbol for e in self.equations if e.symbol not in self.computed)

    def partial(self, of: Symbol, by: Symbol) -> Expr:
        """∂of/∂by in known quantities, zero if ``by`` does not stand in the equation of ``of``."""
        for p in self.partials:
            if p.of == of and p.by == by:
                return p.found
        return sympy.S.Zero


_systems: WeakKeyDictionary[Cell, LocalSystem] = WeakKeyDictionary()


def local_system(cell: Cell) -> LocalSystem:
    """A cell's equations differentiated: once for every unit, and every reader, of this cell."""
    if cell not in _systems:
        _systems[cell] = _differentiated(cell)
    return _systems[cell]


def _differentiated(cell: Cell) -> LocalSystem:
    eq = cell.equations
    old = tuple(eq.states)
    new = tuple(Symbol(y.name + NEXT, real=True) for y in old)
    trainable = {p.name for p in cell.trainable}
    parameters = tuple(p for p in eq.parameters if p.name in trainable)
    fixed = tuple(p for p in eq.parameters if p.name not in trainable)
    variables = [*old, *eq.net_inputs, *parameters]
    equations = [Equation(u, convention(f)) for u, f in eq.intermediates.items()]
    equations += [Equation(z, convention(f)) for z, f in zip(new, eq.states.values(), strict=True)]

    # Every declared name, used or not: an invented one must not stand for two things.
    taken = {v.name for v in (*variables, *fixed, *eq.intermediates)}
    while True:
        partials = _partials(equations, variables)
        remembered = _worth_remembering(equations, partials)
        if remembered is None:
            break
        name = next(n for i in range(len(taken) + 2) if (n := f"f{i or ''}") not in taken)
        taken.add(name)
        symbol = Symbol(name, real=True)
        place = next(i for i, e in enumerate(equations) if e.expr.has(remembered))
        equations = [Equation(e.symbol, e.expr.xreplace({remembered: symbol})) for e in equations]
        equations.insert(place, Equation(symbol, remembered))
    gains = tuple(
        (s, y, gain(s, y)) for s, expr in eq.synapses.items() for y in old if y in expr.free_symbols
    )
    return LocalSystem(
        cell.name,
        old,
        new,
        eq.net_inputs,
        parameters,
        fixed,
        tuple(equations),
        (*(Partial(s, y, g, g) for s, y, g in gains), *partials),
        cell.states.index(cell.output),
        new,
        gains=tuple(g for _, _, g in gains),
    )


SLOPE = "∂"
"""Stands between the two names in a slope's name; no identifier has it."""


def gain(net_input: Symbol, state: Symbol) -> Symbol:
    """The symbol of ∂s/∂y where connections into s look at the state y of their target."""
    return Symbol(f"{net_input.name}{SLOPE}{state.name}", real=True)


def in_known(expr: Expr, equations: list[Equation]) -> Expr:
    """``expr`` with every expression that the forward pass names replaced by the name.

    Largest first, so that tanh(s)/τ is found before tanh(s). Substitution only: solving y = f(s)
    for s, or simplify(), give forms that overflow.
    """
    known = [e for e in equations if not e.expr.is_Atom]
    for e in sorted(known, key=lambda e: -e.expr.count_ops()):
        expr = expr.xreplace({e.expr: e.symbol})
    return expr


def _partials(equations: list[Equation], variables: list[Symbol]) -> list[Partial]:
    found = []
    earlier = list(variables)
    for e in equations:
        for v in earlier:
            if v in e.expr.free_symbols:
                stated = convention(sympy.diff(e.expr, v))
                if stated != 0:
                    found.append(Partial(e.symbol, v, stated, in_known(stated, equations)))
        if not e.symbol.name.endswith(NEXT):
            earlier.append(e.symbol)
    return found


def is_costly(expr: Expr) -> bool:
    """Whether computing the outermost operation again would cost a library call."""
    if isinstance(expr, sympy.Pow):
        return not expr.exp.is_Integer
    return isinstance(expr, sympy.Function) and not isinstance(expr, sympy.Piecewise)


def _worth_remembering(equations: list[Equation], partials: list[Partial]) -> Expr | None:
    """A function value that both the forward pass and some partial compute: name it once."""
    named = {e.expr for e in equations}
    candidates = {
        part
        for p in partials
        for part in sympy.preorder_traversal(p.found)
        if is_costly(part) and part not in named and any(e.expr.has(part) for e in equations)
    }
    ordered = sorted(candidates, key=lambda c: (-c.count_ops(), sympy.default_sort_key(c)))
    return ordered[0] if ordered else None


# --- the other thing a person states: the objective -------------------------------------------

SOURCE = Symbol("x", real=True)

DESIRED, OUTPUT = Symbol("d", real=True), Symbol("y", real=True)


@dataclass(frozen=True)
class Pooled:
    """A quantity over all units of a term, and its partials by what each unit adds.

    ``by_output`` and ``by_pool`` are None for the largest of several: it only shifts, and is a
    constant of the calculus.
    """

    symbol: Symbol
    expr: Expr
    """What it is the sum, or the largest, of."""
    by_output: Expr | None = None
    by_pool: Mapping[Symbol, Expr] = field(default_factory=dict)
    """By the sums before it."""

    @property
    def shifts(self) -> bool:
        """Whether it is the largest of several."""
        return self.by_output is None


@dataclass(frozen=True)
class Injection:
    """One unit's term of J(t), and e = its derivative by the output.

    Where there are pools, ``error`` is the derivative with them held, and e has besides, for each
    sum P, (Σ_j ∂term_j/∂P)·∂P/∂y: the chain rule, in the reverse of the order they stand in.
    """

    expr: Expr
    error: Expr
    pools: tuple[Pooled, ...] = ()
    by_pool: Mapping[Symbol, Expr] = field(default_factory=dict)


def injection(objective: Objective) -> Injection:
    """Differentiate the summand of an objective with one term by the output: e_k(t)."""
    return injected(objective.only)


def injected(term: Term) -> Injection:
    """Differentiate a term by the output, and by what is pooled: once for every reader.

    Raises
    ------
    DerivationError
        Where a term depends on the largest of several.
    """
    if term not in _injections:
        _injections[term] = _injected(term)
    return _injections[term]


_injections: WeakKeyDictionary[Term, Injection] = WeakKeyDictionary()


def _injected(term: Term) -> Injection:
    expr = convention(term.expression)
    pools: list[Pooled] = []
    sums: list[Symbol] = []
    for pool in term.pools:
        share = convention(term.pooled(pool))
        if pool.kind == "max":
            prove_shift(term, pool)
            pools.append(Pooled(pool.symbol, share))
            continue
        by = {p: slope for p in sums if (slope := _slope(share, p)) != 0}
        pools.append(Pooled(pool.symbol, share, _slope(share, OUTPUT), by))
        sums.append(pool.symbol)
    by_pool = {p: slope for p in sums if (slope := _slope(expr, p)) != 0}
    return Injection(expr, _slope(expr, OUTPUT), tuple(pools), by_pool)


def _slope(expr: Expr, by: Symbol) -> Expr:
    return convention(sympy.diff(expr, by))


PARAMETER = Symbol("w", real=True)


@dataclass(frozen=True)
class Penalty:
    """A learned parameter's term of J(t), and its derivative by the parameter."""

    expr: Expr
    slope: Expr


def penalty(term: Term) -> Penalty:
    """Differentiate a term over learned parameters."""
    expr = convention(term.expression)
    return Penalty(expr, _slope(expr, PARAMETER))


# --- that the largest of several only shifts ---------------------------------------------------


CASES = (sympy.Piecewise, step, sympy.Heaviside, sympy.sign)


def prove_shift(term: Term, pool: Pool) -> None:
    """Prove that a term does not depend on a pool that is the largest of several.

    Written out over units l and j in symbolic number: the derivative by it, through the sums
    after it too, must be zero whatever y is.

    Raises
    ------
    DerivationError
        Where it is not found to be zero.
    """
    l, j, n = (Symbol(v, integer=True, positive=True) for v in ("l", "j", "n"))  # noqa: E741
    y = sympy.IndexedBase("y", real=True)
    shift = pool.symbol
    found: dict[Symbol, Expr] = {}
    for other in term.pools[term.pools.index(pool) + 1 :]:
        if other.kind == "max":
            continue  # it shifts, too, and has a proof of its own
        at = term.pooled(other).xreplace({**found, OUTPUT: y[l]})
        found[other.symbol] = sympy.Sum(at, (l, 1, n))
    whole = term.expression.xreplace({**found, OUTPUT: y[j]})
    slope = sympy.diff(whole, shift)
    left = _summed(slope, l)
    # Where cases depend on it, J may jump though its slope is zero on either side.
    jumps = any(f.has(shift) for f in whole.atoms(*CASES))
    if jumps or (left != 0 and sympy.simplify(left) != 0):
        raise DerivationError(
            f"objective.pools.{pool.name}: J depends on it, but a max may only shift: its "
            f"derivative, {_written(slope)}, is not zero whatever y is; state it so that it "
            'cancels, as in d*(y - c - log(P)) with P = ["sum", "exp(y - c)"]'
        )


def _summed(expr: Expr, index: Symbol) -> Expr:
    """``expr`` with every sum, freed of factors that do not depend on its index, as a symbol."""
    symbols: dict[Expr, Symbol] = {}

    def named(total: sympy.Sum) -> Expr:
        whole = sympy.S.Zero
        for part in sympy.Add.make_args(sympy.expand(total.function)):
            factor, rest = sympy.powsimp(part).as_independent(index, as_Add=False)
            whole += factor * symbols.setdefault(rest, sympy.Dummy(positive=True))
        return whole

    return expr.doit(deep=False).replace(lambda v: isinstance(v, sympy.Sum), named)


def _written(slope: Expr) -> str:
    text = str(slope)
    return text if len(text) < 80 else text[:77] + "…"
