"""The letters of a network in index form: SymPy objects that can be differentiated.

A signal carries its unit and its time as indices, ``y[k, τ]``; a weight its target, its source and,
where delays differ, its delay, ``w[k, l, D]``, and so does what else a connection has of its own; a
cell parameter its unit, ``tau[k]``; a sensitivity the unit it is of and what it is by,
``p[k, i, j, τ]``. Sums run over index ranges 0…n−1 (the units
U) and 0…n+m−1 (units and input lines U∪I), so that SymPy can differentiate them by an indexed
quantity and collapse them where that gives a Kronecker delta.
"""

from __future__ import annotations

import sympy
from sympy import Expr, Function, IndexedBase, KroneckerDelta, Sum, Symbol
from sympy.concrete.delta import deltasummation


def _index(name: str) -> Symbol:
    return Symbol(name, integer=True)


i, j, k, l = (_index(name) for name in "ijkl")  # noqa: E741 - the paper's letters
t, tau, tau2, t0, t1 = (_index(name) for name in ("t", "τ", "τ′", "t₀", "t₁"))
n, m, D, D2, LONGEST = (_index(name) for name in ("n", "m", "D", "D′", "D₁"))
a, q, r, r2, rho = (_index(name) for name in ("a", "q", "r", "r′", "ρ"))
h, h2 = (Symbol(name, integer=True, positive=True) for name in ("h", "h′"))
eta = Symbol("η", positive=True)

UNITS = (0, n - 1)
SIGNALS = (0, n + m - 1)
DELAYS = (1, LONGEST)
DELAYS_FROM_NOW = (0, LONGEST)
"""The same where some connection is heard in the same step."""
LATER = (1, Symbol("D₁", integer=True, positive=True))
"""The delays of those connections that are not: ``DELAYS`` again, but not all there are."""

MEMBER = IndexedBase("T", integer=True)
"""T[k, t] is 1 for k ∈ T(t), else 0."""

GROUP = IndexedBase("G", integer=True)
"""G[k] is the group of unit k, where sensitivities are kept within groups only."""


class J(Function):  # type: ignore[misc]
    """J(t), the objective at one time."""

    nargs = 1


class Total(Function):  # type: ignore[misc]
    """J^total(t₀, t₁), its sum over the epoch."""

    nargs = 2


class Pool(Function):  # type: ignore[misc]
    """P(t): a quantity that an objective pools over units, by its letter."""

    nargs = 2


class Largest(Function):  # type: ignore[misc]
    """max over l of a quantity: the quantity, 1 for the units it is over, and l."""

    nargs = 3


class Slope(Function):  # type: ignore[misc]
    """∂a/∂b: a derivative by name, through the one equation that gives a."""

    nargs = 2


class Within(Function):  # type: ignore[misc]
    """∂°a/∂b: a derivative by name, through a unit's equations of one step and no connection."""

    nargs = 2


class Ordered(Function):  # type: ignore[misc]
    """∂⁺a/∂b: the ordered derivative by name, through everything that follows from b."""

    nargs = 2


class Change(Function):  # type: ignore[misc]
    """Δa: how far a learning step moves it."""

    nargs = 1


class Carried(Function):  # type: ignore[misc]
    """a(i, j): which distinct weight the connection from j to i carries."""


def signal(name: str) -> IndexedBase:
    """A real quantity with indices."""
    return IndexedBase(name, real=True)


w, x, d, e = (signal(name) for name in "wxde")


class OfConnection(IndexedBase):  # type: ignore[misc]
    """What each connection has of its own besides its weight: indexed as a weight is."""


def of_connection(name: str) -> IndexedBase:
    """A real quantity that each connection has."""
    return OfConnection(name, real=True)


def tiered(name: str, of: str = "", by: str = "") -> IndexedBase:
    """A quantity that is *of* one thing and *by* another, as p^k_ij is of unit k and by w_ij.

    ``of`` and ``by`` name the state or the parameter where the letter alone does not tell. Its
    indices are the unit it is of, those of what it is by, and a time.
    """
    return signal(f"{name}|{of}|{by}" if of or by else name)


def cell_domain(label: str) -> tuple[int, Expr]:
    """The range of an index over the units that have one cell."""
    return (0, Symbol(f"n[{label}]", integer=True) - 1)


HERE = IndexedBase("here")


def collapse(total: Expr, *over: Symbol) -> Expr:
    """A sum with those of the indices ``over`` that a Kronecker delta fixes summed out.

    That the index lies in the range of the sum is what the delta's other side stands for, so no
    case distinction is made for it.
    """
    if not isinstance(total, Sum):
        return total
    body, left = total.function, []
    for limit in total.limits:
        deltas = [f for f in sympy.Mul.make_args(body) if isinstance(f, KroneckerDelta)]
        fixing = [f for f in deltas if limit[0] in f.free_symbols]
        if limit[0] not in over or not fixing:
            left.append(limit)
            continue
        # The rest of the product stays as it is while SymPy finds the index's value.
        value = deltasummation(HERE[limit[0]] * fixing[0], limit, no_piecewise=True).indices[0]
        body = (body / fixing[0]).xreplace({limit[0]: value})
    return Sum(body, *left) if left else body
