"""Loops that cores have in common, once each, as functions of their own.

The gradient by theta and that by everything sweep forward alike, and the sums of an LSTM's four
gates differ in where they find their numbers. Compilers take a second for some hundred lines; such
a loop they see once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from derive.emit.elements import copies
from derive.emit.statements import (
    CREW,
    Calls,
    body_of,
    core,
    counters,
    locals_of,
    parameters_of,
    pointer_type,
    strides,
)
from derive.program.ir import (
    Assign,
    Loop,
    Program,
    Ref,
    Statement,
    all_placed,
    needed,
    offset,
    plus,
    references,
    simplified,
    summands,
    touched,
)

LONG = 600
"""Characters from which on a loop is worth a function."""

WORK = 500
"""Assignments that a loop does at least which is called in every step: a call takes as long as a
few."""

NAME = re.compile(r"\b[A-Za-z_]\w*\b")


def cores(programs: Mapping[str, Program]) -> list[str]:
    """The functions that compute: those that are shared, and one for each Program."""
    shared, calls = _shared(programs)
    functions = [core(s.alone, name, s.parameters.items(), calls) for name, s in shared.items()]
    functions += [core(p, f"{n}_core", parameters_of(p), calls) for n, p in programs.items()]
    return ["\n".join(lines) for lines in functions]


@dataclass(frozen=True)
class Part:
    """A loop that may be one of several alike.

    Attributes
    ----------
    program : Program
        Where it stands.
    loop : Loop
    taken : frozenset of str
        Local variables that bring something into or out of loops beside it.
    alone : Program
        It as a Program, where each array is a row from the first element on that it names.
    begins : mapping of str to int
        Where that stands in the array.
    """

    program: Program
    loop: Loop
    taken: frozenset[str]
    alone: Program
    begins: Mapping[str, int]

    @cached_property
    def text(self) -> str:
        """What it is in Cython."""
        return "\n".join(body_of(self.alone, {}))

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The types of what a function needs that does it, in the order of its text."""
        arrays = {a.name: a for a in self.alone.arrays.values() if a.role not in LOCAL}
        kinds = {name: pointer_type(self.alone, a) for name, a in arrays.items()}
        kinds |= {f"table_{n}": f"{t.dtype.name}_in" for n, t in self.alone.tables.items()}
        around = {*self.program.sizes, *self.program.derived, *counters(self.program)}
        around |= {*strides(self.program)}
        kinds |= dict.fromkeys(around - set(counters(self.alone)), "Py_ssize_t")
        kinds[CREW] = "k_crew *"
        used = dict.fromkeys(name for name in NAME.findall(self.text) if name in kinds)
        return {n: kinds[n] for n in sorted(used, key=lambda n: kinds[n] == "Py_ssize_t")}

    @property
    def arguments(self) -> str:
        """What is passed for them."""
        begins = {name: f" + {at}" for name, at in self.begins.items() if at}
        return ", ".join(name + begins.get(name, "") for name in self.parameters)

    @property
    def shape(self) -> str:
        """The text without its names, which loops have in common that one function can do."""
        kinds = dict(self.parameters)
        for kind, names in locals_of(self.alone).items():
            kinds |= {NAME.findall(name)[0]: kind for name in names}
        known: dict[str, str] = {}

        def anonymous(found: re.Match[str]) -> str:
            name = found[0]
            return (
                known.setdefault(name, f"<{kinds[name]} {len(known)}>") if name in kinds else name
            )

        return NAME.sub(anonymous, self.text)


LOCAL = ("scalar", "const")


def _shared(programs: Mapping[str, Program]) -> tuple[dict[str, Part], Calls]:
    """One of each of the loops that are alike, by the name of its function; calls for all.

    They are found from the outside in, and inside of one that others are like only once.
    """
    found: dict[str, Part] = {}
    calls: Calls = {}
    level = [(p, p.body, frozenset[str]()) for p in programs.values()]
    in_steps = False
    while level:
        alike: dict[str, list[Part]] = {}
        below: list[tuple[Program, tuple[Statement, ...], frozenset[str]]] = []
        for program, body, around in level:
            taken = around | _taken(body)
            for s in body:
                if not isinstance(s, Loop):
                    continue
                seldom = not in_steps or s.role == "time" or _work(s) >= WORK
                part = _part(program, s, taken) if seldom else None
                if part is not None and len(part.text) >= LONG:
                    alike.setdefault(part.shape, []).append(part)
                elif s.role == "time":
                    below.append((program, s.body, taken))
        for first, *others in alike.values():
            program, loop = first.program, first.loop
            if others:
                name = f"common_{len(found) + 1}"
                found[name] = first
                for part in (first, *others):
                    calls[id(part.program), id(part.loop)] = f"{name}({part.arguments})"
                program, (loop,) = first.alone, first.alone.body  # type: ignore[assignment]
            if loop.role == "time":
                below.append((program, loop.body, first.taken))
        level, in_steps = below, True
    return found, calls


def _part(program: Program, loop: Loop, taken: frozenset[str]) -> Part | None:
    """A loop as a Program, unless it takes or leaves something in a local variable."""
    arrays = program.arrays
    own = touched((loop,))
    if own & taken:
        return None
    begins: dict[str, int] = {}

    def place(r: Ref) -> Ref:
        a = arrays[r.array]
        if a.role in LOCAL:
            return r
        at = simplified(offset(a, r.index))
        # No pointer to before the array, as of what is found a step back.
        first = max(0, sum(p for p in summands(at) if isinstance(p, int)))
        begin = begins.setdefault(a.name, first)
        return Ref(a.name, (simplified(plus(at, -begin)),))

    body = all_placed((loop,), place)
    rows = {
        n: a if a.role in LOCAL else replace(a, shape=(1,)) for n, a in arrays.items() if n in own
    }
    sizes = (*program.sizes, *program.derived)
    alone = replace(program, arrays=rows, sizes=sizes, derived={}).with_body(body)
    return Part(program, loop, taken, alone,
                {n: at * copies(program, arrays[n]) for n, at in begins.items()})  # fmt: skip


def _taken(body: tuple[Statement, ...]) -> frozenset[str]:
    """Local variables that are read before they are set, in any of some statements."""
    found: set[str] = set()
    for s in body:
        if isinstance(s, Assign):
            found |= {r.array for r in references(s) if not r.index}
        else:
            found |= needed((s,), set())
    return frozenset(found)


def _work(s: Statement) -> int:
    """Assignments that a statement does at least."""
    if not isinstance(s, Loop):
        return int(isinstance(s, Assign))
    start, stop = s.bounds or (0, 1)
    return (stop - start) * sum(map(_work, s.body))
