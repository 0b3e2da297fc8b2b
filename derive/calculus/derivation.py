"""A derivation: numbered equations in symbolic indices, each with the rule that gives it.

What a person stated (the cell's equations, what a connection carries, the objective) is lifted to
unit k and time τ. SymPy differentiates the sums by indexed quantities, which gives Kronecker
deltas, and these collapse the sums. The ordered derivatives follow by the chain rule

    ∂⁺J/∂v = ∂J/∂v + Σ over every u that v enters of ∂⁺J/∂u · ∂u/∂v        (Werbos 1990).

and the sensitivities by the same rule in the order of computation. One unit of each distinct cell
is seen, and no connection: the time this takes does not depend on the size of the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from sympy import Expr

from derive.calculus.form import form_of
from derive.calculus.notation import in_terminal
from derive.calculus.options import options_of
from derive.calculus.recipes import BACK, RECIPES
from derive.calculus.remarks import notes
from derive.calculus.steps import Sheet, Step
from derive.errors import DerivationError
from derive.network.network import Network

WIDTH = 86


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
        What a gradient needs of earlier steps, and so must be kept: what the backward pass reads
        of the forward pass, the sensitivities that are carried on, or both.
    notes : tuple of str
        What the letters mean.
    title : str
        The algorithm in words.
    keeping : str
        What ``kept`` is kept for.

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
    title: str = ""
    keeping: str = BACK

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
        lines = [f"{self.network}: {self.title or self.algorithm}", ""]
        written = [str(s) for s in self.steps]
        width = min(WIDTH, max(map(len, written)))
        for text, step in zip(written, self.steps, strict=True):
            if len(text) > width:
                lines += [text, " " * (width + 3) + step.rule]
            else:
                lines.append(f"{text:<{width}}   {step.rule}")
        kept = ", ".join(in_terminal(v) for v in self.kept)
        return "\n".join([*lines, "", f"{self.keeping}: {kept}.", *self.notes])

    def latex(self) -> str:
        """All equations as one ``align`` environment."""
        rows = " \\\\\n".join(s.latex() for s in self.steps)
        return f"\\begin{{align}}\n{rows}\n\\end{{align}}"

    def _repr_latex_(self) -> str:
        return self.latex()

    def html(self) -> str:
        """All equations as a table in HTML, formulas in MathML: number, equation, rule."""
        rows = "\n".join(s.html() for s in self.steps)
        title = escape(f"{self.network}: {self.title or self.algorithm}")
        return f"<table>\n<caption>{title}</caption>\n{rows}\n</table>"

    def _repr_html_(self) -> str:
        return self.html()


def derivation(
    net: Network, algorithm: str = "epochwise", options: Mapping[str, Any] | None = None
) -> Derivation:
    """Derive a network's learning equations.

    Parameters
    ----------
    net : Network
        Only its distinct cells, its objective, whether it has inputs and which delays it has
        matter, not its size.
    algorithm : str
        ``"epochwise"``, ``"realtime"``, ``"truncated"``, ``"rtrl"``, ``"hybrid"`` or
        ``"settling"``.
    options : mapping, optional
        ``h`` and ``h_prime`` of truncated, ``h`` of hybrid (it stays a letter if not given),
        ``groups`` of rtrl, and ``teacher_forcing`` of any. How much room a run has and how
        long a net may take to settle (``capacity``, ``tol``, ``max_steps``) is accepted and
        changes no equation.

    Raises
    ------
    DerivationError
        For an algorithm that has no derivation, or an option that it has not.
    """
    recipe = RECIPES.get(algorithm)
    if recipe is None:
        there_are = ", ".join(map(repr, RECIPES))
        raise DerivationError(
            f"algorithm {algorithm!r} has no derivation; there is one for {there_are}"
        )
    chosen = options_of(algorithm, options, recipe.options, net.units)
    form = form_of(net, chosen.forced, frozenset(recipe.letters))
    sheet = Sheet(form, recipe.horizon(chosen))
    kept = recipe.write(sheet, chosen)
    title = recipe.title(chosen) + ", with teacher forcing" * chosen.forced
    return Derivation(
        net.name,
        algorithm,
        tuple(sheet.steps),
        kept,
        notes(sheet, chosen),
        title,
        recipe.keeping,
    )
