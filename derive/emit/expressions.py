"""A right-hand side as text that is both Cython and C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy
from sympy import Expr, Symbol
from sympy.core.relational import Relational

from derive.errors import EmitError
from derive.functions import greatest, logistic, relu, softplus, step

LIBRARY = {
    sympy.exp: "exp", sympy.log: "log", sympy.tanh: "tanh", sympy.sinh: "sinh",
    sympy.cosh: "cosh", sympy.sin: "sin", sympy.cos: "cos", sympy.tan: "tan",
    sympy.asin: "asin", sympy.acos: "acos", sympy.atan: "atan", sympy.asinh: "asinh",
    sympy.acosh: "acosh", sympy.atanh: "atanh", sympy.erf: "erf", sympy.Abs: "fabs",
    logistic: "logistic", softplus: "softplus", relu: "relu", step: "step",
    sympy.sign: "sign", sympy.Max: "larger", sympy.Min: "smaller", greatest: "larger",
}  # fmt: skip
"""SymPy's functions by the names they have in an emitted module, where each is ``k_NAME``."""

RELATIONS = {
    sympy.Ne: "!=", sympy.Eq: "==", sympy.Gt: ">", sympy.Ge: ">=", sympy.Lt: "<", sympy.Le: "<=",
}  # fmt: skip

ADD, MUL, UNARY, ATOM = 1, 2, 3, 4


@dataclass(frozen=True)
class _Names:
    of: Mapping[Symbol, str]
    lanes: bool
    itemsize: int

    def quotient(self, top: str, bottom: str) -> tuple[str, int]:
        # Cython casts both sides of "/" to a number, which a vector is not; a C macro divides it.
        return (f"k_div({top}, {bottom})", ATOM) if self.lanes else (f"{top}/{bottom}", MUL)


def expression(
    expr: Expr, names: Mapping[Symbol, str], lanes: bool = False, itemsize: int = 8
) -> str:
    """``expr`` with each symbol printed as its name; ``lanes`` where names may be vectors.

    The order of operations is a function of the expression alone, never of the names, so that
    every schedule of a network rounds alike.

    Raises
    ------
    EmitError
        For a function that has no printed form.
    """
    return _text(expr, _Names(names, lanes, itemsize))[0]


def functions_in(expr: Expr) -> set[str]:
    """The names of library functions that the printed form of ``expr`` calls."""
    # Not atoms(Function): Max and Min are no Function of SymPy.
    used = {LIBRARY[type(f)] for f in sympy.preorder_traversal(expr) if type(f) in LIBRARY}
    for power in expr.atoms(sympy.Pow):
        if power.exp in (sympy.Rational(1, 2), -sympy.Rational(1, 2)):
            used.add("sqrt")
        elif not (power.exp.is_Integer and abs(int(power.exp)) <= MULTIPLIED):
            used.add("pow")
    return used


MULTIPLIED = 4
"""Whole powers up to this are written as products."""


def _text(e: Expr, names: _Names) -> tuple[str, int]:
    if e.is_Symbol:
        return names.of[e], ATOM
    if e.is_Integer:
        n = int(e)
        text = str(n) if abs(n) < 2**31 else repr(float(n))
        # Cython writes a whole number beside a real one as a double: in float32 that would make
        # the whole expression one.
        cast = names.itemsize < 8 or abs(n) >= 2**31
        return (f"<real>{text}", UNARY) if cast else (text, ATOM if n >= 0 else UNARY)
    if e.is_Rational:
        # Beyond 2⁵³ the parts are no exact numbers, nor C's whole numbers.
        if float(e).as_integer_ratio() == (e.p, e.q) or max(abs(e.p), e.q) >= 2**53:
            return f"<real>{float(e)!r}", UNARY
        return names.quotient(f"<real>{int(e.p)}", f"<real>{int(e.q)}")
    if e.is_Float or e.is_NumberSymbol:
        return f"<real>{float(e)!r}", UNARY
    if e.is_Add:
        return _sum(e, names), ADD
    if e.is_Mul:
        return _product(e, names), MUL
    if e.is_Pow:
        return _power(e.base, e.exp, names)
    if isinstance(e, sympy.Piecewise):
        return _choice(e, names), ATOM
    if type(e) in LIBRARY:
        args = [_text(a, names)[0] for a in e.args]
        name = f"k_{LIBRARY[type(e)]}"
        if isinstance(e, (sympy.Max, sympy.Min)):
            # More than two: nested from the left.
            text = args[0]
            for a in args[1:]:
                text = f"{name}({text}, {a})"
            return text, ATOM
        return f"{name}({', '.join(args)})", ATOM
    raise EmitError(f"{type(e).__name__} has no printed form; use {', '.join(LIBRARY.values())}")


def _at(e: Expr, names: _Names, least: int) -> str:
    text, strength = _text(e, names)
    return text if strength >= least else f"({text})"


def _sum(e: Expr, names: _Names) -> str:
    terms = e.as_ordered_terms()
    out = _at(terms[0], names, ADD)
    for term in terms[1:]:
        if term.could_extract_minus_sign():
            out += f" - {_at(-term, names, MUL)}"
        else:
            out += f" + {_at(term, names, MUL)}"
    return out


def _product(e: Expr, names: _Names) -> str:
    coefficient, rest = e.as_coeff_Mul()
    if coefficient.is_negative:
        positive = -e
        text, strength = _text(positive, names)
        return f"-{text}" if strength >= MUL else f"-({text})"
    over, under = [], []
    for factor in rest.as_ordered_factors() if coefficient != 1 else e.as_ordered_factors():
        if factor.is_Pow and factor.exp.is_Rational and factor.exp.is_negative:
            under.append(sympy.Pow(factor.base, -factor.exp))
        else:
            over.append(factor)
    if coefficient != 1:
        if coefficient.is_Rational and coefficient.q != 1 and not over:
            over = [sympy.Integer(coefficient.p)]
            under.insert(0, sympy.Integer(coefficient.q))
        else:
            over.insert(0, coefficient)
    top = "*".join(_at(f, names, UNARY) for f in over) if over else "<real>1"
    if not under:
        return top
    bottom = [_at(f, names, ATOM if len(under) == 1 else UNARY) for f in under]
    joined = bottom[0] if len(bottom) == 1 else f"({'*'.join(bottom)})"
    return names.quotient(top, joined)[0]


def _power(base: Expr, exponent: Expr, names: _Names) -> tuple[str, int]:
    if exponent.is_Integer and 0 < int(exponent) <= MULTIPLIED:
        return "*".join([_at(base, names, UNARY)] * int(exponent)), MUL
    if exponent == sympy.Rational(1, 2):
        return f"k_sqrt({_text(base, names)[0]})", ATOM
    if exponent.is_Rational and exponent.is_negative:
        return names.quotient("<real>1", _at(sympy.Pow(base, -exponent), names, ATOM))
    return f"k_pow({_text(base, names)[0]}, {_text(exponent, names)[0]})", ATOM


def _choice(e: sympy.Piecewise, names: _Names) -> str:
    (value, condition), rest = e.args[0], e.args[1:]
    if condition == sympy.true:
        return _text(value, names)[0]
    if not isinstance(condition, Relational):
        raise EmitError(f"condition {condition} is not a single comparison")
    left, right = (_at(a, names, ADD) for a in condition.args)
    test = f"{left} {RELATIONS[type(condition)]} {right}"
    otherwise = _text(sympy.Piecewise(*rest), names)[0] if rest else "0"
    return f"k_where({test}, {_text(value, names)[0]}, {otherwise})"
