"""A small network that stands for a large one where symbols are too dear.

A derivation is made per cell and instantiated per topology, so a proof needs each cell, each kind
of connection, the objective and the schedule of the real network, and few of each. Windows are
short for the same reason: what a program does at their edges it does at those of long ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from derive.errors import NetworkError
from derive.network.cell import Cell
from derive.network.network import Network
from derive.network.objective import Objective, Term, moved
from derive.network.topology import Connection, full
from derive.program.algorithms import options_of
from derive.verify.forms import form_of
from derive.verify.forms import words as written
from derive.verify.stated import stated_forward
from derive.verify.unrolling import output_columns

UNITS, INPUTS, CONNECTIONS, DELAY, STATES = 4, 2, 24, 3, 6
"""A network no larger than this in all of them is proved itself,"""

TERMS = 48
"""unless what comes together in a step, times the steps beyond the second, is more."""

CELLS_EACH = 3
"""Distinct cells in one witness."""

EPOCHWISE = {"name": "epochwise"}

MORE = 4
"""Steps beyond the longest delay that a proof takes at most to see a last error that tells."""

Groups = list[list[int]] | None
Short = tuple[dict[str, Any], int]


@dataclass(frozen=True)
class Witness:
    """A network to run on symbols, how and for how many steps, and in words why it will do."""

    net: Network
    steps: int
    own: bool
    words: str
    algorithm: Mapping[str, Any]

    @property
    def scope(self) -> str:
        """For what a proof on it holds."""
        units, steps = self.net.units, self.steps
        return f"witness: {units} unit{'s' * (units != 1)}, {steps} steps, any weights"


def witnesses(net: Network, algorithm: Mapping[str, Any] = EPOCHWISE) -> tuple[Witness, ...]:
    """The networks a proof for ``net`` is run on: itself where it is small.

    Otherwise small ones with the same cells (at most three in each), objective, and kinds of
    connections: delays by rank (of 1, 3, 200 the witness has 1, 2, 3), full wiring where the
    network's is full, else a self-loop, a ring and a shortcut, input lines into the first unit
    only, so that their weights reach the targets through several steps, and shared weights where
    there are some. Each runs with every form of the algorithm that :func:`short_forms` gives.
    """
    groups = options_of(algorithm).get("groups")
    forms = short_forms(algorithm)
    least = max(steps for _, steps in forms)
    if _is_small(net, least):
        nets = [(net, groups, f"the network itself, {_counts(net)}")]
    else:
        cells = list(range(len(net.cells)))
        chosen = [cells[i : i + CELLS_EACH] for i in range(0, len(cells), CELLS_EACH)]
        nets = [_small(net, group, groups, least) for group in chosen]
    return tuple(
        _witness(
            little, {**short, **({"groups": apart} if apart else {})}, fewest, words, algorithm
        )
        for little, apart, words in nets
        for short, fewest in forms
    )


def _is_small(net: Network, least: int) -> bool:
    w = net.wiring
    return (
        net.units <= UNITS
        and net.inputs <= INPUTS
        and w.size <= CONNECTIONS
        and _terms(net, least) <= TERMS
        and w.longest_delay <= DELAY
        and len(net.states) <= STATES
    )


def _terms(net: Network, least: int) -> int:
    """How much of a derivation is written out: connections and memories, in each step."""
    remember = [
        sum(e.has(y) for e in eq.states.values() for y in eq.states)
        for eq in (c.equations for c in net.cells)
    ]
    own = sum(remember[c] for c in net.cell_index)
    # Where three net inputs and more meet in a unit their sums are multiplied with one another.
    heavy = np.array([1 + (len(c.net_inputs) > 2) for c in net.cells])
    entering = int(heavy[net.cell_index[net.wiring.target]].sum())
    return int(entering + 2 * own) * (max(least, net.wiring.longest_delay + 2) - 2)


def short_forms(algorithm: Mapping[str, Any]) -> list[Short]:
    """An algorithm with windows of a few steps, and the fewest steps that show their edges.

    h = 2 stands for all above it, and h = 3, h′ = 2 for 1 < h′ < h; segments of 2 steps for all
    longer ones. A hybrid is also run with
    h = 1: there the sensitivities at a window's start come from those of another within few steps.
    Where outputs are forced it takes more steps until one of them lets something pass.
    """
    kept = dict(algorithm)
    least = 5 if kept.get("teacher_forcing") else 3
    if isinstance(kept.get("memory"), int):
        kept["memory"] = min(kept["memory"], 2)
    if "h" not in kept:
        return [(kept, least)]
    h, newest = kept["h"], kept.get("h_prime", 1)
    if algorithm["name"] == "hybrid":
        return [({**kept, "h": short}, least) for short in ((2, 1) if h > 1 else (1,))]
    if newest == 1:
        return [({**kept, "h": min(h, 2)}, least)]
    if newest == h:
        return [({**kept, "h": 2, "h_prime": 2}, least)]
    return [({**kept, "h": 3, "h_prime": 2}, 5)]


def _witness(
    net: Network, short: dict[str, Any], least: int, words: str, algorithm: Mapping[str, Any]
) -> Witness:
    steps = _telling(net, max(least, net.wiring.longest_delay + 2))
    period = form_of(short).period or 1
    if period > 1 and steps % period == 0:
        steps += 1  # a last window that is not whole
    if "capacity" in options_of(algorithm):
        short["capacity"] = steps
    if {**short, "capacity": 0} != {**algorithm, "capacity": 0}:
        words += f"; {written(short)} for {written(algorithm)}"
    return Witness(net, steps, words.startswith("the network itself"), words, short)


def _telling(net: Network, least: int) -> int:
    """The fewest steps after which some target's output depends on the parameters.

    Where delays follow one another, or what a unit remembers is told later, few steps end before
    anything that was learnt has come that far, and a mistake in the last error would not show.
    """
    most = max(least, net.wiring.longest_delay + MORE)
    generator = np.random.Generator(np.random.PCG64(0))
    x, y0 = generator.normal(size=(most, net.inputs)), generator.normal(size=len(net.states))
    theta = net.init(0)
    runs = [stated_forward(net, theta * by, x, y0) for by in (1.0, 1.125)]
    outputs = np.array(output_columns(net))[list(net.objective.targets)]
    moved = (runs[0] != runs[1])[:, outputs].any(axis=1)
    return next((t for t in range(least, most + 1) if moved[t]), least)


def _small(
    net: Network, cells: list[int], groups: Groups, least: int
) -> tuple[Network, Groups, str]:
    """Three units and two input lines, or two and one where that were too much."""
    for most, inputs in ((3, INPUTS), (2, 1)):
        found = _of_units(net, _representatives(net, cells, most), min(net.inputs, inputs), groups)
        if _terms(found[0], least) <= TERMS:
            break
    return found


def small(net: Network, units: int, inputs: int) -> Network | None:
    """A network of so many units of all the cells; None where that is fewer than the cells."""
    if units < len(net.cells) or units > net.units:
        return None
    chosen = _representatives(net, list(range(len(net.cells))), units)
    return _of_units(net, chosen, inputs, None)[0]


def _of_units(
    net: Network, units: list[int], m: int, groups: Groups
) -> tuple[Network, Groups, str]:
    n = len(units)
    later = np.unique(net.wiring.delay[net.wiring.delay > 0])
    delays = max(1, later[:DELAY].size)
    connections, wiring = _wiring(net, units, n, m, delays)
    apart = _groups(units, groups)
    targets = _targets(net, units)
    targets += [group[-1] for group in apart or () if not set(group) & set(targets)]
    little = Network(
        [net.cells[net.cell_index[k]] for k in units],
        n,
        m,
        connections,
        _objective(net, units, targets),
        name=net.name,
        parameters={
            name: np.nan_to_num(values[units]).tolist()
            for name, values in net.values.items()
            if not np.isnan(values[units]).all()
        },
    )
    original = later.tolist()
    words = f"{_counts(little)} with the same cells and objective; {wiring}"
    if original and original != list(range(1, delays + 1)):
        shown = ", ".join(map(str, original[:3])) + (", …" if len(original) > 3 else "")
        words += f"; delays {shown} by rank"
    return little, apart, words


def _objective(net: Network, units: list[int], targets: list[int]) -> Objective:
    """The same terms, over the units that were chosen; at least one each, or two where they pool.

    ``targets`` are the chosen units that have some; what no term says of them the first one does.
    """
    terms: list[Term] = []
    learned = {p.name for k in units for p in net.cells[net.cell_index[k]].trainable}
    learned |= {"w"} if net.wiring.weights else set()
    without = [i for i in targets if units[i] not in net.objective.targets]
    for term in net.objective.terms:
        if term.over == "parameters":
            names = tuple(n for n in term.names if n in learned)
            # Its constants are one number each, so what is left of it is stated as it was.
            terms += [replace(term, names=names)] if names else []
            continue
        own = term.units_of(net.units)
        among = targets if term.over == "targets" else range(len(units))
        places = [i for i in among if units[i] in own]
        if term.over == "targets":
            places, without = places + without, []
        least = min(2 if term.pools else 1, len(own), len(units))
        places += [i for i in reversed(range(len(units))) if i not in places][
            : max(0, least - len(places))
        ]
        first = [units[i] if units[i] in own else own[0] for i in places]
        terms.append(moved(replace(term, units=own), first, places))
    return Objective.of(terms)


def _groups(units: list[int], groups: Groups) -> Groups:
    """The groups of the chosen units; if they are all of one, the last gets one of its own."""
    if groups is None:
        return None
    found = [[i for i, k in enumerate(units) if k in set(group)] for group in groups]
    found = [group for group in found if group]
    if len(groups) > 1 and len(found) == 1 and len(units) > 1:
        found = [found[0][:-1], found[0][-1:]]
    return found


def _counts(net: Network) -> str:
    w = net.wiring
    return (
        f"{net.units} units, {net.inputs} input lines, {w.size} connections, "
        f"delays up to {w.longest_delay}"
    )


def _representatives(net: Network, cells: list[int], most: int) -> list[int]:
    """The first unit of each cell, then further units of these cells up to so many."""
    units = [int(np.flatnonzero(net.cell_index == c)[0]) for c in cells]
    others = np.flatnonzero(np.isin(net.cell_index, cells))
    # From the far end: their fixed parameters are the likeliest to differ from the first's.
    for k in others[::-1].tolist():
        if len(units) >= most:
            break
        if k not in units:
            units.append(k)
    return sorted(units)


def _targets(net: Network, units: list[int]) -> list[int]:
    """The same pattern of targets; if none of the units has one, the last gets it."""
    place = {k: i for i, k in enumerate(units)}
    found = [place[k] for k in net.objective.targets if k in place]
    if len(found) == len(units) and len(net.objective.targets) < net.units:
        found = [i for i in found if i != 0]  # some unit must be without one, as in the network
    return found or [len(units) - 1]


def _wiring(net: Network, units: list[int], n: int, m: int, delays: int) -> tuple[Any, str]:
    w = net.wiring
    if not w.size:
        return [], "no connections"
    shared = w.weights + len(w.fixed) < w.size
    if _is_full(net) and not shared:
        return full(), "fully connected"
    rows: list[tuple[int, int, int]] = []  # target, source, delay rank
    for k in range(n):
        rows.append((k, (k - 1) % n, 1 + k % delays))
    rows.append((0, 0, delays))
    if n > 1:
        rows.append((n - 1, 0, 1 + (n - 1 + 1) % delays))
        rows.append((n - 1, n - 1, 1))
    rows += [(0, n + line, 1 + line % delays) for line in range(m)]
    if m and delays > 1:
        rows.append((0, n, delays))
    rows += [(n - 1, 0, d) for d in range(1, delays + 1)]
    connections = _as_heard(net, units, sorted(set(rows)))
    learnt = [i for i, c in enumerate(connections) if c.fixed is None]
    if shared and len(learnt) > 2:
        for i in (learnt[0], learnt[len(learnt) // 2], learnt[-1]):
            connections[i] = replace(connections[i], weight="shared")
    text = "a ring with self-loops and shortcuts, inputs into the first unit only"
    text += ", some heard in the same step" if any(c.delay == 0 for c in connections) else ""
    text += ", some weights fixed" if len(learnt) < len(connections) else ""
    return connections, text + (", one weight shared by three connections" if shared else "")


def _is_full(net: Network) -> bool:
    """Whether the connections are those of ``connect.full()``."""
    w = net.wiring
    if len(w.fixed):
        return False
    expected, now = 0, np.zeros(w.size, dtype=bool)
    of_target = net.cell_index[w.target]
    counts = np.bincount(net.cell_index, minlength=len(net.cells))
    for c, cell in enumerate(net.cells):
        for p, port in enumerate(cell.ports):
            having = [port.hears is None or port.hears in other.states for other in net.cells]
            expected += int(counts[c]) * (int(counts[having].sum()) + net.inputs)
            if port.delay == 0:
                now |= (of_target == c) & (w.port == p) & (w.source < net.units)
    return w.size == expected and bool((w.delay == np.where(now, 0, 1)).all())


def _as_heard(net: Network, units: list[int], rows: list[tuple[int, int, int]]) -> list[Connection]:
    """Connections into every net input of the chosen units that hear as these do.

    Those that hear in the same step do so where that leads in no circle, the others by rank; and
    where a net input has fixed weights every other one is.
    """
    w, n = net.wiring, len(units)
    cells = [net.cells[net.cell_index[k]] for k in units]
    of_target = net.cell_index[w.target]
    found: list[Connection] = []
    for k, source, delay in rows:
        for p, port in enumerate(cells[k].ports):
            if source < n and port.hears is not None and port.hears not in cells[source].states:
                continue
            here = (of_target == net.cell_index[units[k]]) & (w.port == p)
            fixed = None
            kept = ~w.learnt[here]
            if kept.any() and (kept.all() or len(found) % 2):
                fixed = 0.75 if (k + source) % 2 else -0.625
            at_once = source < n and (w.delay[here] == 0).any()
            c = Connection(k, source, delay, port.name, None, fixed)
            if at_once and _in_order(cells, [*found, replace(c, delay=0)]):
                c = replace(c, delay=0)
            if not any((c.target, c.source, c.delay, c.net_input) ==
                       (o.target, o.source, o.delay, o.net_input) for o in found):  # fmt: skip
                found.append(c)
    return found


def _in_order(cells: list[Cell], connections: list[Connection]) -> bool:
    """Whether the connections of delay 0 lead in no circle."""
    try:
        Network(cells, len(cells), 2, connections, Objective("d*y", [0]))
    except NetworkError:
        return False
    return True
