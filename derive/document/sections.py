"""The sections of a document in order: what is stated, what follows from it, at what cost."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count, groupby
from typing import Any

from sympy import Expr, Indexed

from derive.calculus.derivation import Derivation
from derive.calculus.indexed import MEMBER
from derive.calculus.notation import in_terminal, is_member
from derive.calculus.steps import Step
from derive.document import prose
from derive.document.blocks import Block, Code, Equation, Figure, Items, Paragraph, Section, Table
from derive.network.network import Network
from derive.verify.induction.parts import Lemma, Proof

STATED = ("forward", "objective")


def network(net: Network, picture: Figure | None) -> Section:
    """What the network is: counts, and pictures where there are any."""
    n, m = net.units, net.inputs
    lines = f"{m} input line{'s' * (m != 1)}" if m else "no input lines"
    text = (
        f"`{net.name}` is a recurrent network of {n:,} unit{'s' * (n != 1)} with {lines} and "
        f"{net.wiring.size:,} connections. At every step each unit computes its output from the "
        "signals that its connections carry: outputs of units and inputs, some steps old."
    )
    table = Table(("what", "in this network"), tuple(_facts(net)))
    return Section("The network", "network", (Paragraph(text), table, *_shown(picture)))


def _shown(picture: Figure | None) -> tuple[Figure, ...]:
    return () if picture is None else (picture,)


def _facts(net: Network) -> list[tuple[str, str]]:
    w = net.wiring
    cells = Counter(net.cell_names[i] for i in net.cell_index)
    states = len(net.states) / net.units
    delays = sorted(set(w.delay.tolist()))
    fixed = w.size - int(w.learnt.sum())
    targets = net.objective.targets
    facts = [
        ("cells", ", ".join(f"{name} ({count:,} units)" for name, count in cells.items())),
        ("states of a unit", f"{states:g}"),
        ("connections", f"{w.size:,}" + (f", {fixed:,} of them with a fixed weight" * bool(fixed))),
        ("distinct weights that are learnt", f"{w.weights:,}"),
        ("delays", ", ".join(map(str, delays)) or "none"),
        ("units with a target", _some(targets) if targets else "none"),
        ("entries of theta, all that is learnt", f"{net.size:,}"),
    ]
    return facts


def _some(values: Any, most: int = 8) -> str:
    return ", ".join(map(str, values[:most])) + ", …" * (len(values) > most)


def stated(derivation: Derivation) -> Section:
    """The unit's equations and the objective, and what the letters mean."""
    text = (
        "These equations are all that was stated. Everything below follows from them by "
        "differentiation. Unit k stands for any unit, and τ for any time."
    )
    inner = [
        Section(prose.TITLES[part], part, tuple(equation(s) for s in derivation if s.part == part))
        for part in STATED
    ]
    letters = Section("The letters", "letters", (Items(derivation.notes),))
    return Section("What is stated", "stated", (Paragraph(text),), (*inner, letters))


def unrolled(derivation: Derivation, net: Network, picture: Figure | None) -> Section:
    """N*: its nodes, what is tied, and what a derivative holds fixed."""
    steps = [s for s in derivation if s.part == "forward"]
    rows = [
        (f"${in_terminal(s.left)}$", _places(s), ", ".join(f"${v}$" for v in _read(s.right)),
         f"({s.number})")
        for s in steps
    ]  # fmt: skip
    table = Table(("node", "one for each", "edges from", "stated in"), tuple(rows))
    blocks: list[Block] = [Paragraph(prose.NETWORK), *_shown(picture), table]
    blocks.append(Paragraph(prose.TIED))
    w = net.wiring
    if w.weights < int(w.learnt.sum()):
        blocks.append(Paragraph(prose.SHARED))
    blocks.append(Paragraph(prose.FIXED))
    return Section("The unrolled network N*", "unrolled", tuple(blocks))


def _places(step: Step) -> str:
    return ", ".join(f"${r}$" for r in step.ranges)


def _read(expr: Expr) -> list[str]:
    """What stands on a right side, once each, in the order of its letters."""
    found = [v for v in expr.atoms(Indexed) if v.base != MEMBER and not is_member(v)]
    return sorted({in_terminal(v) for v in found})


def learning(derivation: Derivation, grouped: bool, picture: Figure | None) -> Section:
    """The derivation, in the parts it was written in."""
    steps = [s for s in derivation if s.part not in STATED]
    inner, seen = [], Counter[str]()
    for part, run in groupby(steps, key=lambda s: s.part):
        seen[part] += 1
        said = prose.about(part, derivation.algorithm)
        anchor = f"{part.replace(' ', '-')}" + f"-{seen[part]}" * (seen[part] > 1)
        blocks: list[Block] = [Paragraph(said)] if said else []
        blocks += [equation(s) for s in run]
        inner.append(Section(prose.TITLES[part], anchor, tuple(blocks)))
    kept = ", ".join(f"${in_terminal(v)}$" for v in derivation.kept)
    opening: tuple[Block, ...] = (
        Paragraph(prose.order(derivation.algorithm, grouped)),
        Paragraph(f"{derivation.keeping}: {kept}."),
        *_shown(picture),
    )
    title = f"How it learns: {derivation.title}"
    return Section(title, "learning", opening, tuple(inner))


def equation(step: Step) -> Equation:
    """A step as an equation of the document."""
    return Equation(step.left, step.right, step.sign, step.number, step.ranges, step.rule)


def proof(found: Proof, after: int) -> Section:
    """Why these are the derivatives: the induction, its equations numbered after the others."""
    title = "Why this is the derivative, for all n and T"
    if not found.attempted:
        said = f"The equations are not proved by induction here: {found.reason}."
        return Section(title, "proof", (Paragraph(said),))
    numbers = count(after + 1)
    inner = [
        Section(lemma.name, f"lemma-{i}", tuple(_lemma(lemma, numbers)))
        for i, lemma in enumerate(found.lemmas, 1)
    ]
    opening = Paragraph(
        "Each lemma holds the derivative of the stated equations along a tangent, found anew, "
        "against the equations above. In ẏ the dot is the derivative along that tangent; both "
        "sides of every equation were brought to one normal form of indexed sums."
    )
    scope = Section("What is proved", "proved", (Items(tuple(found.scope.splitlines())),))
    return Section(title, "proof", (opening,), (*inner, scope))


def _lemma(lemma: Lemma, numbers: Iterator[int]) -> Iterator[Block]:
    for called, said in (("Claim", lemma.statement), ("Hypothesis", lemma.hypothesis)):
        if said:
            yield Paragraph(f"{called}. " + re.sub(r"Σ_\{([^}]*)\}", r"Σ over \1 of", said))
    for called, lines in (("Base.", lemma.base), ("Step.", lemma.step)):
        if lines:
            yield Paragraph(called)
        for line in lines:
            one = equation(line.step)
            fault = "" if line.holds else f"; this does not hold{line.against}"
            yield replace(one, number=next(numbers), rule=one.rule + fault)
    yield Paragraph(f"{lemma.so}{' ∎' if lemma.holds else ''}")


CALLED = {
    "gradient": "A whole sequence", "step": "One time step", "update": "At the end of a window",
    "settle": "A relaxation, and its gradient",
}  # fmt: skip


def program(programs: Mapping[str, Any]) -> Section:
    """The algorithm as loops around the equations."""
    text = (
        "The same algorithm as loops around these right-hand sides. Kernels are made from this "
        "program, and the proof runs it on symbols. Index tables say which connections there are."
    )
    codes = [
        Code(str(one), f"{CALLED.get(name, name.capitalize())}: `{name}`")
        for name, one in programs.items()
        if name not in ("forward", "gradient_all", "start")
    ]
    return Section("The program", "program", (Paragraph(text), *codes))


def cost(found: Any, row: Any) -> Section:
    """What a time step costs, counted, and the same as formulas."""
    from derive.program.spell import cost_table, formula_table, remarks

    counts, formulas = cost_table(found), formula_table(found)
    text = (
        "Operations and numbers kept, counted in the programs of this network, per time step. "
        "Other algorithms stand beside it for comparison."
    )
    others = [r for r in formulas[1:]]
    own, inside = [], False
    for line in others:
        inside = line[0] == row.title if line[0] else inside
        if inside:
            own.append(tuple(f"`{c}`" if i == 2 else c for i, c in enumerate(line[1:], 1)))
    blocks: list[Block] = [
        Paragraph(text),
        _table(counts, "Cost of a time step", row.title),
        Table(("what", "formula"), tuple(own), f"{row.title}, as formulas of the counts below"),
        Items(tuple(remarks(found))),
    ]
    return Section("The cost", "cost", tuple(blocks))


def _table(rows: list[list[str]], caption: str, own: str) -> Table:
    head, *body = rows
    marked = tuple((f"{r[0]} (this one)" if r[0] == own else r[0], *r[1:]) for r in body)
    numbers = frozenset(i for i, name in enumerate(head) if i and name != "function calls")
    return Table(tuple(head), marked, caption, numbers)


def evidence(report: Any, command: str) -> Section:
    """The table of claims; without a report, how to get one."""
    if report is None:
        text = (
            "Nothing was verified while this document was made. The program is proved equal to "
            f"the derivative of the unrolled objective, and its kernel is measured, by `{command}`."
        )
        return Section("The evidence", "evidence", (Paragraph(text),))
    from derive.verify.report import number_text

    rows = [
        (c.name, c.method, number_text(c.worst), number_text(c.limit),
         c.said, c.scope)
        for c in report.claims
    ]  # fmt: skip
    said = (
        f"All {len(report.attempted)} claims hold."
        if report.ok
        else f"{len(report.failed)} of {len(report.attempted)} claims FAIL."
    )
    details = tuple(f"{c.name}: {c.detail}" for c in report.claims if c.detail)
    blocks: list[Block] = [
        Paragraph(f"What was checked of program and kernel ({report.algorithm}). {said}"),
        Table(("claim", "how it was checked", "worst error", "limit", "verdict", "reaches"),
              tuple(rows), numbers=frozenset({2, 3})),
    ]  # fmt: skip
    blocks += [Paragraph("In detail:"), Items(details)] if details else []
    return Section("The evidence", "evidence", tuple(blocks))


def pictures_of(net: Network, settled: Mapping[str, Any]) -> dict[str, Figure]:
    """Pictures of a network by what they show, where what draws them is installed."""
    try:
        draw = importlib.import_module("derive.pictures").draw
    except (ImportError, AttributeError):
        return {}
    from derive.errors import DeriveError

    found = {}
    options = {k: v for k, v in settled.items() if k != "name"}
    for what in ("network", "unrolled", "flow"):
        try:
            picture = draw(net, what, algorithm=settled["name"], **options)
        except (DeriveError, ImportError):
            continue  # its extra is not installed, or there is no such picture of the network
        found[what] = Figure(picture.svg, picture.title, picture.description)
    return found
