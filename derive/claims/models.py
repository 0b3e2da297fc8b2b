"""The networks a claim is tried on: those of the same cells from the smallest up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from derive.claims.model import Model
from derive.errors import NetworkError
from derive.network.network import Network
from derive.verify.witness import small

MOST_UNITS, MOST_LINES, MOST_STEPS = 3, 2, 4


def models(net: Network) -> Iterator[Model]:
    """Networks of one unit and few steps first, then larger and longer ones.

    In each the targets are all there in one run and some of them missing in another.
    """
    longest = net.wiring.longest_delay
    later = min(max(longest - 1, 0), 2)
    for n in range(1, max(MOST_UNITS, len(net.cells)) + 1):
        for m in _lines(net):
            little = _small(net, n, m)
            if little is None or little.units != n and n < len(net.cells):
                continue
            for steps in range(1, MOST_STEPS + later + 1):
                for missing in (0, 1, 2):
                    yield Model(little, steps, missing)


def proving(net: Network) -> list[list[Model]]:
    """Those on which a claim is proved: first large enough for what is left out to show.

    Where that is too much for the time there is, smaller ones serve.
    """
    longest = min(net.wiring.longest_delay, 3)
    several = len(net.cells)
    found = []
    for n, steps in ((max(2, several), 2 + longest), (max(2, several), 1 + longest),
                     (max(1, several), 1 + longest)):  # fmt: skip
        little = _small(net, n, min(net.inputs, 1))
        if little is not None:
            found.append([Model(little, steps, 0), Model(little, steps, 1)])
    return found


def _lines(net: Network) -> range:
    return range(min(net.inputs, 1), min(net.inputs, MOST_LINES) + 1)


def _small(net: Network, n: int, m: int) -> Network | None:
    """So many units of the same cells; None where there is no such network."""
    try:
        found = small(net, n, m)
    except NetworkError:
        return None
    if found is None:
        return None
    apart = [replace(c, weight=None) for c in found.connections]
    return Network(
        [found.cells[i] for i in found.cell_index],
        found.units,
        found.inputs,
        apart,
        found.objective,
        name=net.name,
        parameters=dict(found._stated_values),
    )
