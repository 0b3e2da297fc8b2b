"""Linear state-space cells: ẋ = A·x + B·u."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from derive.errors import NetworkError
from derive.network.cell import Cell
from derive.network.continuous.cell import ContinuousCell
from derive.network.continuous.discretize import discretize


def state_space(
    A: Sequence[Sequence[Any]],
    B: Any,
    C: Sequence[Any] | None = None,
    *,
    dt: Any,
    scheme: str = "exponential",
    name: str = "state_space",
) -> Cell:
    """A linear block ẋ = A·x + B·u, whose inputs u are net inputs, as a discrete cell.

    Parameters
    ----------
    A : (N, N) nested sequence of number, Parameter or sympy.Expr
    B : (N,) or (N, p) sequence of the same
        With one column the net input is called s, else s1 … sp.
    C : (N,) sequence of the same, optional
        The output y = C·x, a readout; the output is x1 if not given.
    dt : number or Parameter
        As for :func:`derive.discretize`.
    scheme : str
        The same. ``"exponential"`` is exact for held inputs (zero-order hold), with numbers in A,
        or symbols where A is diagonal.
    name : str

    Returns
    -------
    Cell
        With states x1 … xN, and y if C is given.

    Raises
    ------
    NetworkError
        For shapes that do not fit, and as :func:`derive.discretize`.

    Examples
    --------
    >>> oscillator = derive.state_space([[0, 1], [-1, 0]], [0, 1], C=[1, 0], dt=0.1)
    """
    import sympy

    from derive.network.symbols import net_input, state

    rows = [list(row) if isinstance(row, Sequence) else [row] for row in A]
    size = len(rows)
    if not size or any(len(row) != size for row in rows):
        raise NetworkError(f"A: expected a square matrix, got rows of {[len(r) for r in rows]}")
    into = [list(row) if isinstance(row, Sequence) else [row] for row in B]
    columns = len(into[0]) if into else 0
    if len(into) != size or any(len(row) != columns for row in into) or not columns:
        raise NetworkError(f"B: expected {size} rows of one length, got {[len(r) for r in into]}")
    if C is not None and len(C) != size:
        raise NetworkError(f"C: expected {size} entries, got {len(C)}")
    x = [state(f"x{i + 1}") for i in range(size)]
    u = [net_input("s" if columns == 1 else f"s{j + 1}") for j in range(columns)]

    def combined(factors: Sequence[Any], of: Sequence[Any]) -> Any:
        return sympy.Add(*(_exact(a) * v for a, v in zip(factors, of, strict=True)))

    readouts = None if C is None else {state("y"): combined(C, x)}
    block = ContinuousCell(
        {x[i]: combined(rows[i], x) + combined(into[i], u) for i in range(size)},
        readouts=readouts,
        output=None if C is None else "y",
        name=name,
    )
    return discretize(block, dt, scheme)


def _exact(entry: Any) -> Any:
    """An entry in SymPy; a decimal is the fraction it stands for."""
    import sympy

    if isinstance(entry, float):
        return sympy.Rational(repr(entry))
    try:
        return sympy.sympify(entry, strict=True)
    except sympy.SympifyError:
        raise NetworkError(
            f"state_space: expected numbers, parameters or expressions, got {entry!r}"
        ) from None
