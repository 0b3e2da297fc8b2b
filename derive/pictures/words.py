"""What a network's pictures say in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from derive.network.network import Network


def many(count: int, thing: str, things: str = "") -> str:
    """ "1 unit", "3 units"."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def listed(numbers: Sequence[int], thing: str, most: int = 12) -> str:
    """ "unit 2", "units 0, 1 and 4", "units 0…7"."""
    numbers = list(numbers)
    if len(numbers) == 1:
        return f"{thing} {numbers[0]}"
    if numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 2:
        return f"{thing}s {numbers[0]}…{numbers[-1]}"
    if len(numbers) > most:
        return f"{len(numbers)} {thing}s from {numbers[0]} to {numbers[-1]}"
    return f"{thing}s {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def steps(delay: int) -> str:
    """A delay in words."""
    if delay == 0:
        return "in the same step"
    return "one step later" if delay == 1 else f"{delay} steps later"


def of_network(net: Network) -> str:
    """Units, input lines, connections, delays, targets and weights, in sentences."""
    w = net.wiring
    there = [many(net.units, "unit")]
    if len(net.cells) > 1:
        there[0] += f" of {len(net.cells)} cells"
    there += [many(net.inputs, "input line")] if net.inputs else []
    joined = many(w.size, "connection") if w.size else "no connection"
    parts = [f"{', '.join(there)} and {joined}" + ("" if net.inputs else "; no input lines") + "."]
    delays = Counter(w.delay.tolist())
    if len(delays) == 1:
        parts.append(f"Every connection is heard {steps(next(iter(delays)))}.")
    elif delays:
        each = [f"{steps(delay)} {count}" for delay, count in sorted(delays.items())]
        said = each if len(each) < 8 else [*each[:3], "…", each[-1]]
        parts.append(f"Connections by when they are heard: {', '.join(said)}.")
    own = int((w.target == w.source).sum())
    if own:
        parts.append(f"{many(own, 'connection leads', 'connections lead')} from a unit to itself.")
    targets = sorted(net.objective.targets)
    has = "has" if len(targets) == 1 else "have"
    parts.append(
        f"{listed(targets, 'unit').capitalize()} {has} targets."
        if targets
        else "No unit has a target."
    )
    parts += _weights(net)
    parts += [
        f"Population {name}: {listed(units, 'unit')}." for name, units in net.populations.items()
    ]
    return " ".join(parts)


def _weights(net: Network) -> list[str]:
    w = net.wiring
    if not w.size:
        return []
    found = []
    uses = np.bincount(w.weight)
    shared = int((uses > 1).sum())
    if shared:
        ties = int(uses[uses > 1].sum())
        found.append(f"{many(ties, 'connection')} share {many(shared, 'weight')}.")
    fixed = int((~w.learnt).sum())
    if fixed:
        verb = "has" if fixed == 1 else "have"
        found.append(f"{many(fixed, 'connection')} {verb} a fixed weight, drawn dashed.")
    return found


def of_connection(net: Network, place: int) -> str:
    """One connection, by its place in ``net.connections``."""
    c = net.connections[place]
    source = f"unit {c.source}" if c.source < net.units else f"input line {c.source}"
    text = f"{source} to unit {c.target}, {steps(c.delay)}"
    if len(net.cells[net.cell_index[c.target]].net_inputs) > 1:
        text += f", into {c.net_input}"
    if c.weight is not None:
        text += f", weight {c.weight}"
    return text + (f", fixed at {c.fixed!r}" if c.fixed is not None else "")
