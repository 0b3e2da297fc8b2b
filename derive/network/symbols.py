"""The symbols a person writes equations with: states, net inputs, intermediates, parameters."""

from __future__ import annotations

from typing import Any

import sympy

from derive.network.identifiers import validate_identifier
from derive.network.topology import finite


class CellSymbol(sympy.Symbol):  # type: ignore[misc]
    """A symbol that plays one role in a cell's equations."""

    __slots__ = ()

    def __new__(cls, name: str) -> CellSymbol:
        validate_identifier(name, cls.__name__.lower())
        return super().__new__(cls, name, real=True)


class State(CellSymbol):
    """A quantity a unit carries along; on a right-hand side, its value at this step."""

    __slots__ = ()


class NetInput(sympy.Symbol):  # type: ignore[misc]
    """s(t+1): the sum over the connections into a unit, for the step being computed."""

    __slots__ = ("delay", "hears", "synapse")

    hears: str | None
    delay: int
    synapse: Any

    def __new__(
        cls, name: str, hears: str | None = None, delay: int = 1, synapse: Any = None
    ) -> NetInput:
        validate_identifier(name, "net input")
        # Uncached, as parameters are: one name may be told differently in two cells.
        self = sympy.Symbol.__xnew__(cls, name, real=True)
        self.hears, self.delay, self.synapse = hears, delay, synapse
        return self

    def __getnewargs_ex__(self) -> tuple[Any, ...]:
        return (self.name, self.hears, self.delay, self.synapse), {}

    def _hashable_content(self) -> tuple[Any, ...]:
        extra = (str(self.hears), str(self.delay), str(self.synapse))
        return (*super()._hashable_content(), *extra)


class Intermediate(CellSymbol):
    """A named quantity computed on the way to the next states, used within one step."""

    __slots__ = ()


class Target(CellSymbol):
    """d(t): the value the objective wants of a unit's output."""

    __slots__ = ()


class Parameter(sympy.Symbol):  # type: ignore[misc]
    """A number of the cell itself (a bias, a time constant), trainable or fixed."""

    __slots__ = ("initial", "shared", "trainable")

    initial: float
    trainable: bool
    shared: bool

    def __new__(
        cls, name: str, initial: float = 0.0, trainable: bool = True, shared: bool = False
    ) -> Parameter:
        validate_identifier(name, "parameter")
        initial = finite(initial, f"parameter {name!r}: initial")
        # Uncached: two cells may have a parameter of one name and different initial values.
        self = sympy.Symbol.__xnew__(cls, name, real=True)
        self.initial = initial
        self.trainable = bool(trainable)
        self.shared = bool(shared)
        return self

    def __getnewargs_ex__(self) -> tuple[Any, ...]:
        return (self.name, self.initial, self.trainable, self.shared), {}

    def _hashable_content(self) -> tuple[Any, ...]:
        # SymPy memoises products by equality: the values must be part of it, or one
        # cell's parameter would quietly stand in for another's.
        extra = (self.initial, self.trainable, self.shared)
        return (*super()._hashable_content(), *extra)


def state(name: str) -> State:
    """A state symbol, e.g. ``y = derive.state("y")``."""
    return State(name)


def net_input(
    name: str = "s", hears: str | None = None, delay: int = 1, synapse: Any = None
) -> NetInput:
    """A net-input symbol: Σ over connections of w·source(t − delay).

    Parameters
    ----------
    name : str
        Its identifier.
    hears : str or State, optional
        The state of a source unit that reaches it; the source's output if not given. Input lines
        are heard as ever.
    delay : int
        The delay that patterns such as ``connect.full()`` give its connections from units. 0: it
        hears what units compute in the same step, as the candidate of a GRU hears r∘h.
    synapse : sympy.Expr or str, optional
        What one connection adds instead of w·x: an expression in :func:`weight`, :func:`source`,
        parameters that each connection has of its own, and old states of the target's cell, such
        as ``w*logistic(gamma*(x - mu))*(E - y)``.
    """
    return NetInput(name, None if hears is None else str(getattr(hears, "name", hears)),
                    delay, synapse)  # fmt: skip


def weight() -> sympy.Symbol:
    """The weight of a connection, in a synapse's expression."""
    return sympy.Symbol("w", real=True)


def source() -> sympy.Symbol:
    """What a connection carries, in a synapse's expression."""
    return sympy.Symbol("x", real=True)


def intermediate(name: str) -> Intermediate:
    """A symbol for a quantity that several of a cell's equations share."""
    return Intermediate(name)


def target(name: str = "d") -> Target:
    """The target symbol of an objective."""
    return Target(name)


def parameter(
    name: str, initial: float = 0.0, trainable: bool = True, shared: bool = False
) -> Parameter:
    """A cell parameter.

    Parameters
    ----------
    name : str
        Its identifier.
    initial : float
        The value :meth:`Network.init` gives it, or, if fixed, the value it has.
    trainable : bool
        Whether it is part of theta and gets a gradient.
    shared : bool
        One value for every unit with this cell instead of one per unit.

    Raises
    ------
    NetworkError
        For a name that is no identifier, or an initial value that is not finite.
    """
    return Parameter(name, initial, trainable, shared)
