"""The algorithm family: one file each, all composed from :mod:`derive.program.sweep`.

An algorithm is a module with ``OPTIONS`` (the options it takes, with their defaults) and
``programs(net, **options)``, which gives the Programs of a kernel by name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from derive.errors import DerivationError
from derive.network.network import Network
from derive.program.algorithms import epochwise
from derive.program.ir import Program

ALGORITHMS: dict[str, ModuleType] = {"epochwise": epochwise}


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
    known = ALGORITHMS[name].OPTIONS
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
    return dict(ALGORITHMS[algorithm["name"]].programs(net, **options))
