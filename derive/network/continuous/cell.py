"""A cell in continuous time: the rates of its states, and nothing about steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from derive.errors import NetworkError
from derive.network.cell import Cell, Equations, NetInputDeclaration, ParameterDeclaration
from derive.network.expressions import Expression, parse, to_text


class ContinuousCell:
    """A unit's equations ẏ = rate, from which :func:`derive.discretize` makes a :class:`Cell`.

    Parameters
    ----------
    rates : mapping of State to sympy.Expr
        ẏ for each state, in terms of states, net inputs, intermediates and parameters.
    intermediates : mapping of Intermediate to sympy.Expr, optional
        Quantities named for reuse.
    readouts : mapping of State to sympy.Expr, optional
        Quantities that follow from the states at every time and have no rate of their own, such
        as the output σ(y + θ) of a unit whose state is y.
    output : State or str, optional
        The state or readout that other units see; the first state if not given.
    name : str

    Raises
    ------
    NetworkError
        For an undefined symbol, a circle, a name that is no identifier, or a rate or readout that
        mentions a readout.

    Examples
    --------
    >>> y, s, tau = derive.state("y"), derive.net_input("s"), derive.parameter("tau", initial=5.0)
    >>> unit = derive.ContinuousCell(rates={y: (sympy.tanh(s) - y)/tau})
    >>> cell = derive.discretize(unit, dt=0.1, scheme="exponential")
    """

    def __init__(
        self,
        rates: Mapping[Any, Any],
        intermediates: Mapping[Any, Any] | None = None,
        readouts: Mapping[Any, Any] | None = None,
        output: Any = None,
        name: str = "cell",
    ) -> None:
        readouts = readouts or {}
        twice = sorted(str(v) for v in set(rates) & set(readouts))
        if twice:
            raise NetworkError(f"cell {name!r}: {twice[0]!r} has both a rate and a readout")
        stated = Cell({**rates, **readouts}, intermediates, output, name)
        self._setup(stated, len(rates), None)

    @classmethod
    def from_text(
        cls,
        rates: Mapping[str, str],
        *,
        intermediates: Mapping[str, str] | None = None,
        readouts: Mapping[str, str] | None = None,
        net_inputs: Sequence[str | NetInputDeclaration] = ("s",),
        parameters: tuple[ParameterDeclaration, ...] = (),
        output: str | None = None,
        name: str = "cell",
        where: str = "cell",
    ) -> ContinuousCell:
        """A cell stated as text; SymPy is imported only when its equations are asked for."""
        readouts, intermediates = readouts or {}, intermediates or {}
        twice = sorted(set(rates) & set(readouts))
        if twice:
            raise NetworkError(f"{where}: {twice[0]!r} has both a rate and a readout")
        if not rates:
            raise NetworkError(f"{where}: there is no rate; give at least one")
        stated = Cell.from_text(
            {**rates, **readouts},
            intermediates=intermediates,
            net_inputs=net_inputs,
            parameters=parameters,
            output=output,
            name=name,
            where=where,
        )
        self = cls.__new__(cls)
        heard = stated.net_inputs
        names = [*stated.states, *intermediates, *heard, *(p.name for p in parameters)]
        texts = {**intermediates, **rates, **readouts}
        self._setup(stated, len(rates), {k: parse(v, names, where) for k, v in texts.items()})
        return self

    def _setup(self, stated: Cell, rates: int, expressions: dict[str, Expression] | None) -> None:
        self.stated = stated
        """The statement as a ``Cell`` in which a state's equation is its rate, or its readout."""
        self.rates = stated.states[:rates]
        """The names of the states that have a rate."""
        self.readouts = stated.states[rates:]
        if not rates:
            raise NetworkError(f"cell {self.name!r} has no rate: give at least one")
        if expressions is not None:
            self.expressions = expressions
        for key, expression in self.expressions.items():
            heard = sorted(set(expression.names) & set(self.readouts))
            if heard:
                raise NetworkError(
                    f"cell {self.name!r}: the equation of {key} mentions the readout {heard[0]!r}, "
                    "which others see; what the unit itself uses is an intermediate"
                )

    @cached_property
    def expressions(self) -> dict[str, Expression]:
        """Every equation as plain data, which has a value without SymPy."""
        eq = self.equations
        stated = {k.name: to_text(v) for k, v in {**eq.intermediates, **eq.states}.items()}
        names = [*stated, *self.stated.net_inputs, *(p.name for p in self.parameters)]
        return {k: parse(v, names, self.name) for k, v in stated.items()}

    @property
    def name(self) -> str:
        """What the cell is called."""
        return self.stated.name

    @property
    def parameters(self) -> tuple[ParameterDeclaration, ...]:
        """The parameters, in declared order."""
        return self.stated.parameters

    @property
    def equations(self) -> Equations:
        """Rates, and readouts, as SymPy expressions."""
        return self.stated.equations

    def to_spec(self) -> dict[str, Any]:
        """The part of a spec's ``[cell]`` table that does not speak of steps."""
        spec = self.stated.to_spec()
        equations = spec.pop("equations")
        found: dict[str, Any] = {"rates": {k: equations[k] for k in self.rates}}
        if self.readouts:
            found["readouts"] = {k: equations[k] for k in self.readouts}
        return {**found, **spec}

    def __repr__(self) -> str:
        return f"ContinuousCell({self.name!r}, rates of {', '.join(self.rates)})"
