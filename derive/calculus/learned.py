"""What is learned, in index form: what connections have of their own, and cells' parameters."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, Symbol

from derive.calculus.adjoint import bar
from derive.calculus.form import Form, Unit
from derive.calculus.indexed import i, j, k, tiered
from derive.calculus.synapses import WEIGHT


@dataclass(frozen=True, eq=False)
class Learned:
    """One kind of learned quantity θ: w_ij of a net input, or a parameter of a cell.

    What each connection has besides its weight is learned as that is.

    Attributes
    ----------
    by : Expr
        The quantity: w_ij, w_ij^(D), tau_i; without an index where units share it.
    name, mark : str
        What tells it apart in names of steps, and in sensitivities.
    at : tuple of Expr
        Its indices.
    ranges : tuple of str
        What its indices run over, in words.
    net_input : str or None
        Whose connections have it.
    unit : Unit or None
        Whose parameter it is.
    symbol : Symbol or None
        What it is called in a connection's contribution, or in the cell's equations.
    """

    by: Expr
    name: str
    mark: str
    at: tuple[Expr, ...]
    ranges: tuple[str, ...]
    net_input: str | None = None
    unit: Unit | None = None
    symbol: Symbol | None = None

    @property
    def own(self) -> Expr:
        """∂θ_k/∂θ_i of a parameter: 1{i=k}, or 1 where units share it."""
        assert self.unit is not None and self.symbol is not None
        own: Expr = self.unit.places[self.symbol].diff(self.by)
        return own

    @property
    def enters_by(self) -> str:
        """The name of the step ∂s/∂θ, of a parameter of connections."""
        assert self.symbol is not None
        return f"d{self.net_input}_d{self.symbol.name}"

    def p(self, of: str, unit: Expr, time: Expr) -> Expr:
        """The sensitivity of one of a unit's quantities at a time; ``of`` is empty for outputs."""
        return tiered("p", of, self.mark)[(unit, *self.at, time)]


def of_connections(form: Form, name: str, p: Symbol = WEIGHT) -> Learned:
    """The weights of one net input, or another parameter of its connections."""
    port, mark = form.net_inputs[name], form.mark(name)
    by = mark[1:-1]
    if p != WEIGHT:
        letter = str(port.further[p].label).partition("^")[0]
        by = f"{letter}, {by}" if by else letter
    ranges = (port.among("i"), "j∈U∪I" if form.net.inputs else "j∈U") + ("D∈𝒟",) * form.delayed
    at = form.at(i, j)
    return Learned(
        port.parameter(p)[at], f"{p.name}{mark}", by, at, ranges, net_input=name, symbol=p
    )


def learned_parameter(form: Form, u: Unit, p: Symbol) -> Learned:
    """A parameter of a cell."""
    here = u.places[p]
    if p not in u.shared:
        return Learned(
            here.xreplace({k: i}), u.name(p.name), u.names[p], (i,), (u.among("i"),),
            unit=u, symbol=p,
        )  # fmt: skip
    # Two cells may call a shared parameter alike; each has one of its own.
    alike = sum(p.name in [v.name for v in other.shared] for other in form.units) > 1
    mark = f"{u.names[p]}, {u.label}" if alike else u.names[p]
    return Learned(here, u.name(p.name), mark, (), (), unit=u, symbol=p)


def learned(form: Form) -> tuple[Learned, ...]:
    """Everything that is learned: weights, then parameters that reach some state."""
    ports = [(name, port) for name, port in form.net_inputs.items() if port.learnt]
    weights = [of_connections(form, name) for name, _ in ports]
    further = [of_connections(form, name, p) for name, port in ports for p in port.further]
    parameters = [
        learned_parameter(form, u, p)
        for u in form.units
        for p in u.local.parameters
        if bar(p) in u.bars
    ]
    return (*weights, *further, *parameters)
