"""A cell: the forward equations of one unit, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from derive.errors import NetworkError
from derive.network.expressions import Expression, parse, to_text
from derive.network.identifiers import check_collisions, validate_identifier
from derive.network.topology import finite

if TYPE_CHECKING:
    import sympy

RESERVED = frozenset({"w", "x", "y0", "theta", "target", "mask", "history"})


@dataclass(frozen=True)
class ParameterDeclaration:
    """A cell parameter as data: its name, first value, and whether it is trained or shared."""

    name: str
    initial: float = 0.0
    trainable: bool = True
    shared: bool = False

    def __post_init__(self) -> None:
        validate_identifier(self.name, "parameter")
        if self.name in RESERVED:
            raise NetworkError(
                f"parameter {self.name!r}: the name is taken by the kernel's own arguments; "
                "choose another"
            )
        finite(self.initial, f"parameter {self.name!r}: initial")


@dataclass(frozen=True)
class Equations:
    """A cell's equations as SymPy: value at the next step in terms of this step's.

    Every symbol is a plain real ``Symbol`` of its name, whichever way the cell was stated.
    """

    states: Mapping[sympy.Symbol, sympy.Expr]
    intermediates: Mapping[sympy.Symbol, sympy.Expr]
    net_inputs: tuple[sympy.Symbol, ...]
    parameters: tuple[sympy.Symbol, ...]


class Cell:
    """The template of a unit's equations.

    Parameters
    ----------
    states : mapping of State to sympy.Expr
        For each state, its value at the next step. On the right-hand side a state is its
        value at this step and a net input the one of the step being computed.
    intermediates : mapping of Intermediate to sympy.Expr, optional
        Quantities named for reuse, each in terms of states, net inputs, parameters and other
        intermediates.
    output : State or str, optional
        The state other units see; the first one if not given.
    name : str
        What to call the cell in derivations and reports.

    Raises
    ------
    NetworkError
        For an undefined symbol, a cycle among intermediates, a name that is no identifier, or an
        equation that mentions a later time.

    Examples
    --------
    >>> y, s, tau = derive.state("y"), derive.net_input("s"), derive.parameter("tau", initial=5.0)
    >>> leaky = derive.Cell(states={y: y + (sympy.tanh(s) - y)/tau})
    """

    def __init__(
        self,
        states: Mapping[Any, Any],
        intermediates: Mapping[Any, Any] | None = None,
        output: Any = None,
        name: str = "cell",
    ) -> None:
        from derive.network.equations import from_sympy

        stated = from_sympy(states, intermediates or {})
        self._setup(
            name=name,
            states=tuple(s.name for s in stated.equations.states),
            intermediates=tuple(i.name for i in stated.equations.intermediates),
            net_inputs=tuple(s.name for s in stated.equations.net_inputs),
            parameters=stated.parameters,
            output=output,
            equations=lambda: stated.equations,
            spec=None,
        )

    @classmethod
    def from_text(
        cls,
        states: Mapping[str, str],
        *,
        intermediates: Mapping[str, str] | None = None,
        net_inputs: tuple[str, ...] = ("s",),
        parameters: tuple[ParameterDeclaration, ...] = (),
        output: str | None = None,
        name: str = "cell",
        where: str = "cell",
        spec: dict[str, Any] | None = None,
    ) -> Cell:
        """A cell stated as text; SymPy is imported only when its equations are asked for."""
        intermediates = intermediates or {}
        names = [*states, *intermediates, *net_inputs, *(p.name for p in parameters)]
        for known in names:
            validate_identifier(known, f"{where}: name")
        check_collisions(names)
        read: dict[str, Expression] = {
            key: parse(text, names, f"{where}.{key}")
            for key, text in {**intermediates, **states}.items()
        }
        free = {key: set(read[key].names) for key in read}
        order = in_order(tuple(intermediates), free, where)

        def build() -> Equations:
            import sympy

            symbols = {key: sympy.Symbol(key, real=True) for key in names}
            return Equations(
                {symbols[k]: read[k].to_sympy(symbols) for k in states},
                {symbols[k]: read[k].to_sympy(symbols) for k in order},
                tuple(symbols[k] for k in net_inputs),
                tuple(symbols[p.name] for p in parameters),
            )

        return cls._lazily(
            name=name,
            states=tuple(states),
            intermediates=order,
            net_inputs=tuple(net_inputs),
            parameters=tuple(parameters),
            output=output,
            equations=build,
            spec=spec,
        )

    @classmethod
    def _lazily(cls, **fields: Any) -> Cell:
        self = cls.__new__(cls)
        self._setup(**fields)
        return self

    def _setup(
        self,
        name: str,
        states: tuple[str, ...],
        intermediates: tuple[str, ...],
        net_inputs: tuple[str, ...],
        parameters: tuple[ParameterDeclaration, ...],
        output: Any,
        equations: Callable[[], Equations],
        spec: dict[str, Any] | None,
    ) -> None:
        if not states:
            raise NetworkError(f"cell {name!r} has no state: give it at least one equation")
        names = [*states, *intermediates, *net_inputs, *(p.name for p in parameters)]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise NetworkError(f"cell {name!r}: {twice[0]!r} is declared twice")
        check_collisions(names)
        for known in states + intermediates + net_inputs:
            if known in RESERVED - {"x"}:
                raise NetworkError(f"cell {name!r}: the name {known!r} is reserved; rename it")
        output = str(getattr(output, "name", output) or states[0])
        if output not in states:
            raise NetworkError(
                f"cell {name!r}: output {output!r} is not one of its states {', '.join(states)}"
            )
        self.name = name
        self.states = states
        self.intermediates = intermediates
        self.net_inputs = net_inputs
        self.parameters = parameters
        self.output = output
        self._build = equations
        self._spec = spec

    @cached_property
    def equations(self) -> Equations:
        """The forward equations as SymPy expressions."""
        return self._build()

    @property
    def trainable(self) -> tuple[ParameterDeclaration, ...]:
        """The parameters that are part of theta, in declared order."""
        return tuple(p for p in self.parameters if p.trainable)

    @property
    def fixed(self) -> tuple[ParameterDeclaration, ...]:
        """The parameters that are constants of the network, in declared order."""
        return tuple(p for p in self.parameters if not p.trainable)

    def to_spec(self) -> dict[str, Any]:
        """The cell as the ``[cell]`` table of a spec file."""
        if self._spec is not None:
            return dict(self._spec)
        eq = self.equations
        spec: dict[str, Any] = {
            "equations": {k.name: to_text(v) for k, v in eq.states.items()},
        }
        if eq.intermediates:
            spec["intermediates"] = {k.name: to_text(v) for k, v in eq.intermediates.items()}
        if self.net_inputs != ("s",):
            spec["net_inputs"] = list(self.net_inputs)
        if self.parameters:
            spec["parameters"] = {
                p.name: {"initial": p.initial, "trainable": p.trainable, "shared": p.shared}
                for p in self.parameters
            }
        if self.output != self.states[0]:
            spec["output"] = self.output
        if self.name != "cell":
            spec["name"] = self.name
        return spec

    def __repr__(self) -> str:
        return f"Cell({self.name!r}, states={self.states}, net_inputs={self.net_inputs})"


def in_order(names: tuple[str, ...], free: Mapping[str, set[str]], where: str) -> tuple[str, ...]:
    """The intermediates so that each comes after those it is computed from.

    Raises
    ------
    NetworkError
        When they need one another in a circle.
    """
    done: list[str] = []
    waiting = list(names)
    while waiting:
        ready = [n for n in waiting if not (free[n] & set(waiting))]
        if not ready:
            raise NetworkError(
                f"{where}: intermediates {', '.join(waiting)} are defined in terms of one another; "
                "break the circle with a state"
            )
        done.append(ready[0])
        waiting.remove(ready[0])
    return tuple(done)
