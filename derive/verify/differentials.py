"""The derivative of something defined step by step: the total differential.

Each definition is differentiated by itself, by ``sympy.diff``, by each symbol in it. The derivative
of an expression by a variable is the sum of these partial derivatives, each times the derivative
of its symbol, which follows from the symbol's own definition; it is 1 of the variable itself and 0
of what is constant. Nothing is said here of networks, or of an order in which anything is best
computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy
from sympy import Expr, Symbol


@dataclass(frozen=True, eq=False)
class Differentials:
    """Derivatives of what is written in symbols that stand for expressions in others.

    Attributes
    ----------
    definitions : mapping of Symbol to Expr
        What symbols stand for; all others are variables and constants.
    found : dict of Symbol to Expr
        Gets a symbol for each derivative of each definition, and what it stands for.
    partials : list of Symbol
        Gets those of them that are derivatives of one definition by itself.
    mark : str
        Goes into their names.
    """

    definitions: Mapping[Symbol, Expr]
    found: dict[Symbol, Expr]
    partials: list[Symbol]
    mark: str = ""
    _partials: dict[tuple[Expr, Symbol], Expr] = field(default_factory=dict)
    _known: dict[tuple[Symbol, Symbol], Expr] = field(default_factory=dict)

    def of(self, expr: Expr, v: Symbol) -> Expr:
        """d expr / dv, in these symbols."""
        symbols = sorted(expr.free_symbols, key=str)
        rates = [(a, self._of_symbol(a, v)) for a in symbols]
        return sympy.Add(*(self._partial(expr, a) * rate for a, rate in rates if rate != 0))

    def _of_symbol(self, a: Symbol, v: Symbol) -> Expr:
        if a == v:
            return sympy.S.One
        if a not in self.definitions:
            return sympy.S.Zero
        if (a, v) not in self._known:
            value = self.of(self.definitions[a], v)
            self._known[a, v] = self._symbol(f"d{self.mark} {a} by {v}", value)
        return self._known[a, v]

    def _partial(self, expr: Expr, a: Symbol) -> Expr:
        if (expr, a) not in self._partials:
            value = sympy.diff(expr, a)
            found = self._symbol(f"partial{self.mark} {len(self._partials)}", value)
            if found is not value:
                self.partials.append(found)
            self._partials[expr, a] = found
        return self._partials[expr, a]

    def _symbol(self, name: str, value: Expr) -> Expr:
        if not value.args:
            return value
        symbol = Symbol(name, real=True)
        self.found[symbol] = value
        return symbol
