"""A cell: the forward equations of one unit, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from derive.errors import NetworkError
from derive.network.expressions import Expression, parse, to_text
from derive.network.identifiers import check_collisions, validate_identifier
from derive.network.topology import finite, whole

if TYPE_CHECKING:
    import sympy

    from derive.network.continuous.discretize import Discretized

RESERVED = frozenset({"w", "x", "y0", "theta", "target", "mask", "history"})

PLAIN = "w*x"
"""What a connection adds to its net input where nothing else is stated."""


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
class NetInputDeclaration:
    """A net input as data: what its connections carry, and what each adds to it.

    Attributes
    ----------
    name : str
    hears : str, optional
        The state of a source unit that reaches it; the source's output if not given.
    delay : int
        The delay that patterns give its connections from units, 0 or 1. With 0 it hears what
        units compute in the same step.
    synapse : str
        What one connection adds, in ``w`` (its weight), ``x`` (what it carries), parameters of the
        connection and old states of the target's cell.
    parameters : tuple of ParameterDeclaration
        What each connection has besides its weight.
    """

    name: str
    hears: str | None = None
    delay: int = 1
    synapse: str = PLAIN
    parameters: tuple[ParameterDeclaration, ...] = ()

    def __post_init__(self) -> None:
        where = f"net input {self.name!r}"
        validate_identifier(self.name, "net input")
        if self.hears is not None:
            validate_identifier(self.hears, f"{where}: hears")
        whole(self.delay, f"{where}: delay", 0, 1)
        for p in self.parameters:
            if p.shared or not p.trainable:
                raise NetworkError(
                    f"{where}: parameter {p.name!r} belongs to each connection and is learnt with "
                    "its weight; give connections one weight id to share it, or fix the connection"
                )

    @property
    def is_plain(self) -> bool:
        """Whether it is Σ w·output, one step late: what a net input is unless more is said."""
        return self == NetInputDeclaration(self.name)

    def to_spec(self) -> dict[str, Any]:
        """The net input as a table of a spec file."""
        spec: dict[str, Any] = {} if self.hears is None else {"hears": self.hears}
        if self.delay != 1:
            spec["delay"] = self.delay
        if self.synapse != PLAIN:
            spec["synapse"] = self.synapse
        if self.parameters:
            spec["parameters"] = {p.name: p.initial for p in self.parameters}
        return spec


@dataclass(frozen=True)
class Equations:
    """A cell's equations as SymPy: value at the next step in terms of this step's.

    Every symbol is a plain real ``Symbol`` of its name, whichever way the cell was stated.
    """

    states: Mapping[sympy.Symbol, sympy.Expr]
    intermediates: Mapping[sympy.Symbol, sympy.Expr]
    net_inputs: tuple[sympy.Symbol, ...]
    parameters: tuple[sympy.Symbol, ...]
    synapses: Mapping[sympy.Symbol, sympy.Expr] = field(default_factory=dict)
    """What a connection into a net input adds, where that is not w·x."""


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
            ports=stated.ports,
            parameters=stated.parameters,
            output=output,
            equations=lambda: stated.equations,
            spec=None,
            free={
                k.name: {v.name for v in e.free_symbols}
                for k, e in {**stated.equations.states, **stated.equations.intermediates}.items()
            },
        )

    @classmethod
    def from_text(
        cls,
        states: Mapping[str, str],
        *,
        intermediates: Mapping[str, str] | None = None,
        net_inputs: Sequence[str | NetInputDeclaration] = ("s",),
        parameters: tuple[ParameterDeclaration, ...] = (),
        output: str | None = None,
        name: str = "cell",
        where: str = "cell",
        spec: dict[str, Any] | None = None,
    ) -> Cell:
        """A cell stated as text; SymPy is imported only when its equations are asked for."""
        intermediates = intermediates or {}
        ports = tuple(s if isinstance(s, NetInputDeclaration) else plain(s) for s in net_inputs)
        heard = [s.name for s in ports]
        names = [*states, *intermediates, *heard, *(p.name for p in parameters)]
        for known in names:
            validate_identifier(known, f"{where}: name")
        check_collisions(names)
        read: dict[str, Expression] = {
            key: parse(text, names, f"{where}.{key}")
            for key, text in {**intermediates, **states}.items()
        }
        free = {key: set(read[key].names) for key in read}
        order = in_order(tuple(intermediates), free, where)
        synapses = read_synapses(ports, tuple(states), where)

        def build() -> Equations:
            import sympy

            symbols = {key: sympy.Symbol(key, real=True) for key in names}
            return Equations(
                {symbols[k]: read[k].to_sympy(symbols) for k in states},
                {symbols[k]: read[k].to_sympy(symbols) for k in order},
                tuple(symbols[k] for k in heard),
                tuple(symbols[p.name] for p in parameters),
                {symbols[k]: to_synapse(e) for k, e in synapses.items()},
            )

        return cls._lazily(
            name=name,
            states=tuple(states),
            intermediates=order,
            ports=ports,
            parameters=tuple(parameters),
            output=output,
            equations=build,
            spec=spec,
            free=free,
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
        ports: tuple[NetInputDeclaration, ...],
        parameters: tuple[ParameterDeclaration, ...],
        output: Any,
        equations: Callable[[], Equations],
        spec: dict[str, Any] | None,
        free: Mapping[str, set[str]] | None = None,
    ) -> None:
        if not states:
            raise NetworkError(f"cell {name!r} has no state: give it at least one equation")
        net_inputs = tuple(s.name for s in ports)
        of_connections = dict.fromkeys(p.name for s in ports for p in s.parameters)
        names = [*states, *intermediates, *net_inputs, *(p.name for p in parameters)]
        names += of_connections
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
        self.ports = ports
        self.net_inputs = net_inputs
        self.parameters = parameters
        self.output = output
        self._build = equations
        self.discretized: Discretized | None = None
        """What the cell was made from, if it comes from one in continuous time."""
        self._spec = spec
        self._free = free

    @cached_property
    def equations(self) -> Equations:
        """The forward equations as SymPy expressions."""
        return self._build()

    @cached_property
    def needed_net_inputs(self) -> dict[str, frozenset[str]]:
        """For each state the net inputs that its next value depends on, within a step."""
        free = self._free
        if free is None:
            eq = {**self.equations.states, **self.equations.intermediates}
            free = {k.name: {v.name for v in e.free_symbols} for k, e in eq.items()}
        inner: dict[str, frozenset[str]] = {}
        for name in (*self.intermediates, *self.states):
            found = free[name] & set(self.net_inputs)
            for v in free[name] & set(self.intermediates):
                found = found | inner[v]
            inner[name] = frozenset(found)
        return {y: inner[y] for y in self.states}

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
        if not all(s.is_plain for s in self.ports):
            spec["net_inputs"] = {s.name: s.to_spec() for s in self.ports}
        elif self.net_inputs != ("s",):
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


def plain(name: str) -> NetInputDeclaration:
    """The net input Σ w·x."""
    return NetInputDeclaration(name)


def read_synapses(
    ports: tuple[NetInputDeclaration, ...], states: tuple[str, ...], where: str
) -> dict[str, Expression]:
    """What connections add to those net inputs for which it is not w·x.

    Raises
    ------
    NetworkError
        For an undefined symbol, or a synapse without its weight or without what it carries.
    """
    found = {}
    for s in ports:
        if s.synapse == PLAIN:
            if s.parameters:
                raise NetworkError(
                    f"{where}: net input {s.name!r} has a parameter {s.parameters[0].name!r} of "
                    "its connections, but no synapse that mentions it"
                )
            continue
        own = [p.name for p in s.parameters]
        place = f"{where}: synapse of {s.name!r}"
        check_collisions(["w", "x", *own, *states])
        if "x" in states:
            raise NetworkError(f"{place}: x is what a connection carries; rename the state x")
        read = parse(s.synapse, ["w", "x", *own, *states], place)
        for needed in ("w", "x", *own):
            if needed not in read.names:
                raise NetworkError(f"{place}: {s.synapse!r} does not mention {needed}")
        found[s.name] = read
    return found


def to_synapse(read: Expression) -> sympy.Expr:
    """A synapse as SymPy, in plain real symbols of its names.

    Raises
    ------
    NetworkError
        When a connection of weight 0 adds something: it must be as if it were not there.
    """
    import sympy

    expr = read.to_sympy({n: sympy.Symbol(n, real=True) for n in read.names})
    left = expr.subs(sympy.Symbol("w", real=True), 0)
    if left != 0 and sympy.simplify(left) != 0:
        raise NetworkError(
            f"synapse {read.text!r}: with w = 0 a connection adds {left}, and must add nothing; "
            "multiply by w"
        )
    return expr


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
