"""The section that writes a small network out unit by unit, and sums a large one up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sympy import Indexed

from derive.calculus.derivation import Derivation
from derive.calculus.indexed import Ordered, Slope, Within
from derive.calculus.notation import in_terminal
from derive.calculus.steps import Step
from derive.document.blocks import Block, Equation, Items, Paragraph, Section, Table
from derive.document.instance import Instance
from derive.network.network import Network

MOST_UNITS, MOST_CONNECTIONS = 10, 48
"""Networks with more are summed up."""
SHOWN = 48
"""Equations of one kind that are written out; of more, only the first."""
FIRST = 6
MOST_SHOWN = 60
"""Equations of a section, after which the next ones are only named."""

GROUPS = {
    "forward": ("Forward, unit by unit", ("forward",)),
    "rest": ("At the fixed point", ("fixed point",)),
    "errors": ("Errors", ("error",)),
    "back": ("Back, unit by unit", ("backward", "boundary", "elimination", "relaxation")),
    "sensed": ("Sensitivities", ("sensitivities", "implicit", "sweeps")),
    "gradient": ("Each entry of the gradient", ("gradient", "sensed gradient", "elimination")),
}


def is_small(net: Network) -> bool:
    """Whether a network is written out."""
    return net.units <= MOST_UNITS and net.wiring.size <= MOST_CONNECTIONS


def written_out(net: Network, derivation: Derivation, instance: Instance, known: str) -> Section:
    """What the general equations say for this network.

    Parameters
    ----------
    known : str
        What is known of the structure of its sensitivities, as a sentence; empty for none.
    """
    said = [_counted(net), *([known] if known else [])]
    if not is_small(net):
        return Section(
            "For this network: a summary",
            "network-summary",
            (
                Paragraph(
                    "The network is too large to be written out. The general equations hold for "
                    "every unit and connection of it; this is what their sums run over."
                ),
                *(Paragraph(text) for text in said),
                *summary_tables(net),
            ),
        )
    inner = [s for key in GROUPS if (s := _group(key, derivation, instance)) is not None]
    return Section(
        "Written out for this network",
        "written-out",
        (
            Paragraph(
                "The general equations, for each unit and each connection there is: their indices "
                "become numbers, and their sums the terms that are there."
            ),
            *(Paragraph(text) for text in said),
        ),
        tuple(inner),
    )


def _counted(net: Network) -> str:
    """Which numbers are units and which inputs."""
    n, m = net.units, net.inputs
    units = f"{'Units are' if n > 1 else 'The unit is'} numbered {_span(0, n)}"
    inputs = f", input line{'s' * (m > 1)} {_span(n, n + m)}" if m else ""
    targets = ", ".join(map(str, net.objective.targets[:12]))
    more = "…" * (len(net.objective.targets) > 12)
    judged = f" Targets can be given for {targets}{more}." if net.objective.targets else ""
    return f"{units}{inputs}.{judged}"


def _span(first: int, end: int) -> str:
    return str(first) if end - first == 1 else f"{first} to {end - 1}"


# --- small -----------------------------------------------------------------------------------


def _group(key: str, derivation: Derivation, instance: Instance) -> Section | None:
    title, parts = GROUPS[key]
    blocks: list[Block] = []
    left_out: list[int] = []
    for step in results(derivation):
        if step.part in parts and _belongs(step, key):
            if sum(isinstance(b, Equation) for b in blocks) < MOST_SHOWN:
                blocks += _instances(step, instance)
            else:
                left_out.append(step.number)
    if left_out:
        numbers = ", ".join(f"({v})" for v in left_out)
        blocks.append(Paragraph(f"In the same way for {numbers}."))
    return Section(title, f"written-{key}", tuple(blocks)) if blocks else None


def _belongs(step: Step, key: str) -> bool:
    """Elimination finds both ε, δ and the gradient."""
    return (key == "gradient") == isinstance(step.left, Slope)


def results(derivation: Derivation) -> Iterator[Step]:
    """The equations that are computed with: the last of each name, with all partials put in.

    What an input line or the first state does to the objective is left to the general equations.
    """
    last = {s.name: s for s in derivation}
    for step in derivation:
        if last[step.name] is not step or step.name == "x":
            continue
        by_sum = step.name.startswith("gradient_shared")
        if isinstance(step.left, Slope):
            if step.name.startswith("gradient_") and (by_sum or not _by_name(step)):
                if not step.name.startswith(("gradient_x",)) and "θ" not in step.name:
                    yield step
        elif isinstance(step.left, Indexed) and not _by_name(step):
            yield step


def _by_name(step: Step) -> bool:
    return bool(step.right.has(Slope, Within, Ordered))


def _instances(step: Step, instance: Instance) -> Iterator[Block]:
    places = list(instance.places(step))
    if not places:
        return
    # Times have no numbers: an equation holds for all of them.
    times = tuple(r for r in step.ranges if r.startswith(("τ", "ρ")))
    during = f", for {', '.join(f'${r}$' for r in times)}" if times else ""
    yield Paragraph(f"From ({step.number}){during}:")
    shown = places if len(places) <= SHOWN else places[:FIRST]
    found = [(step.left.xreplace(at), instance(step.right, at)) for at in shown]
    for left, right in found:
        if right != 0:
            yield Equation(left, right, step.sign)
    zero = [f"${in_terminal(left)}$" for left, right in found if right == 0]
    if zero:
        said = ", ".join(zero if len(zero) <= FIRST else [*zero[:2], "…", zero[-1]])
        yield Paragraph(f"{said} {'is' if len(zero) == 1 else 'are'} zero.")
    if len(places) > len(shown):
        yield Paragraph(f"… and {len(places) - len(shown)} more of the same form.")


# --- large -----------------------------------------------------------------------------------


def summary_tables(net: Network) -> tuple[Block, ...]:
    """Degrees and delays of a large network."""
    w, n = net.wiring, net.units
    into = Counter(w.target.tolist())
    out = Counter(w.source.tolist())
    fan_in = [into[k] for k in range(n)]
    fan_out = [out[k] for k in range(n + net.inputs)]
    rows = [
        _degree("connections into a unit", fan_in),
        _degree("connections out of a unit", fan_out[:n]),
    ]
    if net.inputs:
        rows.append(_degree("connections out of an input line", fan_out[n:]))
    degrees = Table(("", "fewest", "mean", "most"), tuple(rows), numbers=frozenset({1, 2, 3}))
    delays = sorted(Counter(w.delay.tolist()).items())
    shown = tuple((str(d), f"{c:,}") for d, c in delays[:20])
    density = w.size / (n * (n + net.inputs))
    facts = [f"Of {n * (n + net.inputs):,} pairs of a unit and a source, {density:.1%} would be "
             "connected, if no pair had several connections."]  # fmt: skip
    lonely = sum(v == 0 for v in fan_in)
    if lonely:
        facts.append(f"{lonely:,} units hear nothing.")
    return (
        degrees,
        Table(("delay", "connections"), shown, numbers=frozenset({0, 1})),
        Items(tuple(facts)),
    )


def _degree(what: str, counts: list[int]) -> tuple[str, ...]:
    mean = sum(counts) / len(counts) if counts else 0.0
    return what, f"{min(counts, default=0):,}", f"{mean:,.1f}", f"{max(counts, default=0):,}"


def zero_sensitivities(structure: Any, net: Network) -> str:
    """What is known of the sensitivities, as a sentence."""
    return "" if structure is None else f"On {net.name} {structure.words}."
