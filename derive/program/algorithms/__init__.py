"""The algorithm family: one file each, composed from the pieces in :mod:`derive.program`.

An algorithm is a module of its name with ``programs(net, **options)``, which gives the Programs of
a kernel by name. It is imported when its Programs are asked for, and SymPy with it: which
algorithm a kernel in the cache has can be told without.
"""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from derive.errors import DerivationError

if TYPE_CHECKING:
    from derive.network.network import Network
    from derive.program.ir import Program

Options = Mapping[str, Any]

LONGEST_WINDOW = 2**24
"""Steps of a window or a history, at most."""


# --- what an option may be ----------------------------------------------------------------------


@dataclass(frozen=True)
class Option:
    """One option of an algorithm.

    ``read`` turns what a person gave into what is kept, or raises naming what would be right.
    ``default`` is ``NEEDED`` where there is none.
    """

    default: Any
    read: Callable[[str, Any, Network], Any]
    means: str


NEEDED = object()


def _steps(name: str, value: Any, net: Network) -> int:
    if isinstance(value, bool) or not isinstance(value, int) and not _is_index(value):
        raise DerivationError(f"{name}: expected a whole number of steps, got {value!r}")
    if not 1 <= int(value) <= LONGEST_WINDOW:
        raise DerivationError(f"{name}: expected 1 … {LONGEST_WINDOW} steps, got {int(value)}")
    return int(value)


def _is_index(value: Any) -> bool:
    return hasattr(value, "__index__")


def _truth(name: str, value: Any, net: Network) -> bool:
    if not isinstance(value, bool):
        raise DerivationError(f"{name}: expected True or False, got {value!r}")
    return value


def _memory(name: str, value: Any, net: Network) -> int | str:
    if isinstance(value, str) and value in ("full", "sqrt"):
        return value
    if isinstance(value, bool) or not _is_index(value) or not 1 <= int(value) <= LONGEST_WINDOW:
        raise DerivationError(
            f"{name}: expected 'full', 'sqrt' or a number of steps, 1 … {LONGEST_WINDOW}, "
            f"got {value!r}"
        )
    return int(value)


def _accumulate(name: str, value: Any, net: Network) -> str | None:
    if value is None or isinstance(value, str) and value == "float64":
        return value
    raise DerivationError(
        f"{name}: expected 'float64', got {value!r}; leave it out to sum in the kernel's dtype"
    )


def _tolerance(name: str, value: Any, net: Network) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DerivationError(f"{name}: expected a number, got {value!r}") from None
    if not math.isfinite(number) or number < 0:
        raise DerivationError(f"{name}: expected a number that is not negative, got {value!r}")
    return number


def _groups(name: str, value: Any, net: Network) -> list[list[int]] | None:
    """A partition of the units; a whole number g makes g groups of neighbours."""
    if value is None:
        return None
    n = net.units
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= n:
            raise DerivationError(f"{name}: expected 1 … {n} groups, got {value}")
        value = [list(range(i * n // value, (i + 1) * n // value)) for i in range(value)]
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise DerivationError(
            f"{name}: expected a number of groups or a list of lists of units, got {value!r}"
        )
    found: list[list[int]] = []
    of: dict[int, int] = {}
    for i, group in enumerate(value):
        if not isinstance(group, Sequence) or isinstance(group, str) or not group:
            raise DerivationError(f"{name}[{i}]: expected a list of units, got {group!r}")
        units = []
        for k in group:
            if isinstance(k, bool) or not _is_index(k) or not 0 <= int(k) < n:
                raise DerivationError(f"{name}[{i}]: {k!r} is no unit; units are 0…{n - 1}")
            if int(k) in of:
                where = "twice" if of[int(k)] == i else f"in group {of[int(k)]} too"
                raise DerivationError(f"{name}[{i}]: unit {int(k)} is there {where}")
            of[int(k)] = i
            units.append(int(k))
        found.append(sorted(units))
    missing = [k for k in range(n) if k not in of]
    if missing:
        raise DerivationError(f"{name}: unit {missing[0]} is in no group; put every unit in one")
    for i, group in enumerate(found):
        judged = net.objective.judged(n)
        if not set(group) & set(judged):
            raise DerivationError(
                f"{name}[{i}]: none of its units has a target, so its weights would never learn; "
                f"targets are on units {', '.join(map(str, judged))}"
            )
    return found


@dataclass(frozen=True)
class Algorithm:
    """An algorithm as it can be asked for.

    ``check`` looks at all options together. ``online`` says whether kernels have ``start``, and
    ``exact`` in words whose gradient it gives exactly.
    """

    title: str
    options: Mapping[str, Option] = field(default_factory=dict)
    online: bool = True
    exact: str = ""
    check: Callable[[dict[str, Any]], None] = lambda options: None


def _window_covers_errors(options: dict[str, Any]) -> None:
    if options["h_prime"] > options["h"]:
        raise DerivationError(
            f"h_prime: {options['h_prime']} is more than h = {options['h']}; errors can be "
            "injected only at steps the sweep passes, so h′ ≤ h"
        )


FORCING = Option(False, _truth, "targets take the place of outputs after each step")
ACCUMULATE = Option(None, _accumulate, "'float64': sums over time are of this type")
H = Option(NEEDED, _steps, "steps back")

ALGORITHMS: dict[str, Algorithm] = {
    "epochwise": Algorithm(
        "epochwise backpropagation through time",
        {"memory": Option("full", _memory, "signals kept: 'full', 'sqrt', or steps of a segment"),
         "teacher_forcing": FORCING, "accumulate": ACCUMULATE},
        online=False, exact="J^total of the epoch",
    ),
    "realtime": Algorithm(
        "real-time backpropagation through time, BPTT(∞)",
        {"capacity": Option(4096, _steps, "steps an online run has room for"),
         "teacher_forcing": FORCING, "accumulate": ACCUMULATE},
        exact="J(t) at each step",
    ),
    "truncated": Algorithm(
        "truncated backpropagation through time, BPTT(h; h′)",
        {"h": H, "h_prime": Option(1, _steps, "steps between updates; errors injected"),
         "teacher_forcing": FORCING, "accumulate": ACCUMULATE},
        exact="nothing once the history is longer than h", check=_window_covers_errors,
    ),
    "rtrl": Algorithm(
        "real-time recurrent learning",
        {"groups": Option(None, _groups, "subgroups of units (approximate)"),
         "teacher_forcing": FORCING, "accumulate": ACCUMULATE},
        exact="J(t) at each step",
    ),
    "hybrid": Algorithm(
        "the hybrid FP/BPTT(h)", {"h": H, "teacher_forcing": FORCING, "accumulate": ACCUMULATE},
        exact="J^total of each window of h steps",
    ),
    "settling": Algorithm(
        "recurrent backpropagation at a fixed point",
        {"tol": Option(None, _tolerance, "largest change of a state that has settled"),
         "max_steps": Option(10_000, _steps, "steps of relaxing at most, each way"),
         "teacher_forcing": FORCING},
        exact="J at each pattern's fixed point",
    ),
}  # fmt: skip
"""Each algorithm with the options it takes."""


def settle(net: Network, algorithm: str | None, options: Options) -> dict[str, Any]:
    """The algorithm asked for (or the one the spec names) with all its options.

    Options at which an algorithm stands anyway are left out, so that a spec that does not mention
    them and one that does are one.

    Raises
    ------
    DerivationError
        For an unknown algorithm, an option it does not take or lacks, or a value that is none.
    """
    stated = dict(net.algorithm) if algorithm is None else {"name": algorithm}
    stated.update(options)
    name = stated.pop("name")
    if not isinstance(name, str) or name not in ALGORITHMS:
        close = difflib.get_close_matches(str(name), ALGORITHMS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(ALGORITHMS)}"
        raise DerivationError(f"algorithm: no {name!r} in this version; {hint}")
    known = ALGORITHMS[name]
    for key in stated:
        if key not in known.options:
            close = difflib.get_close_matches(key, known.options, n=1)
            raise DerivationError(
                f"algorithm {name!r} takes no option {key!r}; "
                + (f"did you mean {close[0]!r}?" if close else f"it takes {_listed(known)}")
            )
    settled: dict[str, Any] = {}
    for key, option in known.options.items():
        if key not in stated and option.default is NEEDED:
            raise DerivationError(f"algorithm {name!r} needs {key}: {option.means}")
        # In a spec the key stands in the table of that name.
        told = f"algorithm.{key}" if algorithm is None and key not in options else key
        settled[key] = option.read(told, stated.get(key, option.default), net)
    known.check(settled)
    return {
        "name": name,
        **{k: v for k, v in settled.items() if v != known.options[k].default},
    }


def _listed(algorithm: Algorithm) -> str:
    return ", ".join(algorithm.options)


def options_of(algorithm: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a settled algorithm, with those it stands at anyway."""
    known = ALGORITHMS[algorithm["name"]].options
    return {k: algorithm.get(k, o.default) for k, o in known.items()}


def programs(net: Network, algorithm: Mapping[str, Any]) -> dict[str, Program]:
    """The Programs of a kernel, not yet scheduled, for a settled algorithm."""
    module = importlib.import_module(f"derive.program.algorithms.{algorithm['name']}")
    options = options_of(algorithm)
    found = dict(module.programs(net, **{k: v for k, v in options.items() if k != "accumulate"}))
    if options.get("accumulate"):
        wide_sums = importlib.import_module("derive.program.wide_sums")
        found = {name: wide_sums.in_float64(program) for name, program in found.items()}
    return found


def structure_of(net: Network, algorithm: Mapping[str, Any]) -> Any:
    """Which sensitivities a settled algorithm keeps; None where it keeps none."""
    module = importlib.import_module(f"derive.program.algorithms.{algorithm['name']}")
    find = getattr(module, "sensitivities", None)
    return None if find is None else find(net, **options_of(algorithm))
