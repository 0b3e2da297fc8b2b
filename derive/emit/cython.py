"""Programs to one Cython module: ``<network>.pyx``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derive.emit import frame
from derive.emit.expressions import functions_in
from derive.emit.statements import core, element_type, index_text, passed
from derive.network.network import Network
from derive.program.ir import Array, Assign, Least, Most, Program, indices, parts, walk
from derive.program.state import state_arrays, state_size

CTYPES = {"float64": "double", "float32": "float"}


@dataclass(frozen=True)
class Facts:
    """What a module records about itself; all of it is data that shaped the text."""

    version: str
    algorithm: Mapping[str, Any]
    dtype: str
    schedule: str
    equations: str
    record: Mapping[str, Any]


def module(net: Network, programs: Mapping[str, Program], facts: Facts) -> str:
    """The text of a module that offers ``forward`` and ``gradient``, and ``step`` if it is online.

    Parameters
    ----------
    programs : mapping of str to Program
        ``forward``, ``gradient`` (with respect to theta); perhaps ``gradient_all`` (and x and y0)
        or ``start``, ``step`` and ``update``; all in one schedule.
    """
    width = next(iter(programs.values())).lane_width
    online = "step" in programs
    parts = [
        frame.DIRECTIVES,
        _docstring(net, facts, programs),
        _imports(programs, facts, width),
        _record(net, facts),
        *(
            [f"cdef Py_ssize_t STATE_SIZE = {state_size(programs)}\nSTATE = STATE_SIZE"]
            if online
            else []
        ),
        frame.ARGUMENTS,
        *([frame.STATE_ARGUMENT] if online else []),
        *("\n".join(core(p, f"{name}_core")) + "\n" for name, p in programs.items()),
        _forward(net, programs["forward"]),
        _gradient(net, programs["gradient"], programs.get("gradient_all"), facts),
    ]
    if online:
        parts += [_start(net, programs["start"]), _step(net, programs["step"])]
    if "update" in programs:
        parts.append(_update(net, programs["update"]))
    return "\n\n".join(p.strip("\n") for p in parts) + "\n"


def _docstring(net: Network, facts: Facts, programs: Mapping[str, Program]) -> str:
    B = ", B" if programs["forward"].lane_width > 1 else ""
    n, m, size, states = net.units, net.inputs, net.size, len(net.states)
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
        f"forward(theta, x, y0=None, out=None) -> y (T+1, N={states}{B})",
        "gradient(theta, x, target, mask=None, y0=None, wrt=None, out=None)",
        f"    -> (J, dJ/dtheta (P={size},)), or with wrt a named tuple (J, theta, x, y0)",
        *_online_lines(net, programs, B),
        "",
        f"x (T, m={m}{B}); target and mask (T, n_T={n_T}{B}) for units {targets}"
        + (", …" if n_T > 20 else "")
        + f"; y0 (N={states}{B}).",
        "J is maximised: ascend along the gradient. target[t] is for y[t+1], computed from x[t].",
        *_theta_lines(net),
    ]
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{text}\n"""'


def _online_lines(net: Network, programs: Mapping[str, Program], B: str) -> list[str]:
    if "step" not in programs:
        return []
    P, size = net.size, "STATE" if not B else "STATE*LANES*⌈B/LANES⌉, aligned to 64 bytes"
    lines = [
        f"start(state, y0{B}): state is an array of {size} numbers",
        "step(state, t, theta, x, target, mask) -> (y, J(t)"
        + ("" if "update" in programs else f", dJ/dtheta (P={P},)")
        + "); t = 1, 2, …; one row of each",
    ]
    if "update" in programs:
        lines.append(
            f"update(state, b, t, theta) -> dJ/dtheta (P={P},) of window b = 0, 1, …, "
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
    for c, i in zip(net.connections, net.wiring.weight.tolist(), strict=True):
        delay = f", {c.delay}" if c.delay != 1 else ""
        label = f"w({c.target}, {c.source}{delay})"
        labels[i] = f"{labels[i]}={label}" if i in labels else label
    for p in net.parameters:
        if p.unit is not None:
            labels[p.start] = f"{p.name}({p.unit})"
    listed = ", ".join(labels[i] for i in sorted(labels))
    return textwrap.wrap(f"theta: {listed}; w(target, source[, delay]).", 98)


def _imports(programs: Mapping[str, Program], facts: Facts, width: int) -> str:
    functions: set[str] = set()
    tables: dict[str, Any] = {}
    constants: dict[str, Array] = {}
    for p in programs.values():
        for s in walk(p.body):
            if isinstance(s, Assign):
                functions |= functions_in(s.expr)
        tables |= p.tables
        constants |= {a.name: a for a in p.arrays.values() if a.role == "const"}
    ctype = CTYPES[facts.dtype]
    lanes = width > 1
    block = frame.C_TYPES.substitute(real=ctype)
    block += frame.C_LANES.substitute(lanes=width) if lanes else frame.C_SINGLE
    windows = any(
        isinstance(part, Least | Most)
        for p in programs.values()
        for s in walk(p.body)
        for i in indices(s)
        for part in parts(i)
    )
    block += frame.C_WINDOWS if windows else ""
    block += frame.c_functions(functions, ctype == "double", lanes)
    for name, values in sorted(tables.items()):
        block += _static(f"int{values.dtype.itemsize * 8}_t", name, map(str, values.tolist()))
    for name, a in sorted(constants.items()):
        block += _static("real", name, map(repr, map(float, a.values)))
    declared = [
        "ctypedef double real" if ctype == "double" else "ctypedef float real",
        "ctypedef const real *real_in",
        "ctypedef real *real_out",
    ]
    kind = "lane" if lanes else "real"
    if lanes:
        declared += [
            "ctypedef real lane",
            "ctypedef const lane *lane_in",
            "ctypedef lane *lane_out",
            "int LANES",
            "lane k_lane(lane) noexcept nogil",
            "lane k_div(lane, lane) noexcept nogil",
            "void k_pack(real *, const real *, size_t, size_t, size_t) noexcept nogil",
            "void k_unpack(real *, const real *, size_t, size_t, size_t) noexcept nogil",
            "void k_sum(real *, const real *, size_t, size_t, size_t) noexcept nogil",
        ]
    if windows:
        declared += [
            f"Py_ssize_t k_{name}(Py_ssize_t, Py_ssize_t) noexcept nogil"
            for name in ("least", "most")
        ]
    declared.append(f"{kind} k_where(bint, {kind}, {kind}) noexcept nogil")
    for name in sorted(functions):
        takes = f"{kind}, {kind}" if name in frame.PAIRED_FUNCTIONS else kind
        declared.append(f"{kind} k_{name}({takes}) noexcept nogil")
    for name, values in sorted(tables.items()):
        declared.append(f"const int{values.dtype.itemsize * 8}_t table_{name}[]")
    declared += [f"const real table_{name}[]" for name in sorted(constants)]
    indent = "    "
    return "\n".join(
        [
            "from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer",
            "from libc.stdint cimport int32_t, int64_t",
            "from libc.stdlib cimport free, malloc",
            "from libc.string cimport memcpy",
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
        ]
    )


def _static(ctype: str, name: str, values: Any) -> str:
    listed = textwrap.fill(", ".join(values), 96, break_long_words=False)
    return f"static const {ctype} table_{name}[] = {{\n{listed}\n}};\n"


def _record(net: Network, facts: Facts) -> str:
    record = json.dumps(facts.record, sort_keys=True, ensure_ascii=True)
    return "\n".join(
        [
            f'DTYPE = np.dtype("{facts.dtype}")',
            'Gradient = namedtuple("Gradient", ["J", "theta", "x", "y0"])',
            f"RECORD = {record!r}",
        ]
    )


# --- what a caller calls --------------------------------------------------------------------


def _shape(dimensions: list[tuple[str, int | None]], batch: bool) -> tuple[str, str]:
    """A shape to check, (-1 for any) and the same in symbols."""
    dims = dimensions + ([("B", None)] if batch else [])
    numbers = ["-1" if v is None else str(v) for _, v in dims]
    symbols = [name if v is None else f"{name}={v}" for name, v in dims]
    comma = "," if len(dims) == 1 else ""
    return f"({', '.join(numbers)}{comma})", f"({', '.join(symbols)}{comma})"


def _take(name: str, dimensions: list[tuple[str, int | None]], batch: bool) -> str:
    shape, symbols = _shape(dimensions, batch)
    return f'{name} = _array("{name}", {name}, {shape}, "{symbols}")'


def _begin(net: Network, batch: bool) -> list[str]:
    _, symbols = _shape([("T", None), ("m", net.inputs)], batch)
    states = len(net.states)
    lines = [
        _take("theta", [("P", net.size)], False),
        _take("x", [("T", None), ("m", net.inputs)], batch),
        "cdef Py_ssize_t T = x.shape[0]",
    ]
    if batch:
        lines += ["cdef Py_ssize_t B = x.shape[2], b0"]
    empty = "T < 1 or B < 1" if batch else "T < 1"
    least = "T, B ≥ 1" if batch else "T ≥ 1"
    tail = ", B" if batch else ""
    comma = "" if batch else ","
    lines += [
        f"if {empty}:",
        f'    raise ValueError(f"x: expected {symbols} with {least}, got {{x.shape}}")',
        "if y0 is None:",
        f"    y0 = np.zeros(({states}{tail}{comma}), dtype=DTYPE)",
        "else:",
        f"    {_y0(states, batch)}",
    ]
    return lines


def _y0(states: int, batch: bool) -> str:
    if not batch:
        return _take("y0", [("N", states)], False)
    return f'y0 = _array("y0", y0, ({states}, B), f"(N={states}, B={{B}})")'


def _forward(net: Network, program: Program) -> str:
    batch = program.lane_width > 1
    states = len(net.states)
    tail = ", B" if batch else ""
    pointers, call = _call(program, "forward_core", {"y": f"(T + 1)*{states}"}, net)
    body = [
        *_begin(net, batch),
        f'y = _result("y", out, (T + 1, {states}{tail}), (theta, x, y0))',
        *call,
        "return y",
    ]
    doc = ['"""States of every step: y (T+1, N), y[0] the initial state, y[t+1] from x[t]."""']
    return _function("def forward(theta, x, y0=None, out=None):", doc, body, set(pointers))


def _gradient(net: Network, only: Program, everything: Program | None, facts: Facts) -> str:
    batch = only.lane_width > 1
    n_T, m, states = len(net.objective.targets), net.inputs, len(net.states)
    tail = ", B" if batch else ""
    comma = "" if batch else ","
    B = ", B={B}" if batch else ""
    both = f'(T, {n_T}{tail}), f"(T={{T}}, n_T={n_T}{B})"'
    body = [
        *_begin(net, batch),
        f'target = _array("target", target, {both})',
        "cdef Py_ssize_t mask_step = 0 if mask is None else 1",
        "if mask is None:",
        f"    mask = np.ones((1, {n_T}{tail}), dtype=DTYPE)",
        "else:",
        f'    mask = _array("mask", mask, {both})',
        "cdef Py_ssize_t mask_rows = mask.shape[0]",
        "names, outs = _wanted(wrt, out)",
        *([] if everything is not None else _theta_only(facts)),
        "read = (theta, x, target, mask, y0)",
        "cdef real J = 0",
        f'grad_theta = _result("theta", outs.get("theta"), ({net.size},), read)',
    ]
    accumulated = {"J": "1", "grad_theta": str(net.size)}
    # Every array is checked before any is written to: a refused call leaves them as they were.
    zeroed = ["grad_theta[...] = 0"] if batch else []
    some, call = _call(only, "gradient_core", accumulated, net)
    head = "def gradient(theta, x, target, mask=None, y0=None, wrt=None, out=None):"
    if everything is None:
        body += [
            *zeroed,
            *call,
            "if wrt is None:",
            "    return J, grad_theta",
            "return Gradient(J, grad_theta, None, None)",
        ]
        doc = ['"""J^total and the sum of the gradients by theta that the steps give."""']
        return _function(head, doc, body, set(some))
    body.append('if names == ("theta",):')
    body += ["    " + line for line in (*zeroed, *call)]
    body += [
        "    if wrt is None:",
        "        return J, grad_theta",
        "    return Gradient(J, grad_theta, None, None)",
        "read += (grad_theta,)",
        f'grad_x = _result("x", outs.get("x"), (T, {m}{tail}), read)',
        "read += (grad_x,)",
        f'grad_y0 = _result("y0", outs.get("y0"), ({states}{tail}{comma}), read)',
        *zeroed,
    ]
    outs = {**accumulated, "grad_x": f"T*{m}", "grad_y0": str(states)}
    more, call = _call(everything, "gradient_all_core", outs, net)
    body += call
    body += [
        "return _only(names, Gradient(J, grad_theta, grad_x, grad_y0))",
    ]
    doc = [
        '"""J^total and its gradient; J is maximised.',
        "",
        '(J, dJ/dtheta), or with wrt=("theta", "x", "y0") a named tuple (J, theta, x, y0).',
        '"""',
    ]
    return _function(head, doc, body, {*some, *more})


def _theta_only(facts: Facts) -> list[str]:
    return [
        'if names != ("theta",):',
        f'    raise ValueError("wrt: algorithm {facts.algorithm["name"]} gives the gradient by '
        'theta only, got %s; epochwise gives x and y0" % (names,))',
    ]


# --- online: state from call to call ----------------------------------------------------------


def _start(net: Network, program: Program) -> str:
    batch = program.lane_width > 1
    states = len(net.states)
    if batch:
        take = [
            f'y0 = _array("y0", y0, ({states}, -1), "(N={states}, B)")',
            "cdef Py_ssize_t B = y0.shape[1], b0",
        ]
    else:
        take = [_take("y0", [("N", states)], False)]
    pointers, call = _call(program, "start_core", {"y0": str(states)}, net)
    body = [*take, _take_state(batch), *call]
    doc = ['"""Set the state to that before the first step."""']
    return _function("def start(state, y0):", doc, body, set(pointers))


def _take_state(batch: bool) -> str:
    blocks = "((B + LANES - 1)//LANES)*LANES" if batch else "1"
    return f"state = _state(state, STATE*{blocks}, {batch})"


def _step(net: Network, program: Program) -> str:
    batch = program.lane_width > 1
    n_T, m, states = len(net.objective.targets), net.inputs, len(net.states)
    B = ", B={B}" if batch else ","
    tail = ", B" if batch else ","
    learns = any(a.name == "grad_theta" for a in program.arrays.values())
    body = [_take("theta", [("P", net.size)], False)]
    if batch:
        body += [
            f'x = _array("x_t", x, ({m}, -1), "(m={m}, B)")',
            "cdef Py_ssize_t B = x.shape[1], b0",
        ]
    else:
        body.append(f'x = _array("x_t", x, ({m},), "(m={m},)")')
    shape = f'({n_T}{tail}), f"(n_T={n_T}{B})"'
    body += [
        f'target = _array("target_t", target, {shape})',
        "if mask is None:",
        f"    mask = np.ones(({n_T}{tail}), dtype=DTYPE)",
        "else:",
        f'    mask = _array("mask_t", mask, {shape})',
        _take_state(batch),
        f"y = np.empty(({states}{tail}), dtype=DTYPE)",
        "cdef real J = 0",
    ]
    if learns:
        body.append(f"grad_theta = np.{'zeros' if batch else 'empty'}({net.size}, dtype=DTYPE)")
    rows = {"x": str(m), "target": str(n_T), "mask": str(n_T), "y": str(states), "J": "1",
            "grad_theta": str(net.size)}  # fmt: skip
    pointers, call = _call(program, "step_core", rows, net)
    body += [*call, f"return y, J{', grad_theta' if learns else ''}"]
    doc = ['"""Step number t: outputs, J(t), and the gradient where each step has one."""']
    head = "def step(state, Py_ssize_t t, theta, x, target, mask):"
    return _function(head, doc, body, set(pointers))


def _update(net: Network, program: Program) -> str:
    batch = program.lane_width > 1
    body = [
        _take("theta", [("P", net.size)], False),
        *(["cdef Py_ssize_t b0"] if batch else []),
        _take_state(batch),
        f"grad_theta = np.{'zeros' if batch else 'empty'}({net.size}, dtype=DTYPE)",
    ]
    pointers, call = _call(program, "update_core", {"grad_theta": str(net.size)}, net)
    body += [*call, "return grad_theta"]
    doc = ['"""The gradient of window number b, whose last step is t."""']
    more = ", Py_ssize_t B" if batch else ""
    head = f"def update(state, Py_ssize_t b, Py_ssize_t t, theta{more}):"
    return _function(head, doc, body, set(pointers))


ROWS = {
    "x": "T*{m}",
    "target": "T*{n_T}",
    "mask": "mask_rows*{n_T}",
    "y0": "{states}",
}


def _call(
    program: Program,
    name: str,
    outputs: Mapping[str, str],
    net: Network,
) -> tuple[list[str], list[str]]:
    """The pointers it needs, and: allocate scratch, run the core without the GIL, free it."""
    lanes = program.lane_width > 1
    sizes = {
        "m": net.inputs, "n_T": len(net.objective.targets), "states": len(net.states),
    }  # fmt: skip
    rows = {k: v.format(**sizes) for k, v in ROWS.items()} | dict(outputs)
    scratch: list[tuple[str, str]] = []
    kept = state_arrays(program)
    for a in passed(program):
        if a.name in kept:
            continue
        if a.role == "work":
            scratch.append((a.name, _extent(a)))
        elif lanes and element_type(program, a) == "lane":
            scratch.append((a.name, f"({rows[a.name]})"))
    factor = "*LANES" if lanes else ""
    total = " + ".join(f"{extent}{factor}" for _, extent in scratch) or "1"
    lines = []
    for a in passed(program):
        if a.role not in ("work", "state") and a.name != "J":
            lines.append(f"p_{a.name} = _data({a.name})")
    if kept:
        lines.append("p_state = _data(state)")
    lines.append(f"work = _workspace({total})")
    lines.append("free_here = work")
    places: dict[str, str] = {}
    for i, (array, extent) in enumerate(scratch):
        places[array] = f"w_{array}"
        lines.append(f"w_{array} = free_here")
        if i + 1 < len(scratch):
            lines.append(f"free_here += {extent}{factor}")
    arguments = []
    for a in passed(program):
        if a.name == "J" and not lanes:
            arguments.append("&J")
        elif a.name in kept:
            at = kept[a.name][0]
            if lanes:
                arguments.append(f"<lane *>(p_state + (b0//LANES*STATE_SIZE + {at})*LANES)")
            else:
                arguments.append(f"p_state + {at}")
        elif a.name in places:
            kind = "lane *" if lanes else "real *"
            arguments.append(f"<{kind}>{places[a.name]}" if lanes else places[a.name])
        else:
            arguments.append(f"p_{a.name}")
    call = f"{name}({', '.join([*arguments, *program.sizes])})"
    lines.append("with nogil:")
    if not lanes:
        lines += [f"    {call}", "    _release(work)"]
    else:
        lines.append(f"    for b0 in range(0, B, {program.lane_width}):")
        for a in passed(program):
            if a.name in places and a.role == "in":
                lines.append(f"        k_pack(w_{a.name}, p_{a.name}, {rows[a.name]}, B, b0)")
        lines.append(f"        {call}")
        for a in passed(program):
            if a.role == "out" and a.name in ("J", "grad_theta"):
                to = "&J" if a.name == "J" else "p_grad_theta"
                lines.append(f"        k_sum({to}, w_{a.name}, {rows[a.name]}, B, b0)")
            elif a.role == "out":
                lines.append(f"        k_unpack(p_{a.name}, w_{a.name}, {rows[a.name]}, B, b0)")
        lines.append("    _release(work)")
    pointers = sorted(
        {line.split(" = ")[0] for line in lines if " = " in line and not line.startswith(" ")}
    )
    return pointers, lines


def _function(head: str, doc: list[str], body: list[str], pointers: set[str]) -> str:
    """A Python function of the module, its pointers declared first."""
    declared = [f"cdef real *{p}" for p in sorted(pointers)]
    return "\n".join([head, *(f"    {line}".rstrip() for line in (*doc, *declared, *body))])


def _extent(a: Array) -> str:
    """The number of elements of a work array, as an expression of T."""
    known, rest = 1, []
    for e in a.shape:
        if isinstance(e, int):
            known *= e
        else:
            rest.append(f"({index_text(e)})")
    return "*".join([*rest, str(known)]) if rest else str(known)
