"""The same computations by others, each written as its own users would write it for speed.

What is fair to them: weights are dense, with zeros where there is no connection, so that none pays
for masks or gathers unless it asks for them; arrays are in each one's own layout and memory before
the clock starts; compilation is not timed.

Backward passes that stand here by hand are what the user of such a library has to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from derive.bench.problem import Maker, Problem
from derive.errors import BenchError

PEERS = {
    "jax": ("jax", "makers"),
    "torch": ("torch", "makers"),
    "torch.compile": ("torch", "compiled_makers"),
    "numba": ("numba", "makers"),
    "numpy": ("numpy", "makers"),
}
"""By the name a user knows: the file here, and its list of contenders."""

QUICK = tuple(name for name in PEERS if name != "torch.compile")
"""Those that need no minute to compile."""


def makers(peer: str, problem: Problem, threads: int, quick: bool = False) -> Mapping[str, Maker]:
    """All contenders of one library, by name; nothing is compiled yet.

    ``quick`` leaves out what costs seconds to compile and is not likely to be the best.

    Raises
    ------
    BenchError
        When the library is not installed.
    """
    file, name = PEERS[peer]
    try:
        module = import_module(f"derive.bench.peers.{file}")
    except ImportError as error:
        raise BenchError(
            f"{error.name or peer} is not installed; pip install 'derive[bench]'"
        ) from error
    found: Mapping[str, Maker] = getattr(module, name)(problem, threads, quick)
    return found


def checked(against: str | None, quick: bool) -> tuple[str, ...]:
    """The peers a user names, separated by commas; without a name all, or the quick ones.

    Raises
    ------
    BenchError
        For a peer that there is not.
    """
    if against is None:
        return QUICK if quick else tuple(PEERS)
    names = tuple(filter(None, against.split(",")))
    for name in names:
        if name not in PEERS:
            raise BenchError(f"against: expected some of {', '.join(PEERS)}, got {name!r}")
    return names
