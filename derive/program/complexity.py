"""What every algorithm costs on one network: counted from its Programs, as numbers and formulas.

A time step of an online algorithm costs its ``step``, and its ``update`` once in as many steps as a
window has, in the steady state: the history is as long as it gets. No formula of a cost stands
here; an algorithm that is added to the family is counted without a change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy

from derive.errors import DeriveError, ProgramError
from derive.network.network import Network
from derive.program.algorithms import ALGORITHMS, options_of, programs, settle, structure_of
from derive.program.census import census, same_here
from derive.program.checkpoints import COUNT, LENGTH
from derive.program.cost import PASSING, cost_at, elements
from derive.program.formula import Names, kept, symbol, terms
from derive.program.ir import Loop, Program, Quotient, indices, parts
from derive.program.operations import Tally

STEPS = 100
"""Length of the history, where none is given."""

COUNTED = ("multiplications", "additions", "divisions")


@dataclass(frozen=True)
class Variant:
    """An algorithm with some of its options, each under the name that formulas have for it."""

    algorithm: str
    title: str
    options: Mapping[str, str]
    history: str = "L"
    period: str = "1"


VARIANTS = (
    Variant("epochwise", "epochwise BPTT", {}),
    Variant("epochwise", "epochwise BPTT, √L memory", {"memory": "√L"}),
    Variant("realtime", "real-time BPTT at step L", {"capacity": "L"}),
    Variant("truncated", "BPTT(h)", {"h": "h"}, "h"),
    Variant("truncated", "BPTT(h; h′)", {"h": "h", "h_prime": "h′"}, "h", "h′"),
    Variant("rtrl", "RTRL", {}),
    Variant("rtrl", "RTRL in g groups", {"groups": "g"}),
    Variant("hybrid", "FP/BPTT(h)", {"h": "h"}, "h", "h"),
    Variant("settling", "settling, each step", {}),
)


@dataclass(frozen=True, eq=False)
class AlgorithmCost:
    """One algorithm's cost per time step.

    Attributes
    ----------
    algorithm : dict
        Its name and options.
    multiplications, additions, divisions : Fraction
        Average per time step, in the steady state.
    functions : dict of str to Fraction
        Calls per time step, by the function's name.
    between, during : int
        Numbers kept from one call of a step to the next, and scratch while it runs; the caller's
        arrays are left out. What works on whole sequences keeps nothing between calls.
    formulas : dict of str to sympy.Expr
        ``multiplications``, ``additions``, ``divisions``, each function's name, and ``kept``.
    names : Names
        What stands for what in the formulas, and the numbers.
    full : int or None
        Sensitivities without structure: of every state by every parameter.
    complaints : tuple of str
        Loops that do not run as often as their Program says; their numbers stand in the formulas.
    apart : Tally or None
        What a settling net does once a pattern, besides the steps of relaxing.
    """

    title: str
    algorithm: Mapping[str, Any]
    multiplications: Fraction
    additions: Fraction
    divisions: Fraction
    functions: Mapping[str, Fraction]
    between: int
    during: int
    formulas: Mapping[str, Any]
    names: Names
    full: int | None
    complaints: tuple[str, ...]
    apart: Tally | None = None

    @property
    def kept(self) -> int:
        """All numbers kept, between steps and during one."""
        return self.between + self.during

    def evaluated(self, what: str) -> Fraction:
        """A formula at the network's numbers."""
        return self.names.value(self.formulas[what])


@dataclass(frozen=True, eq=False)
class Complexity:
    """What the whole family costs on one network."""

    network: str
    rows: tuple[AlgorithmCost, ...]
    notes: tuple[str, ...]

    def __getitem__(self, title: str) -> AlgorithmCost:
        return next(row for row in self.rows if row.title == title)


def complexity(
    net: Network,
    h: int | None = None,
    h_prime: int | None = None,
    groups: int | Sequence[Sequence[int]] | None = None,
    steps: int = STEPS,
) -> Complexity:
    """Count every algorithm on a network.

    Parameters
    ----------
    h : int, optional
        Steps of a window; as many as there are units, if not given.
    h_prime : int, optional
        Steps between updates of BPTT(h; h′); half of h, if not given.
    groups : int or sequence of sequence of int, optional
        Subgroups of units for RTRL, besides RTRL without.
    steps : int
        L, the length of the history that epochwise and real-time BPTT go back over.

    Raises
    ------
    DerivationError
        For an option that an algorithm would not take.
    """
    h = net.units if h is None else h
    given: dict[str, Any] = {"h": h, "L": steps, "√L": "sqrt"}
    read = {name: o for a in ALGORITHMS.values() for name, o in a.options.items()}
    for name, value, option in (("h", h, "h"), ("steps", steps, "capacity")):
        if option in read:
            read[option].read(name, value, net)
    given["h′"] = max(1, h // 2) if h_prime is None else h_prime
    if groups is not None:
        given["g"] = groups
    rows, notes, seen = [], [], []
    named = {v.algorithm for v in VARIANTS}
    others = tuple(Variant(a, k.title, {}) for a, k in ALGORITHMS.items() if a not in named)
    for variant in (*VARIANTS, *others):
        if variant.algorithm not in ALGORITHMS or not set(variant.options.values()) <= set(given):
            continue
        options = {option: given[name] for option, name in variant.options.items()}
        algorithm = settle(net, variant.algorithm, options)
        if algorithm in seen:
            continue
        seen.append(algorithm)
        try:
            rows.append(_counted(net, variant, algorithm, given))
        except DeriveError as error:
            notes.append(f"{variant.title} is not counted: {error}")
    return Complexity(net.name, tuple(rows), tuple(notes))


@dataclass(frozen=True)
class _Part:
    """A Program that runs once in ``every`` steps, at these sizes."""

    program: Program
    sizes: Mapping[str, int]
    every: str = "1"


def _counted(
    net: Network, variant: Variant, algorithm: Mapping[str, Any], given: Mapping[str, Any]
) -> AlgorithmCost:
    found, structure = programs(net, algorithm), structure_of(net, algorithm)
    values = census(net, structure) | {k: v for k, v in given.items() if isinstance(v, int)}
    if "groups" in variant.options:
        values["g"] = len(options_of(algorithm)["groups"])
    time = {"history": variant.history, "period": variant.period, "newest": variant.period,
            "older": f"{variant.history} − {variant.period}"}  # fmt: skip
    if "memory" in variant.options:
        values |= _segments(found["gradient"], values[variant.history])
        # All segments but the last, which may have fewer steps.
        whole = values["C"] * values["K"] == values[variant.history]
        time["earlier"] = "history − K" if whole else "C·K − K"
    names = Names(values, same_here(net, values, structure), time)
    counts: dict[str, Fraction] = dict.fromkeys(COUNTED, Fraction(0))
    formulas: dict[str, Any] = dict.fromkeys(COUNTED, sympy.S.Zero)
    complaints: tuple[str, ...] = ()
    parts_of_step = _parts(found, values, variant)
    for part in parts_of_step:
        every = names.read(part.every)
        _add(counts, 1 / names.value(every), cost_at(part.program, part.sizes))
        happening, said = terms(part.program, part.sizes, names)
        complaints += said
        for term in happening:
            _add(formulas, term.times / every, term.operations)
    between, during, formulas["kept"] = _storage(found, parts_of_step, names)
    return AlgorithmCost(
        title=variant.title,
        algorithm=algorithm,
        multiplications=counts["multiplications"],
        additions=counts["additions"],
        divisions=counts["divisions"],
        functions={name: counts[name] for name in sorted(set(counts) - set(COUNTED))},
        between=between,
        during=during,
        formulas={what: _merged(sympy.expand(f), names) for what, f in formulas.items()},
        names=names,
        full=None if structure is None else structure.full,
        complaints=complaints,
        apart=_apart(found, parts_of_step),
    )


def _segments(gradient: Program, T: int) -> dict[str, int]:
    """Steps of a segment, and segments."""
    known = gradient.known({"T": T})
    return {"K": known[LENGTH.name], "C": known[COUNT.name]}


def _add(sums: dict[str, Any], times: Any, what: Tally) -> None:
    for name in COUNTED:
        sums[name] += times * getattr(what, name)
    for name, calls in what.functions.items():
        sums[name] = sums.get(name, 0) + times * calls


def _parts(
    found: Mapping[str, Program], values: Mapping[str, int], variant: Variant
) -> tuple[_Part, ...]:
    """The Programs that a time step takes, by what an algorithm has."""
    if "step" in found:
        period = _period(found["gradient"]) if "update" in found else 1
        history = values[variant.history]
        # Late enough that a window is whole; real-time BPTT's window is its history.
        whole = variant.options.get("capacity") == variant.history
        t = history if whole else (history // period + 2) * period
        step = _Part(found["step"], {"t": t})
        if "update" not in found:
            return (step,)
        return step, _Part(found["update"], {"b": t // period - 1, "t": t}, variant.period)
    if "relax" in found:
        return tuple(_Part(found[name], {"t": 1, "u": 1}) for name in ("relax", "relax_back"))
    if "gradient" in found:
        return (_Part(found["gradient"], {"T": values["L"]}, "L"),)
    raise ProgramError(f"there is no step or gradient among its functions {', '.join(found)}")


def _period(gradient: Program) -> int:
    """Steps of a window: the number that the gradient's loop over windows divides T by."""
    for s in gradient.body:
        if isinstance(s, Loop) and s.role == "time":
            for part in (p for i in indices(s) for p in parts(i)):
                if isinstance(part, Quotient) and isinstance(part.size, int):
                    return part.size
    return 1


def _storage(
    found: Mapping[str, Program], parts_of_step: Sequence[_Part], names: Names
) -> tuple[int, int, Any]:
    """Numbers kept between steps and during one, and a formula for both together."""
    sizes = parts_of_step[0].sizes
    held = {}
    if "start" in found:
        held = {a.name: (p, a) for p in found.values() for a in p.arrays.values()
                if a.role == "state"}  # fmt: skip
    between = sum(elements(p, a, sizes) for p, a in held.values())
    formula = sum((kept(p, [a], sizes, names) for p, a in held.values()), sympy.S.Zero)

    def scratch(part: _Part) -> list[Any]:
        return [a for a in part.program.arrays.values() if a.role in PASSING]

    def needed(part: _Part) -> int:
        return sum(elements(part.program, a, part.sizes) for a in scratch(part))

    largest = max(parts_of_step, key=needed)
    formula += kept(largest.program, scratch(largest), largest.sizes, names)
    return between, needed(largest), formula


def _apart(found: Mapping[str, Program], parts_of_step: Sequence[_Part]) -> Tally | None:
    """What a pattern costs besides the steps of relaxing, where there are patterns."""
    if "relax" not in found:
        return None
    done = [id(part.program) for part in parts_of_step]
    once = [p for name, p in found.items() if name != "start" and id(p) not in done]
    return sum((cost_at(p, parts_of_step[0].sizes) for p in once), Tally())


def _merged(formula: Any, names: Names) -> Any:
    """A formula with n[one cell] and n[another] put together where both occur alike; so for p."""
    cells = [k[2:-1] for k in names.values if k.startswith("n[")]
    for name in ("n", "n_R", "p"):
        pieces = [symbol(f"{name}[{cell}]") for cell in cells]
        for piece in formula.free_symbols & set(pieces):
            rest = sympy.Add(*(other for other in pieces if other != piece))
            tried = sympy.expand(formula.xreplace({piece: names.read(name) - rest}))
            if not tried.free_symbols & set(pieces):
                formula = tried
                break
    return formula
