"""From a network and a settled algorithm to the sections of its document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derive.calculus.derivation import derivation
from derive.calculus.form import form_of
from derive.calculus.options import options_of
from derive.calculus.recipes import RECIPES
from derive.document import sections
from derive.document.blocks import Section
from derive.document.instance import Instance
from derive.document.written_out import written_out, zero_sensitivities
from derive.errors import DeriveError
from derive.network.network import Network
from derive.program.algorithms import programs, structure_of
from derive.program.complexity import complexity
from derive.verify.induction.proving import induction

BESIDE = ("name", "capacity", "memory", "accumulate")
"""What is no matter of the equations: how much room a run has or takes, and how it rounds."""

COMMANDED = ("h", "h_prime", "memory", "accumulate")
"""Options that a command of the document repeats."""

MOST_COUNTED = 20_000
"""Connections; the cost of larger networks is left to ``derive cost``."""


def sections_of(
    net: Network, settled: Mapping[str, Any], report: Any
) -> tuple[str, tuple[Section, ...]]:
    """What the algorithm is called, and the sections of the document."""
    name = settled["name"]
    chosen = {k: v for k, v in settled.items() if k not in BESIDE}
    found = derivation(net, name, chosen)
    options = options_of(name, chosen, RECIPES[name].options, net.units)
    form = form_of(net, options.forced, frozenset(RECIPES[name].letters))
    instance = Instance(net, form, options.groups)
    known = zero_sensitivities(structure_of(net, settled), net)
    drawn = sections.pictures_of(net, settled)
    content = [
        sections.network(net, drawn.get("network")),
        sections.stated(found),
        sections.unrolled(found, net, drawn.get("unrolled")),
        sections.learning(found, options.groups is not None, drawn.get("flow")),
        sections.proof(induction(net, settled), len(found)),
        written_out(net, found, instance, known),
        sections.program(programs(net, settled)),
        *_cost(net, settled),
        sections.evidence(report, command(net, settled)),
    ]
    return f"How it learns by {found.title}", tuple(content)


def command(net: Network, settled: Mapping[str, Any]) -> str:
    """What to type to have the network verified."""
    given = [f" -o {k}={v}" for k, v in settled.items() if k in COMMANDED and v is not None]
    return f"derive verify {net.name}.toml --algorithm {settled['name']}{''.join(given)}"


def _cost(net: Network, settled: Mapping[str, Any]) -> list[Section]:
    """The section on cost, where it can be counted in reasonable time."""
    if net.wiring.size > MOST_COUNTED:
        return []
    h, h_prime = settled.get("h"), settled.get("h_prime")
    groups = settled.get("groups")
    try:
        found = complexity(net, h, h_prime if (h_prime or 1) > 1 else None, groups)
    except DeriveError:
        return []
    rows = [r for r in found.rows if r.algorithm["name"] == settled["name"]]
    wanted = [r for r in rows if _is_variant(r, settled)] or rows
    return [sections.cost(found, wanted[0])] if wanted else []


def _is_variant(row: Any, settled: Mapping[str, Any]) -> bool:
    """Whether a counted row has the options asked for, as far as rows of one algorithm differ."""
    several = (row.algorithm.get("h_prime") or 1) > 1
    grouped = row.algorithm.get("groups") is not None
    same = ("memory" in row.algorithm) == ("memory" in settled)
    same &= grouped == bool(settled.get("groups"))
    return same and several == ((settled.get("h_prime") or 1) > 1)
