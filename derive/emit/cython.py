"""Programs to one Cython module: ``<network>.pyx``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from derive.emit import arguments, calls, frame, functions_c, online, relaxing, vectors_c
from derive.emit.common import cores
from derive.emit.cores import as_emitted, by_several, keyword
from derive.emit.elements import element_type, widest_columns
from derive.emit.expressions import functions_in
from derive.errors import EmitError
from derive.network.network import Network
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Least,
    Most,
    Program,
    Root,
    indices,
    parts,
    walk,
)
from derive.program.state import state_size

CTYPES = {"float64": "double", "float32": "float"}


@dataclass(frozen=True)
class Facts:
    """What a module records about itself; all of it is data that shaped the text."""

    version: str
    algorithm: Mapping[str, Any]
    dtype: str
    schedule: str
    equations: str
    structure: str
    record: Mapping[str, Any]


def module(net: Network, programs: Mapping[str, Program], facts: Facts) -> str:
    """The text of a module that offers what its Programs make possible.

    Parameters
    ----------
    programs : mapping of str to Program
        ``forward`` and ``gradient`` (with respect to theta), perhaps ``gradient_all`` (and x and
        y0); ``start``, ``step`` and ``update`` of online algorithms; ``relax``, ``judge``,
        ``relax_back`` and ``collect`` of a settling net. All in one schedule.
    """
    one = next(iter(programs.values()))
    stateful = "start" in programs
    in_blocks = one.lane_width > 1 and by_several(programs.values())
    parts = [
        frame.DIRECTIVES,
        _docstring(net, facts, programs),
        _imports(programs, facts, one),
        _record(net, facts),
        *([frame.BLOCK] if one.lane_width > 1 else []),
        *([frame.SHARED] if by_several(programs.values()) else []),
        *([frame.STATE_SIZE.substitute(size=state_size(programs))] if stateful else []),
        *cores({n: as_emitted(p) for n, p in programs.items()} if in_blocks else programs),
        *_functions(net, programs, str(facts.algorithm["name"])),
    ]
    return "\n\n".join(p.strip("\n") for p in parts) + "\n"


def _functions(net: Network, programs: Mapping[str, Program], algorithm: str) -> Iterator[str]:
    """What a caller calls, as far as there are Programs for it."""
    several = by_several(programs.values())
    if "forward" in programs:
        yield calls.forward(net, programs["forward"], several)
        everything = programs.get("gradient_all")
        yield calls.gradient(net, programs["gradient"], everything, algorithm, several)
    if "start" in programs:
        yield online.start(net, programs["start"])
    if "step" in programs:
        yield online.step(net, programs["step"], several)
    if "update" in programs:
        yield online.update(net, programs["update"], several)
    if "relax" in programs:
        yield relaxing.settle(net, programs["relax"])
        yield relaxing.settle_back(net, programs)


def _docstring(net: Network, facts: Facts, programs: Mapping[str, Program]) -> str:
    B = ", B" if next(iter(programs.values())).lane_width > 1 else ""
    n, m, states = net.units, net.inputs, len(net.states)
    n_T = len(net.objective.targets)
    head = f"{net.name}: {n} units, {m} input lines, {net.wiring.size} connections"
    targets = ", ".join(map(str, net.objective.targets[:20]))
    lines = [
        head + ".",
        "",
        f"Algorithm {_plain(facts.algorithm)}; schedule {facts.schedule}; {facts.dtype}; "
        f"derive {facts.version}.",
        "Derived from the forward equations, not written by hand:",
        "",
        textwrap.indent(facts.equations, "    "),
        "",
        *_sequence_lines(net, programs, B),
        *_online_lines(net, programs, B),
        *([f"{facts.structure}."] if facts.structure else []),
        "",
        f"x (T, m={m}{B}); target and mask (T, n_T={n_T}{B}) for units {targets}"
        + (", …" if n_T > 20 else "")
        + f"; y0 (N={states}{B})"
        + (f"; history (D-1={net.lookback}, N+m={states + net.inputs}{B})" if net.lookback else "")
        + ".",
        "J is maximised: ascend along the gradient. target[t] is for y[t+1], computed from x[t].",
        *_theta_lines(net),
    ]
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{text}\n"""'


def _sequence_lines(net: Network, programs: Mapping[str, Program], B: str) -> list[str]:
    if "forward" not in programs:
        return []
    more = calls.with_history(net) + keyword(by_several(programs.values()))
    return [
        f"forward(theta, x, y0=None, out=None{more}) -> y (T+1, N={len(net.states)}{B})",
        f"gradient(theta, x, target, mask=None, y0=None, wrt=None, out=None{more})",
        f"    -> (J, dJ/dtheta (P={net.size},)), or with wrt a named tuple (J, theta, x, y0)"
        + ("" if "gradient_all" in programs else "; by theta only, summed over steps"),
    ]


def _online_lines(net: Network, programs: Mapping[str, Program], B: str) -> list[str]:
    if "start" not in programs:
        return []
    P, size = net.size, "STATE" if not B else "STATE*BLOCK*⌈B/BLOCK⌉, aligned to 64 bytes"
    more = calls.with_history(net) if "relax" not in programs else ""
    lines = [f"start(state, y0{more}): state is an array of {size} numbers"]
    if "relax" in programs:
        return [
            *lines,
            "settle(state, theta, x, target, mask, tol, max_steps) -> (y, steps, largest change)",
            f"settle_back(state, theta, target, mask, tol, max_steps) -> (J, dJ/dtheta (P={P},), "
            "steps, largest change)",
            "each of one pattern: one row of x, target and mask.",
        ]
    shared = keyword(by_several(programs.values()))
    lines.append(
        f"step(state, t, theta, x, target, mask{shared}) -> (y, J(t)"
        + ("" if "update" in programs else f", dJ/dtheta (P={P},)")
        + "); t = 1, 2, …; one row of each"
    )
    if "update" in programs:
        lines.append(
            f"update(state, b, t, theta{B}{shared}) -> dJ/dtheta (P={P},) of window b = 0, 1, …, "
            "after its last step t"
        )
    return lines


def _plain(algorithm: Mapping[str, Any]) -> str:
    options = ", ".join(f"{k}={v}" for k, v in algorithm.items() if k != "name")
    return f"{algorithm['name']}({options})" if options else str(algorithm["name"])


def _theta_lines(net: Network) -> list[str]:
    if net.size > 64:
        return []
    labels: dict[int, str] = {}
    several = any(len(cell.net_inputs) > 1 for cell in net.cells)
    for c, i in zip(net.connections, net.wiring.weight.tolist(), strict=True):
        if c.fixed is not None:
            continue
        delay = f", {c.delay}" if c.delay != 1 else ""
        into = f".{c.net_input}" if several else ""
        own = {"w": i, **{p: int(at[i]) for p, at in net.connection_parameters.items()}}
        for name, place in own.items():
            label = f"{name}({c.target}{into}, {c.source}{delay})"
            if place >= 0:
                labels[place] = f"{labels[place]}={label}" if place in labels else label
    for p in net.parameters:
        if p.unit is not None:
            labels[p.start] = f"{p.name}({p.unit})"
    listed = ", ".join(labels[i] for i in sorted(labels))
    into = ".net input" if several else ""
    return textwrap.wrap(f"theta: {listed}; w(target{into}, source[, delay]).", 98)


def _imports(programs: Mapping[str, Program], facts: Facts, one: Program) -> str:
    functions: set[str] = set()
    tables: dict[str, Any] = {}
    constants: dict[str, Array] = {}
    for p in programs.values():
        for s in walk(p.body):
            if isinstance(s, Assign):
                functions |= functions_in(s.expr)
        for name, values in p.tables.items():
            if not np.array_equal(tables.setdefault(name, values), values):
                raise EmitError(f"table {name!r} differs from Program to Program")
        constants |= {a.name: a for a in p.arrays.values() if a.role == "const"}
    ctype = CTYPES[facts.dtype]
    lanes, shared = one.lane_width > 1, by_several(programs.values())
    block = arguments.INCLUDES + frame.C_TYPES.substitute(real=ctype)
    integers = {values.dtype.name: _ctype(values) for values in tables.values()}
    for name, integer in sorted(integers.items()):
        block += f"typedef const {integer} *K_RESTRICT {name}_in;\n"
    checks, checks_declared = arguments.checks(
        facts.dtype, "forward" in programs, "start" in programs, shared
    )
    block += (
        vectors_c.c_lanes(one.lane_width, one.itemsize, one.vectors, one.groups)
        if lanes
        else frame.C_SINGLE
    )
    block += frame.C_ALONE if shared and not lanes else ""
    block += frame.C_THREADS if shared else ""
    kinds = {element_type(p, a) for p in programs.values() for a in p.arrays.values()}
    wide = bool(kinds & {"wide", "wide_lane"})
    block += frame.C_WIDE if wide else ""
    block += frame.C_WIDE_LANES if wide and lanes else ""
    columns = "columns" in kinds
    page = max(p.page for p in programs.values())
    widest = min(map(widest_columns, programs.values()))
    block += vectors_c.c_columns(one.itemsize, widest) if columns else ""
    block += vectors_c.c_looked_up(one.itemsize, page) if page else ""
    block += (
        vectors_c.by_group(frame.C_LARGEST, one.groups, "largest")
        if lanes and "relax" in programs
        else ""
    )
    found = {type(part) for p in programs.values() for i in _whole(p) for part in parts(i)}
    windows, roots = bool(found & {Least, Most}), Root in found
    block += frame.C_WINDOWS if windows else ""
    block += frame.C_ROOT if roots else ""
    block += checks
    block += functions_c.c_functions(functions, ctype == "double", lanes)
    for name, values in sorted(tables.items()):
        block += _static(_ctype(values), name, map(str, values.tolist()))
    for name, a in sorted(constants.items()):
        block += _static("real", name, map(repr, map(float, a.values)))
    declared = [
        "ctypedef double real" if ctype == "double" else "ctypedef float real",
        "ctypedef const real *real_in",
        *(f"ctypedef const {ctype} *{name}_in" for name, ctype in sorted(integers.items())),
        "ctypedef real *real_out",
        *checks_declared,
    ]
    kind = "lane" if lanes else "real"
    places = ", ".join(["real *"] * 4)
    moved = ", ".join(["real *", "const real *", *["size_t"] * 5])
    if lanes:
        declared += [
            "ctypedef real lane",
            "ctypedef const lane *lane_in",
            "ctypedef lane *lane_out",
            "int LANES, K_BLOCK",
            "lane k_lane(lane) noexcept nogil",
            "lane k_div(lane, lane) noexcept nogil",
            f"void k_pack({moved}) noexcept nogil",
            f"void k_unpack({moved}) noexcept nogil",
            "lane k_hold(lane) noexcept nogil",
            "real k_total(lane, size_t) noexcept nogil",
            f"void k_total_of_four({', '.join(['lane'] * 4)}, size_t, {places}) noexcept nogil",
            f"void k_total_of_rows({', '.join(['lane'] * 16)}, size_t, {places}) noexcept nogil",
            f"void k_add({moved}) noexcept nogil",
            f"void k_sum({moved}) noexcept nogil",
        ]
        if "relax" in programs:
            declared.append(f"void k_largest({moved}) noexcept nogil")
    if lanes and one.vectors * one.groups > 1:
        declared.append("void k_soon(real *) noexcept nogil")
        called = {**vectors_c.OF_PARTS, **(vectors_c.OF_GROUPS if one.groups > 1 else {})}
        declared += [
            f"Py_ssize_t k_{name}({', '.join(['Py_ssize_t'] * taken)}) noexcept nogil"
            for name, taken in called.items()
        ]
    if lanes and one.vectors > 1:
        declared += [
            "real k_total_of_two(lane, lane, size_t) noexcept nogil",
            f"void k_total_of_four_of_two({', '.join(['lane'] * 8)}, size_t, {places}) "
            "noexcept nogil",
        ]
    if shared:
        of_block = "void *, k_crew *, real *, size_t, size_t, size_t"
        asked = ["size_t", "size_t", "size_t", "int"]
        declared += [
            "ctypedef struct k_crew:",
            "    pass",
            f"ctypedef void (*k_work)({of_block}) noexcept nogil",
            f"void k_share({', '.join(['k_work', 'void *', 'size_t', 'real *', *asked])}) "
            "noexcept nogil",
            "size_t k_rooms(size_t, size_t, size_t, int) noexcept nogil",
            "void k_wait(k_crew *, size_t) noexcept nogil",
            "void k_pass(k_crew *) noexcept nogil",
            "void k_meet(k_crew *) noexcept nogil",
            "bint k_alone(k_crew *) noexcept nogil",
            "void k_zero(real *, size_t, size_t, size_t) noexcept nogil",
        ]
    if wide:
        declared += ["ctypedef double wide", "ctypedef wide *wide_out"]
    if wide and lanes:
        declared += [
            "ctypedef double wide_lane",
            "ctypedef wide_lane *wide_lane_out",
            "wide_lane k_widen(lane) noexcept nogil",
            "lane k_narrow(wide_lane) noexcept nogil",
        ]
    if columns:
        declared += [
            "ctypedef real columns",
            "ctypedef const columns *columns_in",
            "ctypedef columns *columns_out",
            "int COLUMNS",
            "void k_columns_begin() noexcept nogil",
            "columns k_columns(real) noexcept nogil",
            "columns k_columns_held(columns) noexcept nogil",
        ]
    if page:
        declared.append("columns k_looked_up(const real *, const uint8_t *) noexcept nogil")
    if windows:
        declared += [
            f"Py_ssize_t k_{name}(Py_ssize_t, Py_ssize_t) noexcept nogil"
            for name in ("least", "most")
        ]
    if roots:
        declared.append("Py_ssize_t k_root(Py_ssize_t) noexcept nogil")
    if not lanes:
        declared.append("void k_one_by_one(real) noexcept nogil")
    declared.append(f"{kind} k_where(bint, {kind}, {kind}) noexcept nogil")
    for name in sorted(functions):
        takes = f"{kind}, {kind}" if name in functions_c.PAIRED_FUNCTIONS else kind
        declared.append(f"{kind} k_{name}({takes}) noexcept nogil")
    for name, values in sorted(tables.items()):
        declared.append(f"const {_ctype(values)} table_{name}[]")
    declared += [f"const real table_{name}[]" for name in sorted(constants)]
    indent = "    "
    return "\n".join(
        [
            f"from libc.stdint cimport int32_t, int64_t{', uint8_t' if page else ''}",
            "",
            "from collections import namedtuple",
            "",
            "import numpy as np",
            "",
            "cdef extern from *:",
            f'{indent}"""',
            textwrap.indent(block.rstrip("\n"), indent).replace("\\", "\\\\"),
            f'{indent}"""',
            *(indent + d for d in declared),
            "",
            "import_array()",
        ]
    )


def _whole(program: Program) -> Iterator[Index]:
    """Every whole number that a program computes."""
    for s in walk(program.body):
        yield from indices(s)
    yield from program.derived.values()


def _ctype(table: Any) -> str:
    """The C type of a static table's entries."""
    return f"{table.dtype.name}_t"


def _static(ctype: str, name: str, values: Iterable[str]) -> str:
    return f"static const {ctype} table_{name}[] = {{\n{listed(values)}\n}};\n"


def listed(values: Iterable[str], width: int = 96) -> str:
    """Values with commas between them, as many in each line: of a million in little time."""
    words = list(values)
    many = max(1, width // (max(map(len, words), default=0) + 2))  # the comma and the blank
    return ",\n".join(", ".join(words[i : i + many]) for i in range(0, len(words), many))


def _record(net: Network, facts: Facts) -> str:
    record = json.dumps(facts.record, sort_keys=True, ensure_ascii=True)
    return "\n".join(
        [
            f'DTYPE = np.dtype("{facts.dtype}")',
            'Gradient = namedtuple("Gradient", ["J", "theta", "x", "y0"])',
            f"RECORD = {record!r}",
        ]
    )
