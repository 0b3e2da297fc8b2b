"""Functions that SymPy lacks, each given by its definition alone.

Their derivatives are not written here: ``fdiff`` differentiates the definition and looks for a
form in terms of the function's own value, by naming the exponential in the definition and solving
for it. That gives v·(1 − v) for the logistic function without anyone stating it.

At a corner: step(0) = 0, so relu′(0) = 0; sign(0) = 0, so |x|′ is 0 at 0; where the two arguments
of a maximum are equal its derivative by either is 0.
"""

from __future__ import annotations

from typing import Any

import sympy
from sympy import Expr, Function, Symbol


class Defined(Function):  # type: ignore[misc]
    """A function of one argument that is given by a definition."""

    nargs = 1

    @classmethod
    def definition(cls, x: Expr) -> Expr:
        """The function's value in terms of functions SymPy has."""
        raise NotImplementedError

    def fdiff(self, argindex: int = 1) -> Expr:
        """The derivative, found from the definition."""
        x, v = Symbol("x", real=True), Symbol("v", real=True)
        slope: Expr = derivative(type(self)).xreplace({v: self, x: self.args[0]})
        return slope

    def _eval_rewrite(self, rule: Any, args: Any, **hints: Any) -> Expr:
        return self.definition(args[0])

    def _eval_evalf(self, prec: int) -> Expr | None:
        if not self.args[0].is_number:
            return None
        return self.definition(self.args[0])._eval_evalf(prec)

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_extended_real else None


class logistic(Defined):
    """1/(1 + exp(−x))."""

    @classmethod
    def definition(cls, x: Expr) -> Expr:
        return 1 / (1 + sympy.exp(-x))

    def _eval_is_positive(self) -> bool | None:
        return True if self.args[0].is_extended_real else None


class softplus(Defined):
    """log(1 + exp(x))."""

    @classmethod
    def definition(cls, x: Expr) -> Expr:
        return sympy.log(1 + sympy.exp(x))

    def _eval_evalf(self, prec: int) -> Expr | None:
        if not self.args[0].is_number:
            return None
        # 1 + exp(x) loses a small exp(x) at any fixed precision.
        import mpmath

        with mpmath.workprec(prec + 10):
            x = self.args[0]._to_mpmath(prec + 10)
            value = mpmath.log1p(mpmath.exp(x))
        return Expr._from_mpmath(value, prec)

    def _eval_is_positive(self) -> bool | None:
        return True if self.args[0].is_extended_real else None


class step(Defined):
    """1 for x > 0, else 0."""

    @classmethod
    def definition(cls, x: Expr) -> Expr:
        return sympy.Piecewise((1, x > 0), (0, True))


class relu(Defined):
    """x for x > 0, else 0."""

    @classmethod
    def definition(cls, x: Expr) -> Expr:
        return sympy.Piecewise((x, x > 0), (0, True))


class greatest(Function):  # type: ignore[misc]
    """The larger of two numbers, as a name: SymPy does not try to find out which it is.

    SymPy's own Max compares its arguments with one another, and of long ones it finds nothing in
    minutes. For quantities that only shift, whose derivative is never asked for.
    """

    nargs = 2

    def fdiff(self, argindex: int = 1) -> Expr:
        """None: what only shifts is a constant of the calculus."""
        raise TypeError("the largest of several only shifts; it has no derivative here")

    def _eval_is_real(self) -> bool | None:
        return True if all(a.is_extended_real for a in self.args) else None


def derivative(function: type[Defined]) -> Expr:
    """d/dx of a defined function, in x and in v, the function's own value."""
    if function not in _derivatives:
        _derivatives[function] = _derivative(function)
    return _derivatives[function]


_derivatives: dict[type[Defined], Expr] = {}


def _derivative(function: type[Defined]) -> Expr:
    x, v = Symbol("x", real=True), Symbol("v", real=True)
    definition = function.definition(x)
    slope = sympy.diff(definition, x)
    if isinstance(slope, sympy.Piecewise):
        return _of_corner(definition, slope, x, v)
    exponentials = sorted(definition.atoms(sympy.exp), key=str)
    if len(exponentials) == 1:
        (e,) = exponentials
        E = Symbol("E", positive=True)
        if (slope_in_E := sympy.cancel(slope.xreplace({e: E}))).free_symbols <= {E}:
            for other in (logistic,):  # a value another function has by definition
                if (
                    other is not function
                    and sympy.cancel(slope_in_E - sympy.cancel(_in_exponential(other, e, x, E)))
                    == 0
                ):
                    return other(x)
            if (solved := _solved(definition.xreplace({e: E}) - v, E)) is not None:
                return _upright(sympy.factor(sympy.cancel(slope_in_E.xreplace({E: solved}))))
    return slope


def _solved(equation: Expr, unknown: Symbol) -> Expr | None:
    """What makes ``equation`` zero, if that is one thing."""
    over, _ = sympy.fraction(sympy.together(equation))
    if over.is_polynomial(unknown) and sympy.degree(over, unknown) == 1:
        # What sympy.solve finds too, but not before it has imported units of physics.
        slope, rest = sympy.Poly(over, unknown).all_coeffs()
        return -rest / slope
    solved = sympy.solve(equation, unknown)
    return solved[0] if len(solved) == 1 else None


def _upright(product: Expr) -> Expr:
    """A product without a sign in front where a factor can take it: v·(1 − v), not −v·(v − 1)."""
    if product.is_Mul and product.args[0] == -1:
        for factor in product.args[1:]:
            if factor.is_Add:
                turned = sympy.Add(*(-term for term in factor.args))
                return sympy.Mul(turned, *(f for f in product.args[1:] if f is not factor))
    return product


def _in_exponential(function: type[Defined], e: Expr, x: Symbol, E: Symbol) -> Expr:
    """Another definition with exp(x) or exp(−x) expressed by the one exponential e = E."""
    definition = function.definition(x)
    return definition.xreplace({e: E, sympy.exp(-e.exp): 1 / E})


def _of_corner(definition: Expr, slope: Expr, x: Symbol, v: Symbol) -> Expr:
    """A slope that is one number right of 0 and 0 left of it: that number times a step.

    In terms of the value where the value is positive exactly where x is.
    """
    (right, condition), *_ = slope.args
    if condition != (x > 0) or slope.args[-1][0] != 0:
        return slope
    if right == 0:
        return sympy.S.Zero
    value = definition.args[0][0]
    same_sign = value == x and definition.args[-1][0] == 0
    return right * step(v if same_sign else x)


def convention(expr: Expr) -> Expr:
    """``expr`` with SymPy's generalised functions replaced by the convention at corners.

    Heaviside(x) becomes step(x), 0 at 0; a Dirac delta, the slope of a step, is 0.
    """
    x = sympy.Wild("x")
    expr = expr.replace(sympy.Heaviside, lambda a, *_: step(a))
    expr = expr.replace(sympy.DiracDelta(x), sympy.S.Zero)
    return expr
