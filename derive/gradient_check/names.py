"""A name for each entry of theta, and where in the network it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from derive.network.network import Network


def entry_names(net: Network) -> list[tuple[str, str]]:
    """Name and place of each entry of theta: ``w_2_3``, ``unit 2 from input 0``.

    A weight is named by target and source (units first, then input lines), then its net input
    where a unit has several, its delay where it is not 1. A shared weight has the name of its
    first connection.
    """
    found: list[tuple[str, str]] = [("", "")] * net.size
    shared = np.bincount(net.wiring.weight, minlength=net.wiring.weights)
    for c, i in zip(net.connections, net.wiring.weight.tolist(), strict=True):
        if c.fixed is not None or found[i][0]:
            continue
        several = len(net.cells[net.cell_index[c.target]].net_inputs) > 1
        name = f"w_{c.target}_{c.source}"
        name += f"_{c.net_input}" if several else ""
        name += f"_{c.delay}" if c.delay != 1 else ""
        m = c.source - net.units
        where = f"unit {c.target} from " + (f"unit {c.source}" if m < 0 else f"input {m}")
        where += f", net input {c.net_input}" if several else ""
        where += f", delay {c.delay}" if c.delay != 1 else ""
        where += f", shared by {shared[i]} connections" if shared[i] > 1 else ""
        found[i] = (name, where)
    for name, at in net.connection_parameters.items():
        for weight, i in enumerate(at.tolist()):
            if i >= 0:
                own, where = found[weight]
                found[i] = (f"{name}{own[1:]}", where)
    for name, at in net.unit_parameters.items():
        for k, i in enumerate(at.tolist()):
            if i >= 0 and not found[i][0]:
                shares = int((at == i).sum()) > 1
                found[i] = (f"{name}_{k}", f"unit {k}" + (" and others" if shares else ""))
    return found


def plain_names(shape: tuple[int, ...], names: Sequence[Any] | None) -> list[tuple[str, str]]:
    """Names where there is no network: those given, or by index.

    Raises
    ------
    ValueError
        When there are not as many names as entries.
    """
    size = int(np.prod(shape, dtype=np.int64))
    if names is not None:
        if isinstance(names, str) or len(names) != size:
            raise ValueError(f"names: expected one for each of {size} entries of theta")
        return [(str(name), "") for name in names]
    places = np.ndindex(*shape) if shape else [()]
    return [(f"theta[{', '.join(map(str, at))}]" if at else "theta", "") for at in places]
