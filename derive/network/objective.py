"""The objective J(t): what a network's outputs are judged by, and on which units."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from derive.errors import NetworkError
from derive.network.expressions import parse, to_text
from derive.network.topology import whole

if TYPE_CHECKING:
    import sympy


class Objective:
    """J(t) = Σ over k ∈ T(t) of an expression in the target d_k(t) and the output y_k(t).

    J is **maximised**: a loss enters with a minus sign.

    Parameters
    ----------
    expression : str or sympy.Expr
        In the symbols ``d`` (target) and ``y`` (output of the unit).
    targets : sequence of int
        The units that have targets, in the order of the columns of ``target`` and ``mask``.

    Raises
    ------
    NetworkError
        For an empty or repeated set of targets, or an expression in other symbols.
    """

    def __init__(self, expression: Any, targets: Sequence[int]) -> None:
        if isinstance(targets, (str, bytes)) or not isinstance(targets, Sequence):
            raise NetworkError(f"objective: targets must be a list of units, got {targets!r}")
        if not len(targets):
            raise NetworkError("objective: targets is empty; name at least one unit")
        self.targets = tuple(whole(k, "objective: a target", 0) for k in targets)
        twice = sorted({k for k in self.targets if self.targets.count(k) > 1})
        if twice:
            raise NetworkError(f"objective: unit {twice[0]} is listed twice in targets")
        if not isinstance(expression, str):
            expression = _in_d_and_y(expression)
        self._read = parse(expression, ["d", "y"], "objective.J")
        self.text = self._read.text

    @cached_property
    def expression(self) -> sympy.Expr:
        """The summand of J(t), in the real symbols ``d`` and ``y``."""
        import sympy

        return self._read.to_sympy({n: sympy.Symbol(n, real=True) for n in ("d", "y")})

    def to_spec(self) -> dict[str, Any]:
        """The ``[objective]`` table of a spec file."""
        return {"J": self.text, "targets": list(self.targets)}

    def __repr__(self) -> str:
        return f"Objective({self.text!r}, targets={list(self.targets)})"


class SquaredError(Objective):
    """J(t) = −½ Σ over k ∈ T(t) of (d_k(t) − y_k(t))² (Williams & Zipser 1995)."""

    def __init__(self, targets: Sequence[int]) -> None:
        super().__init__("-(d - y)**2/2", targets)


def _in_d_and_y(expression: Any) -> str:
    import sympy

    try:
        expression = sympy.sympify(expression, strict=True)
    except sympy.SympifyError as error:
        raise NetworkError(f"objective: expected an expression, got {expression!r}") from error
    names = {s: sympy.Symbol(s.name, real=True) for s in expression.free_symbols}
    return to_text(expression.xreplace(names))
