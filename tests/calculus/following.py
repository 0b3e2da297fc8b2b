"""Follow the equations of a derivation with numbers: what is printed is what is computed.

A step ``left = right`` stores the value of its right side under its left, for every index that its
ranges name; a right side reads what was stored. What was stored for nothing is an error, but for
the few things that a derivation says are zero.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from sympy import Indexed, Symbol

from derive.calculus import indexed as ix
from derive.calculus.derivation import Derivation, derivation
from derive.calculus.form import NetInput, form_of
from derive.calculus.judging import judged
from derive.calculus.steps import Step
from derive.network.cell import Cell
from derive.network.network import Network
from derive.network.topology import Connection
from tests.calculus.evaluating import Evaluator
from tests.strategies import Data

LETTERS = {
    "k": ix.k, "i": ix.i, "j": ix.j, "q": ix.q, "D": ix.D, "r": ix.r, "r2": ix.r2, "t": ix.t,
    "tau": ix.tau, "rho": ix.rho, "h": ix.h, "h2": ix.h2, "t1": ix.t1,
}  # fmt: skip


class Follower(Evaluator):
    """A derivation with the numbers of one network and one sequence."""

    def __init__(self, net: Network, values: Data, d: Derivation, groups: Any = ()) -> None:
        super().__init__()
        self.net, self.data, self.d = net, values, d
        self.results: dict[str, Step] = {q.name: q for q in d}
        self.steps = [q for q in d if q is self.results[q.name] or is_signal(q)]
        self.end = len(values.x)
        self.longest = net.wiring.longest_delay
        self.sizes = {ix.n: net.units, ix.m: net.inputs, ix.LONGEST: self.longest, ix.t0: 0}
        self.sizes |= {ix.t1: self.end, ix.LATER[1]: self.longest}
        self.form = form_of(net)  # for its letters
        self.group = {k: g for g, members in enumerate(groups) for k in members}
        self.delayed = bool((net.wiring.delay != 1).any())
        self._store_what_is_given()

    # --- what is given ------------------------------------------------------------------------

    def _store_what_is_given(self) -> None:
        net, (theta, x, target, mask, y0) = self.net, self.data
        for c, place in zip(net.connections, net.wiring.weight.tolist(), strict=True):
            port = self.port(c)
            at = (c.target, c.source, c.delay) if self.delayed else (c.target, c.source)
            self.value[str(port.w.label), *at] = theta[place] if c.fixed is None else c.fixed
            declared = {q.name: q for s in self.cell(c.target).ports for q in s.parameters}
            for q, base in port.further.items():
                own = theta[net.connection_parameters[q.name][place]] if c.fixed is None else None
                self.value[str(base.label), *at] = declared[q.name].initial if own is None else own
        for t, row in enumerate(x):
            for signal in self.form.heard:
                label = str(signal.base.label)
                self.value |= {(label, net.units + m, t): v for m, v in enumerate(row)}
        for t in range(self.end):
            for place, k in enumerate(net.objective.targets):
                self.value["d", k, t + 1] = target[t, place]
                self.value["T", k, t + 1] = mask[t, place]
        self._store_terms()
        for (k, name), v in zip(net.states, y0, strict=True):
            self.value[self.written(name, k), k, 0] = v
            if name == self.cell(k).output:
                self.value["x", k, 0] = self.value["ŷ", k, 0] = v
            self.value |= {(str(s.base.label), k, 0): v for s in self.form.heard if s.state == name}
        for k in range(net.units):
            for p in self.cell(k).parameters:
                at = self.place(p.name, k)
                v = theta[at] if p.trainable else net.values[p.name][k]
                name = self.written(p.name, k)
                self.value[(name,) if p.shared else (name, k)] = v

    def _store_terms(self) -> None:
        """The units of each term of J, and its constants."""
        for v in judged(form_of(self.net)):
            term, number = v.term, v.number
            for name, value in term.constants.items():
                differ = value if isinstance(value, tuple) else ()
                places = enumerate(term.units_of(self.net.units)) if differ else ()
                self.value[(v.letter(name),)] = value
                self.value |= {(v.letter(name), k): differ[i] for i, k in places}
            if term.over == "parameters":
                continue
            for k in range(self.net.units):
                self.value[f"U{number}", k] = int(k in term.units_of(self.net.units))
            for j, k in enumerate(self.net.objective.targets):
                for t in range(self.end):
                    there = self.data.mask[t, j] if k in (term.units or ()) else 0
                    self.value[f"T{number}", k, t + 1] = there

    @property
    def ports(self) -> list[str]:
        """The names of all net inputs."""
        return list(self.form.net_inputs)

    def cell(self, k: int) -> Cell:
        """The cell of a unit."""
        return self.net.cells[self.net.cell_index[k]]

    def port(self, c: Connection) -> NetInput:
        """The net input that a connection leads into."""
        u = self.form.units[self.net.cell_index[c.target]]
        return next(port for s, port in u.of_net_input.items() if s.name == c.net_input)

    def place(self, name: str, k: int) -> int:
        """Where a unit's trainable parameter is in theta."""
        at = self.net.unit_parameters.get(name)
        return -1 if at is None else int(at[k])

    def written(self, name: str, k: int) -> str:
        """A cell's name as the derivation writes it."""
        primed = f"{name}′ is the cell's {name}."
        return name + "′" if primed in self.d.notes else name

    # --- what is stored, and what is zero --------------------------------------------------

    def units(self, label: str) -> list[int]:
        """The units that have a cell of some label."""
        names = [c.name for c in self.net.cells]
        labels = [
            f"{v} {names[: place + 1].count(v)}" if names.count(v) > 1 else v
            for place, v in enumerate(names)
        ]
        wanted = label.split(" or ")
        return [k for k in range(self.net.units) if labels[self.net.cell_index[k]] in wanted]

    def read(self, key: Any, at: Mapping[Symbol, int]) -> Any:
        """What was stored, or what a derivation says is zero."""
        if key in self.value:
            return self.value[key]
        label, time = str(key[0]), key[-1]
        letter = label.partition("|")[0].partition("^")[0]
        if letter == "G":
            return self.group[key[1]]
        if letter in ("w", "d") or letter[0] == "T":  # no such connection; no target
            return 0
        if label in self.of_connections:  # of no connection: whatever it is, the weight is 0
            return 0.5
        if letter == "x" and time < 0:
            return 0
        if letter in ("p", "e") and time <= 0:
            return 0
        if letter == "δ" and time > at.get(END, np.inf):
            return 0
        if letter in ("ε", "δ") and RELAXING in at and time <= 0:
            return 0
        if letter == "δ" and self.unheard(key):
            return 0
        raise KeyError(f"nothing gives {key}")

    def unheard(self, key: Any) -> bool:
        """Whether a unit has no net input of that name, so that there is no weight either."""
        label = str(key[0])
        port = label.rpartition("|")[2] if "|" in label else label.partition("^(")[2][:-1]
        timeless = "*" in label or len(key) == 2
        u = self.form.units[self.net.cell_index[key[-1 if timeless else -2]]]
        return (port or self.ports[0]) not in [s.name for s in u.of_net_input.values()]

    @cached_property
    def of_connections(self) -> set[str]:
        """The letters of what connections have besides their weights."""
        ports = self.form.net_inputs.values()
        return {str(base.label) for port in ports for base in port.further.values()}

    # --- taking steps -------------------------------------------------------------------------

    def take(self, step: Step, **letters: int) -> None:
        """Store what one step gives, for every index its ranges name."""
        self.take_all([(step, letters)])

    def take_all(self, steps: Iterable[tuple[Step, Mapping[str, int]]]) -> None:
        """Store what several steps give, whichever comes first of them and of their units.

        A step that reads what another has yet to give waits for it: in a net that hears within a
        step no order of the steps alone would do.
        """
        waiting = [
            (step, given)
            for step, letters in steps
            for given in self.ranges(step, self.letters(letters))
        ]
        while waiting:
            left: list[tuple[Step, dict[Symbol, int]]] = []
            missing: KeyError | None = None
            for step, given in waiting:
                try:
                    self.value[self.key(step.left, given)] = self(step.right, given)
                except KeyError as error:
                    missing = error
                    left.append((step, given))
            if missing and len(left) == len(waiting):
                raise missing
            waiting = left

    def letters(self, given: Mapping[str, int]) -> dict[Symbol, int]:
        """The letters that have a value."""
        at = {LETTERS[name]: value for name, value in given.items() if name in LETTERS}
        if "end" in given:
            at[END] = given["end"]
        if "rho" in given:
            at[RELAXING] = 1
        return at

    def ranges(self, step: Step, at: dict[Symbol, int]) -> Iterator[dict[Symbol, int]]:
        """Every index that a step holds for, but times."""
        indices: list[tuple[Symbol, list[int]]] = []
        for text in step.ranges:
            letter = LETTERS.get(text[0]) if text[0] in "kijqDr" else None
            if letter is None or letter in at or text.startswith(("k∈G", "r′")):
                continue
            n, every = self.net.units, self.net.units + self.net.inputs
            head, _, cell = text.partition(" with cell ")
            domain = {"U": range(n), "U∪I": range(every), "I": range(n, every)}
            domain["𝒟"] = range(self.form.soonest, self.longest + 1)
            if cell:
                among: Any = self.units(cell)
            elif "∈" in head:
                among = domain[head.partition("∈")[2]]
            else:  # r = 1…D₁−1
                among = range(1, self.longest)
            indices.append((letter, list(among)))
        grouped, there = "k∈G(i)" in step.ranges, self.connected(step)
        for chosen in itertools.product(*(values for _, values in indices)):
            given = {**at, **dict(zip([v for v, _ in indices], chosen, strict=True))}
            if there and (given[ix.i], given[ix.j], given.get(ix.D)) not in there:
                continue  # of a weight that there is not
            if not grouped or self.group[given[ix.k]] == self.group[given[ix.i]]:
                yield given

    def connected(self, step: Step) -> set[tuple[Any, ...]]:
        """Where there are connections of the net input whose weights a step is for."""
        if not any(v.startswith("j∈") for v in step.ranges) or not isinstance(step.left, Indexed):
            return set()
        by = [*str(step.left.base.label).split("|"), "", ""][2]
        name = by.rpartition(", ")[2] if len(self.ports) > 1 else self.ports[0]
        return {
            (c.target, c.source, c.delay if self.delayed else None)
            for c in self.net.connections
            if self.port(c).name == name
        } or {()}

    def forward(self, last: int) -> None:
        """Every step that is taken forward, up to a time: the net itself, and sensitivities."""
        steps = [q for q in self.steps if self.is_forward(q)]
        for tau in range(1, last + 1):
            self.take_all((step, {"tau": tau}) for step in steps)
        judging = [q for q in self.steps if q.name.startswith(("pool_", "by_pool_"))]
        for t in range(1, last + 1):
            for step in (*judging, self.results["e"]):
                self.take(step, t=t)

    def is_forward(self, step: Step) -> bool:
        return is_signal(step) or step.name.startswith("slope_") or any(
            re.match(r"τ (=|≥) t₀\+1", v) for v in step.ranges
        )  # fmt: skip

    def back(
        self, first: int, last: int, letter: str = "eps", of: str = "", **letters: int
    ) -> None:
        """ε and δ, or ζ for a state, from the last time down to the first."""
        letters = {**letters, "end": last}
        steps = [q for q in self.steps if self.is_back(q, letter, of)]
        self.forget(2 if letter == "eps" else 3)
        ends = [q for q in steps if "_last" in q.name]
        before = [q for q in steps if q not in ends and self.is_before(q)]
        within = [q for q in steps if q not in ends and q not in before]
        for time in range(last, first - 1, -1):
            here = time if self.delayed else time + 1
            later = [(step, {**letters, "tau": here}) for step in before]
            own = [(step, {**letters, "tau": time}) for step in within]
            self.take_all([*(later if time < last else [(v, letters) for v in ends]), *own])

    def forget(self, indices: int) -> None:
        """What an earlier sweep found: only this one's may be read."""
        old = [v for v in self.value if v[0][0] in "εζδ" and len(v) == indices + 1]
        for v in old:
            del self.value[v]

    def is_back(self, step: Step, letter: str, of: str) -> bool:
        """Whether a step belongs to a sweep: that for the objective, or that for a state."""
        wanted = {"eps": r"(eps|delta)", "zeta": r"zeta(?!_boundary)"}[letter]
        name, _, seed = step.name.partition("[")
        return bool(re.match(wanted, name)) and "_definition" not in name and seed[:-1] == of

    def is_before(self, step: Step) -> bool:
        """Whether it gives ε of a state, from the step after."""
        base = str(step.left.base.label)
        mark = base.split("|")[2] if "|" in base else base.partition("^")[2][1:-1]
        states = {self.written(s, k) for k, s in self.net.states}
        letter = base[0]
        return letter in "εζ" and (not mark or mark in states)

    # --- what comes out -----------------------------------------------------------------------

    def gradient(self, **letters: int) -> Any:
        """∂J by theta, as the last equation of each gradient gives it."""
        net, found = self.net, np.zeros(self.net.size)
        at = {LETTERS[name]: value for name, value in letters.items() if name in LETTERS}
        at[END] = letters.get("end", self.end)
        for c, place in zip(net.connections, net.wiring.weight.tolist(), strict=True):
            if c.fixed is not None:
                continue
            port = self.port(c)
            here = {**at, ix.i: c.target, ix.j: c.source, ix.D: c.delay}
            mark = self.form.mark(port.name)
            found[place] += self(self.results[f"gradient_w{mark}"].right, here)
            for p in port.further:
                own = net.connection_parameters[p.name][place]
                found[own] += self(self.results[f"gradient_{p.name}{mark}"].right, here)
        shared = self.results.get("gradient_shared")
        for term in sympy.Add.make_args(shared.right) if shared else ():
            if not term.has(ix.Carried):  # what J says of a shared weight itself
                for place in range(net.wiring.weights):
                    self.value["θ", place] = self.data.theta[place]
                    found[place] += self(term, {**at, ix.a: place})
        for step in self.results.values():
            name, _, label = step.name.removeprefix("gradient_").partition("/")
            if not step.name.startswith("gradient_") or name not in net.unit_parameters:
                continue
            units = self.units(label) if label else range(net.units)
            done = set()
            for k in units:
                place = self.place(name, k)
                if place >= 0 and place not in done:
                    done.add(place)
                    found[place] += self(step.right, {**at, ix.i: k})
        return found


def is_signal(step: Step) -> bool:
    """Whether a step gives what is heard, of which there may be one for each cell."""
    return step.name.rstrip("*") in ("x", "ŷ") or step.name.startswith("x(")


END, RELAXING = Symbol("last"), Symbol("relaxing")


def followed(net: Network, values: Data, algorithm: str, **options: Any) -> Follower:
    """The follower of a derivation."""
    d = derivation(net, algorithm, options)
    return Follower(net, values, d, options.get("groups") or ())


def planted(d: Derivation, name: str, change: Any) -> Derivation:
    """The same derivation with a fault in the last equation of a name."""
    step = d[name]
    wrong = replace(step, right=change(step.right))
    assert wrong.right != step.right, f"{name}: the fault changes nothing"
    return replace(d, steps=tuple(wrong if q is step else q for q in d.steps))
