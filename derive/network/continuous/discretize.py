"""From a cell in continuous time to its update from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from derive.errors import NetworkError
from derive.network.cell import Cell, Equations
from derive.network.continuous.cell import ContinuousCell
from derive.network.continuous.schemes import Scheme, find
from derive.network.continuous.stability import check
from derive.network.continuous.timestep import TimeStep, timestep

if TYPE_CHECKING:
    import sympy


@dataclass(frozen=True)
class Discretized:
    """What a cell was made from; ``Network`` asks it whether Δt suits the values it has."""

    continuous: ContinuousCell
    dt: TimeStep
    scheme: Scheme

    def check(self, values: Mapping[str, Any], units: Any = None) -> None:
        """Refuse a Δt that overshoots, and warn of one that is unstable.

        Parameters
        ----------
        values : mapping of str to float or (units,) array
            Of each parameter of the cell.
        units : (units,) array of int, optional
            Which units these are, for the message.
        """
        dt = self.dt.value if self.dt.parameter is None else values[self.dt.parameter.name]
        check(self.continuous, self.scheme, dt, values, units)


def discretize(
    cell: Any,
    dt: Any,
    scheme: str = "euler",
    *,
    name: str | None = None,
    spec: dict[str, Any] | None = None,
) -> Cell:
    """A cell in continuous time as a discrete update over Δt.

    Net inputs are held over a step, since connections bring signals one step late. So a scheme's
    order is that of the unit's own equation ẏ = f(y, s) with s held; a network of them is of first
    order in Δt whatever the scheme, as is the Euler net.

    Parameters
    ----------
    cell : ContinuousCell or mapping of State to sympy.Expr
        The rates ẏ, in terms of states, net inputs, intermediates and parameters.
    dt : number or Parameter
        Δt in the units of the time constants; a decimal is the exact fraction it stands for. A
        ``derive.parameter`` must be fixed.
    scheme : str
        ``"euler"``: y + Δt·ẏ.
        ``"exponential"``: with ẏ = A·y + b, exp(ΔtA)·y + Δt·φ(ΔtA)·b, φ(z) = (exp(z) − 1)/z. Exact
        while b is constant (zero-order hold); where b depends on the states it is taken at the
        start of the step (exponential Euler, of first order).
        ``"bilinear"``: Tustin's rule on A·y, b as above.
        ``"backward_euler"``: A·y at the end of the step, b as above.
        ``"heun"``, ``"rk4"``: Runge-Kutta rules of order 2 and 4; their stages are intermediates.
        A, the *linear part*, has the coefficients of the states that are free of states; they may
        depend on parameters and net inputs.
    name : str, optional
        What to call the cell; the name of the continuous one if not given.
    spec : dict, optional
        The ``[cell]`` table that states it, where there is one already.

    Returns
    -------
    Cell
        Its ``discretized`` says what it was made from.

    Raises
    ------
    NetworkError
        For a Δt that is not positive and finite, an unknown scheme, a rate that mentions an
        undefined symbol, Δt/τ > 1 with Euler's rule, or, when the equations are asked for, states
        that are coupled in a way the scheme cannot take.

    Warns
    -----
    DeriveWarning
        Where the equation decays and the scheme, at this Δt, grows. Both are judged at the
        parameters' initial values, zero state and zero net input; again when a network has other
        values.

    Examples
    --------
    >>> y, s, tau = derive.state("y"), derive.net_input("s"), derive.parameter("tau", initial=5.0)
    >>> derive.discretize({y: (sympy.tanh(s) - y)/tau}, 0.5, "exponential").equations.states
    {y: y*exp(-1/(2*tau)) + (1 - exp(-1/(2*tau)))*tanh(s)}
    """
    if isinstance(cell, Mapping):
        cell = ContinuousCell(cell)
    if not isinstance(cell, ContinuousCell):
        raise NetworkError(
            f"discretize: expected rates {{state: expression}} or a ContinuousCell, got {cell!r}"
        )
    rule, step = find(scheme), timestep(dt, cell.parameters)
    parameters = cell.parameters
    if step.parameter is not None and step.parameter not in parameters:
        parameters = (*parameters, step.parameter)

    def build() -> Equations:
        from derive.network.continuous.updates import update

        found = update(cell, step.expression(), rule)
        made.intermediates = tuple(v.name for v in found.intermediates)  # stages are among them
        return found

    stated = cell.stated
    made = Cell._lazily(
        name=name or cell.name,
        states=stated.states,
        intermediates=stated.intermediates,
        ports=stated.ports,
        parameters=parameters,
        output=stated.output,
        equations=build,
        spec=_spec(cell, step, rule, parameters, name) if spec is None else spec,
    )
    made.discretized = Discretized(cell, step, rule)
    made.discretized.check({p.name: p.initial for p in parameters})
    return made


def _spec(
    cell: ContinuousCell, dt: TimeStep, scheme: Scheme, parameters: Any, name: str | None
) -> dict[str, Any]:
    spec = cell.to_spec()
    if parameters:
        spec["parameters"] = {
            p.name: {"initial": p.initial, "trainable": p.trainable, "shared": p.shared}
            for p in parameters
        }
    if name is not None:
        spec["name"] = name
    return {**spec, "dt": dt.to_spec(), "scheme": scheme.name}


def forward_euler(rates: Mapping[Any, Any], dt: Any = 1) -> dict[Any, sympy.Expr]:
    """The Euler net of ẏ = rate: y(t+Δt) := y(t) + Δt·ẏ(t).

    Parameters
    ----------
    rates : mapping of state to sympy.Expr
        ẏ for each state, in terms of states, net inputs and parameters.
    dt : number
        The step Δt, in the units of the time constants.

    Returns
    -------
    dict
        For each state its value at the next step.
    """
    from derive.network.continuous.updates import applied

    rule = find("euler")
    return dict(zip(rates, applied(rule, rates, timestep(dt).expression()), strict=True))
