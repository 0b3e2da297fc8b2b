"""The terms of an objective, placed: which units, columns and constants each is computed from.

Units whose outputs are judged are numbered: first those with targets, by column, then the others
that some term is over. Errors are kept in this order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sympy import Symbol

from derive.calculus.partials import Injection, Penalty, injected, penalty
from derive.network.network import Network
from derive.network.objective import Term
from derive.program.ir import Array, Index, Lookup, Operand, Ref, as_table


@dataclass(frozen=True, eq=False)
class Placed:
    """A term over units.

    ``table`` is what its tables' names begin with; empty where it is over all targets, whose
    columns are their places.
    """

    partials: Injection
    number: int
    units: tuple[int, ...]
    reads_targets: bool
    turns: str
    table: str
    constants: dict[Symbol, tuple[float, ...]]

    @property
    def count(self) -> int:
        """Units."""
        return len(self.units)

    def column(self, j: Index) -> Index:
        """The column of target and mask of its j-th unit."""
        return Lookup(f"{self.table}_column", j) if self.table else j

    def place(self, j: Index) -> Index:
        """The place of its j-th unit among those that are judged."""
        return Lookup(f"{self.table}_judged", j) if self.table else j

    def unit(self, j: Index) -> Index:
        """Its j-th unit, which is its column of signals."""
        return Lookup(f"{self.table}_unit" if self.table else "target_unit", j)

    def own(self, j: Index, forced: bool) -> Index:
        """The column of what the unit itself computed."""
        if not forced:
            return self.unit(j)
        return Lookup(f"{self.table}_own" if self.table else "target_own", j)

    def pool(self, symbol: Symbol) -> Ref:
        """The local variable of a pool."""
        return Ref(f"pool_{self.number}_{symbol.name}")

    def slope(self, symbol: Symbol) -> Ref:
        """The local variable of J(t)'s derivative by a pool."""
        return Ref(f"by_pool_{self.number}_{symbol.name}")

    def fixed(self, j: Index) -> dict[Symbol, Operand]:
        """Where the constants of its j-th unit stand."""
        return _fixed(self.constants, self.number, j)


@dataclass(frozen=True, eq=False)
class Penalized:
    """A term over learned parameters: the places in theta, and its derivative."""

    partials: Penalty
    number: int
    entries: tuple[int, ...]
    turns: str
    constants: dict[Symbol, tuple[float, ...]]

    def entry(self, i: Index) -> Index:
        """The place in theta of its i-th parameter."""
        return Lookup(f"term_{self.number}_entry", i)

    def fixed(self, i: Index) -> dict[Symbol, Operand]:
        """Where the constants stand."""
        return _fixed(self.constants, self.number, i)


@dataclass(frozen=True, eq=False)
class Judging:
    """An objective laid out."""

    units: tuple[int, ...]
    """Those whose outputs are judged, in the order their errors are kept."""
    targets: int
    """How many of them have targets."""
    terms: tuple[Placed, ...]
    penalties: tuple[Penalized, ...]
    tables: dict[str, Any] = field(default_factory=dict)

    @property
    def unit_table(self) -> str:
        """The table of the units that are judged."""
        return "target_unit" if len(self.units) == self.targets else "judged_unit"

    @property
    def turns(self) -> str:
        """What formulas call the number of units that are judged."""
        return "n_T" if len(self.units) == self.targets else str(len(self.units))

    @property
    def single(self) -> bool:
        """Whether one term alone is over units: all those that have targets."""
        return len(self.terms) == 1 and not self.terms[0].table

    def arrays(self) -> dict[str, Array]:
        """Local variables of pools, and constants that differ between units."""
        found = {}
        for term in self.terms:
            for p in term.partials.pools:
                name = term.pool(p.symbol).array
                found[name] = Array(name, (), "scalar", True)
                name = term.slope(p.symbol).array
                found[name] = Array(name, (), "scalar", True)
            for symbol, values in term.constants.items():
                if len(set(values)) > 1:
                    name = _constant(term.number, symbol)
                    numbers = np.array(values)
                    found[name] = Array(
                        name, (len(values),), "const", meaning=symbol.name, values=numbers
                    )
        return found


def place_terms(net: Network, own: Any) -> Judging:
    """Place an objective's terms.

    Parameters
    ----------
    own : integer array
        For each unit the column of what it itself computed.
    """
    objective, n = net.objective, net.units
    targets, units = objective.targets, objective.judged(n)
    column, place = {k: j for j, k in enumerate(targets)}, {k: j for j, k in enumerate(units)}
    tables: dict[str, Any] = {"judged_unit": as_table(units)}
    terms, penalties = [], []
    for number, term in enumerate(objective.terms):
        if term.over == "parameters":
            entries = term.entries(net)
            tables[f"term_{number}_entry"] = as_table(entries)
            turns = "θ" if len(entries) == net.size else str(len(entries))
            fixed = _values(term, len(entries))
            penalties.append(Penalized(penalty(term), number, entries, turns, fixed))
            continue
        own_units = term.units_of(n)
        reads_targets = term.over == "targets"
        name, turns = "", "n_T"
        if not (reads_targets and own_units == targets):
            name = f"term_{number}"
            turns = "n" if len(own_units) == n else str(len(own_units))
            tables[f"{name}_unit"] = as_table(own_units)
            tables[f"{name}_judged"] = as_table([place[k] for k in own_units])
            tables[f"{name}_own"] = as_table(own[list(own_units)])
            if reads_targets:
                tables[f"{name}_column"] = as_table([column[k] for k in own_units])
        fixed = _values(term, len(own_units))
        terms.append(Placed(injected(term), number, own_units, reads_targets, turns, name, fixed))
    return Judging(units, len(targets), tuple(terms), tuple(penalties), tables)


def _values(term: Term, count: int) -> dict[Symbol, tuple[float, ...]]:
    return {Symbol(name, real=True): term.values(name, count) for name in term.constants}


def _constant(number: int, symbol: Symbol) -> str:
    return f"constant_{number}_{symbol.name}"


def _fixed(
    constants: dict[Symbol, tuple[float, ...]], number: int, j: Index
) -> dict[Symbol, Operand]:
    return {
        symbol: Ref(_constant(number, symbol), (j,)) if len(set(values)) > 1 else values[0]
        for symbol, values in constants.items()
        if values
    }
