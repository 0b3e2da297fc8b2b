"""The algorithm family: one file each, all composed from :mod:`derive.program.sweep`.

An algorithm is a module of its name with ``programs(net, **options)``, which gives the Programs of
a kernel by name. It is imported when its Programs are asked for, and SymPy with it: which
algorithm a kernel in the cache has can be told without.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from derive.errors import DerivationError

if TYPE_CHECKING:
    from derive.network.network import Network
    from derive.program.ir import Program

ALGORITHMS: dict[str, dict[str, Any]] = {"epochwise": {}}
"""Each algorithm with the options it takes and their defaults."""


def settle(net: Network, algorithm: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The algorithm asked for (or the one the spec names) with all its options.

    Raises
    ------
    DerivationError
        For an unknown algorithm or an option it does not take.
    """
    stated = dict(net.algorithm) if algorithm is None else {"name": algorithm}
    stated.update(options)
    name = stated.pop("name")
    if name not in ALGORITHMS:
        close = difflib.get_close_matches(str(name), ALGORITHMS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(ALGORITHMS)}"
        raise DerivationError(f"algorithm: no {name!r} in this version; {hint}")
    known = ALGORITHMS[name]
    for key in stated:
        if key not in known:
            raise DerivationError(
                f"algorithm {name!r} takes no option {key!r}"
                + (f"; it takes {', '.join(known)}" if known else "")
            )
    return {"name": name, **known, **stated}


def programs(net: Network, algorithm: Mapping[str, Any]) -> dict[str, Program]:
    """The Programs of a kernel, not yet scheduled, for a settled algorithm."""
    options = {k: v for k, v in algorithm.items() if k != "name"}
    module = importlib.import_module(f"derive.program.algorithms.{algorithm['name']}")
    return dict(module.programs(net, **options))
