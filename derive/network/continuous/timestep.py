"""Δt: an exact number, or a fixed parameter of the cell."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational, Real
from typing import TYPE_CHECKING, Any

from derive.errors import NetworkError
from derive.network.bounds import value_of
from derive.network.cell import ParameterDeclaration
from derive.network.expressions import parse

if TYPE_CHECKING:
    import sympy


@dataclass(frozen=True)
class TimeStep:
    """Δt in the units of the time constants.

    Attributes
    ----------
    value : float
        Its value; that of the declaration where it is a parameter.
    text : str
        As an expression in the spec's language: ``1/10``, ``dt``.
    parameter : ParameterDeclaration or None
        Where it is one.
    """

    value: float
    text: str
    parameter: ParameterDeclaration | None = None

    def expression(self) -> sympy.Expr:
        """Δt in SymPy, exact."""
        import sympy

        if self.parameter is not None:
            return sympy.Symbol(self.parameter.name, real=True)
        return parse(self.text, (), "dt").to_sympy({})

    def to_spec(self) -> float | str:
        """As a spec states it: a number where that says all."""
        if self.parameter is None and _exactly(self.value) == self.text:
            return self.value
        return self.text


def timestep(given: Any, parameters: Collection[ParameterDeclaration] = ()) -> TimeStep:
    """Read Δt.

    Parameters
    ----------
    given : number, sympy.Expr, Parameter or str
        A number, an expression without symbols, a fixed parameter, or the text of one of these.
    parameters : collection of ParameterDeclaration
        Those a text may name.

    Raises
    ------
    NetworkError
        If it is no number, not positive, not finite, or a parameter that is learnt.
    """
    found = _read(given, {p.name: p for p in parameters})
    if not math.isfinite(found.value) or found.value <= 0:
        raise NetworkError(f"dt: must be a positive finite number, got {found.value!r}")
    if found.parameter is not None and found.parameter.trainable:
        raise NetworkError(
            f"dt: parameter {found.parameter.name!r} is trainable, but a step of time is not "
            "learnt; declare it with trainable=False"
        )
    return found


def _read(given: Any, parameters: dict[str, ParameterDeclaration]) -> TimeStep:
    if isinstance(given, str):
        if given in parameters:
            return TimeStep(parameters[given].initial, given, parameters[given])
        read = parse(given, list(parameters), "dt")
        value = value_of(read.tree)
        if value is None:
            raise NetworkError(f"dt: expected a number or one fixed parameter, got {given!r}")
        return TimeStep(value, read.text)
    if isinstance(given, bool):
        raise NetworkError(f"dt: expected a number, got {given!r}")
    if isinstance(given, Rational):
        return TimeStep(_float(given), str(Fraction(given)))
    if isinstance(given, Real):
        value = float(given)
        return TimeStep(value, _exactly(value) if math.isfinite(value) else "")
    if hasattr(given, "trainable"):  # a Parameter, without importing its module
        declared = ParameterDeclaration(given.name, given.initial, given.trainable, given.shared)
        if parameters.get(declared.name, declared) != declared:
            raise NetworkError(f"parameter {declared.name!r} is declared twice with other values")
        return TimeStep(declared.initial, declared.name, declared)
    if getattr(given, "is_number", False):
        from derive.network.expressions import to_text

        if not given.is_finite or not given.is_real:
            return TimeStep(math.nan, "")
        return _read(to_text(given), {})
    raise NetworkError(f"dt: expected a number or a fixed derive.parameter, got {given!r}")


def _float(number: Rational) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _exactly(value: float) -> str:
    """The fraction that a decimal stands for: 0.1 is 1/10."""
    return str(Fraction(repr(value)))
