"""A derivation: numbered equations in symbolic indices, each with the rule that gives it.

What a person stated (the cell's equations, what a connection carries, the objective) is lifted to
unit k and time τ. SymPy differentiates the sums by indexed quantities, which gives Kronecker
deltas, and these collapse the sums. The ordered derivatives follow by the chain rule

    ∂⁺J/∂v = ∂J/∂v + Σ over every u that v enters of ∂⁺J/∂u · ∂u/∂v        (Werbos 1990).

One unit of each distinct cell is seen, and no connection: the time this takes does not depend on
the size of the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy
from sympy import Expr, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.gradients import gradients
from derive.calculus.indexed import J, Slope, Total, collapse, form_of, k, l, t, t0, t1, tau
from derive.calculus.notation import in_terminal
from derive.calculus.partials import DESIRED, OUTPUT, injection
from derive.calculus.recursion import define, through_connections, through_unit
from derive.calculus.steps import Sheet, Step
from derive.errors import DerivationError
from derive.network.network import Network

FORWARD = "τ = t₀+1…t₁"
WIDTH = 76


@dataclass(frozen=True)
class Derivation:
    """How a network learns, as equations.

    Attributes
    ----------
    network, algorithm : str
        What was derived.
    steps : tuple of Step
        The equations in order; also as ``equations``. ``d["delta"]`` finds one by name.
    kept : tuple of sympy.Expr
        What the backward pass reads of the forward pass, and so must be kept.
    notes : tuple of str
        What the letters mean.

    Examples
    --------
    >>> d = derive.differentiate(net)
    >>> print(d["delta"])
    (18) δ_k(τ) = (1 − y_k(τ)²)·ε_k(τ),  k∈U,  τ = t₁…t₀+1
    """

    network: str
    algorithm: str
    steps: tuple[Step, ...]
    kept: tuple[Expr, ...]
    notes: tuple[str, ...]

    @property
    def equations(self) -> tuple[Step, ...]:
        """The numbered equations, in order."""
        return self.steps

    @property
    def names(self) -> tuple[str, ...]:
        """What can be looked up by name, in order."""
        return tuple(dict.fromkeys(s.name for s in self.steps))

    def __getitem__(self, name: str) -> Step:
        """The last equation of that name: what the steps before it led to.

        Raises
        ------
        DerivationError
            For an unknown name.
        """
        for step in reversed(self.steps):
            if step.name == name:
                return step
        raise DerivationError(
            f"derivation: no equation is named {name!r}; there are {', '.join(self.names)}"
        )

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        lines = [f"{self.network}: {self.algorithm} backpropagation through time", ""]
        written = [str(s) for s in self.steps]
        width = min(WIDTH, max(map(len, written)))
        for text, step in zip(written, self.steps, strict=True):
            if len(text) > width:
                lines += [text, " " * (width + 3) + step.rule]
            else:
                lines.append(f"{text:<{width}}   {step.rule}")
        kept = ", ".join(in_terminal(v) for v in self.kept)
        return "\n".join([*lines, "", f"Kept for the way back: {kept}.", *self.notes])

    def latex(self) -> str:
        """All equations as one ``align`` environment."""
        rows = " \\\\\n".join(s.latex() for s in self.steps)
        return f"\\begin{{align}}\n{rows}\n\\end{{align}}"

    def _repr_latex_(self) -> str:
        return self.latex()


def derivation(net: Network, algorithm: str = "epochwise") -> Derivation:
    """Derive a network's learning equations.

    Parameters
    ----------
    net : Network
        Only its distinct cells, its objective, whether it has inputs and which delays it has
        matter, not its size.
    algorithm : str
        ``"epochwise"``.

    Raises
    ------
    DerivationError
        For an algorithm that has no derivation.
    """
    if algorithm != "epochwise":
        raise DerivationError(
            f"algorithm {algorithm!r} has no derivation; there is one for 'epochwise'"
        )
    sheet = Sheet(form_of(net))
    _state_forward(sheet)
    _state_objective(sheet)
    define(sheet)
    through_connections(sheet)
    for unit in sheet.form.units:
        through_unit(sheet, unit)
    gradients(sheet)
    return Derivation(net.name, algorithm, tuple(sheet.steps), _kept(sheet), _notes(sheet))


def _state_forward(sheet: Sheet) -> None:
    form = sheet.form
    for name, (s, w, _) in form.net_inputs.items():
        total = ix.weighted_sum(form, w, k, tau, l)
        rule = "stated: the sum over the connections into k"
        sheet.numbers["s", name] = sheet.add(name, s[k, tau], total, rule, "k∈U", FORWARD)
    for u in form.units:
        for v in u.local.equations:
            rule = "stated"
            if v.symbol in u.local.inner and v.symbol.name not in u.cell.intermediates:
                rule = "stated; named, since both directions need it"
            name = u.name(u.names[v.symbol])
            number = sheet.add(name, u.places[v.symbol], u.lift(v.expr), rule, u.where, FORWARD)
            sheet.numbers[u, v.symbol] = number
    by_output = {u.names[u.output]: u for u in form.units}
    for base, u in by_output.items():
        where = "k∈U" if len(by_output) == 1 else u.where
        output = ix.signal(base)[k, tau]
        sheet.add("x", ix.x[k, tau], output, "definition: x is the outputs and the inputs", where)


def _state_objective(sheet: Sheet) -> None:
    form, judged = sheet.form, injection(sheet.form.net.objective)

    def at(expr: Expr, unit: Symbol) -> Expr:
        return expr.xreplace({DESIRED: ix.d[unit, t], OUTPUT: form.output[unit, t]})

    scale, term = at(judged.expr, k).as_coeff_Mul()
    objective = scale * Sum(ix.MEMBER[k, t] * term, (k, *ix.UNITS))
    stated = sheet.add("J", J(t), objective, "stated; J is maximised")
    sheet.add("J_total", Total(t0, t1), Sum(J(tau), (tau, *ix.EPOCH)), "definition")
    by = form.output[k, t]
    sheet.add("e", ix.e[k, t], Slope(J(t), by), "definition: the error of unit k", "k∈U")
    slope = form.output[l, t].diff(by)
    direct = collapse(Sum(ix.MEMBER[l, t] * at(judged.error, l) * slope, (l, *ix.UNITS)), l)
    # Within T(t) the membership is 1, elsewhere 0 takes the whole expression away.
    there = sympy.Eq(ix.MEMBER[k, t], 1)
    error = sympy.Piecewise((direct.xreplace({ix.MEMBER[k, t]: sympy.S.One}), there), (0, True))
    rule = f"derivative of ({stated}); the Kronecker delta collapses its sum"
    sheet.add("e", ix.e[k, t], error, rule, "k∈U")


def _kept(sheet: Sheet) -> tuple[Expr, ...]:
    """What the backward equations read of the forward pass."""
    kept: dict[Expr, None] = {ix.x[l, tau]: None}
    for u in sheet.form.units:
        used = {v for q in u.adjoint.equations for v in q.expr.free_symbols}
        for y, z in zip(u.local.old, u.local.new, strict=True):
            if y != u.output and used & {y, z}:
                kept[u.places[z]] = None
        kept.update(dict.fromkeys(u.places[v] for v in u.adjoint.remembered))
    return tuple(kept)


def _notes(sheet: Sheet) -> tuple[str, ...]:
    """What the letters mean that the equations do not say."""
    form = sheet.form
    notes = [
        "U: the units; I: the input lines; T(t): the units with a target at t; 1{…}: Kronecker's "
        "delta; ∂⁺: the ordered derivative.",
        "x_l(τ) = 0 for τ < t₀." if form.delayed else "",
    ]
    if form.delayed:
        shown = ", ".join(str(v) for v in form.delays[:8]) + ", …" * (len(form.delays) > 8)
        notes.append(
            f"𝒟 = {{{shown}}}: the delays; w_kl^(D) = 0 where no connection from l to k has delay "
            "D, and δ_l(τ) = 0 for τ > t₁."
        )
    for u in form.units:
        notes += [f"{new} is the cell's {old}." for old, new in sorted(u.renamed.items())]
        if "tau" in [p.name for p in (*u.local.parameters, *u.local.fixed)]:
            notes.append("tau_k is a parameter of the cell; τ is time.")
    return tuple(dict.fromkeys(note for note in notes if note))
