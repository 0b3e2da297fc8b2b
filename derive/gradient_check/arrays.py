"""What can be done wrong to a right gradient once it is there: moved, dropped, transposed.

Each operation is a map of entries: entry i of the faulty gradient is entry ``source[i]`` of the
right one, or zero where ``source[i]`` is −1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from derive.network.network import Network

Maps = Mapping[str, Any]


def applied(source: Any, gradient: Any) -> Any:
    """A gradient with its entries moved."""
    return np.where(source >= 0, gradient[np.maximum(source, 0)], 0.0)


def of_net(net: Network) -> dict[str, Any]:
    """The operations that have a meaning for a network's theta, by mistake."""
    own = np.arange(net.size)
    found = {"nothing": np.full(net.size, -1)}
    at: dict[tuple[int, int, int], int] = {}
    for c, i in zip(net.connections, net.wiring.weight.tolist(), strict=True):
        if c.fixed is None:
            at.setdefault((c.target, c.source, c.delay), i)
    transposed = own.copy()
    missing, units_missing = own.copy(), own.copy()
    for (k, source, delay), i in at.items():
        transposed[i] = at.get((source, k, delay), i)
        (missing if source >= net.units else units_missing)[i] = -1
    found |= {
        "transposed": transposed,
        "columns_missing": missing,
        "units_missing": units_missing,
    }
    first = own.copy()
    first[net.wiring.weights :] = -1
    found["drop_parameter_gradient"] = first
    shape = (net.units, net.units + net.inputs)
    full = len(at) == shape[0] * shape[1] == net.wiring.weights
    if full and all(d == 1 for _, _, d in at):
        rest = own[net.wiring.weights :]
        matrix = own[: net.wiring.weights].reshape(shape)
        found["column_major"] = np.concatenate([matrix.T.ravel(), rest])
        rolled = np.roll(matrix, net.inputs, axis=1)
        found["inputs_first"] = np.concatenate([rolled.ravel(), rest])
    return dict(_that_move(found))


def of_shape(shape: tuple[int, ...]) -> dict[str, Any]:
    """The operations that make sense for any array of a shape."""
    size = int(np.prod(shape, dtype=np.int64))
    own = np.arange(size)
    found = {"nothing": np.full(size, -1)}
    if len(shape) == 2:
        rows, columns = shape
        matrix = own.reshape(shape)
        found["column_major"] = matrix.T.ravel()
        square = min(shape)
        swapped = matrix.copy()
        swapped[:square, :square] = matrix[:square, :square].T
        found["transposed"] = swapped.ravel()
        if columns > rows:
            found["inputs_first"] = np.roll(matrix, columns - rows, axis=1).ravel()
            found["columns_missing"] = np.where(np.arange(columns) < rows, matrix, -1).ravel()
            found["units_missing"] = np.where(np.arange(columns) >= rows, matrix, -1).ravel()
    return dict(_that_move(found))


def _that_move(found: Maps) -> Iterator[tuple[str, Any]]:
    for key, source in found.items():
        if not np.array_equal(source, np.arange(source.size)):
            yield key, source
