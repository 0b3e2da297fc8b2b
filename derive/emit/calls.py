"""What a caller calls: functions that check, allocate once, and run a core without the GIL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from derive.emit.statements import WIDE, element_type, index_text, passed
from derive.network.network import Network
from derive.program.ir import Array, Index, Program, Var, rebuilt
from derive.program.state import state_arrays


def shape_of(dimensions: list[tuple[str, int | None]], batch: bool) -> tuple[str, str]:
    """A shape to check, (-1 for any) and the same in symbols."""
    dims = dimensions + ([("B", None)] if batch else [])
    numbers = ["-1" if v is None else str(v) for _, v in dims]
    symbols = [name if v is None else f"{name}={v}" for name, v in dims]
    comma = "," if len(dims) == 1 else ""
    return f"({', '.join(numbers)}{comma})", f"({', '.join(symbols)}{comma})"


def take(name: str, dimensions: list[tuple[str, int | None]], batch: bool) -> str:
    shape, symbols = shape_of(dimensions, batch)
    return f'{name} = _array("{name}", {name}, {shape}, "{symbols}")'


def _begin(net: Network, batch: bool) -> list[str]:
    _, symbols = shape_of([("T", None), ("m", net.inputs)], batch)
    states = len(net.states)
    lines = [
        take("theta", [("P", net.size)], False),
        take("x", [("T", None), ("m", net.inputs)], batch),
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
        *history(net, batch),
    ]
    return lines


def history(net: Network, batch: bool) -> list[str]:
    """The check of a history, where delays reach before time 0."""
    if not net.lookback:
        return []
    D, width = net.lookback, len(net.states) + net.inputs
    tail, B = (", B", ", B={B}") if batch else ("", "")
    prefix = "f" if batch else ""
    return [
        "if history is None:",
        f"    history = np.zeros(({D}, {width}{tail}), dtype=DTYPE)",
        "else:",
        f'    history = _array("history", history, ({D}, {width}{tail}), '
        f'{prefix}"(D−1={D}, N+m={width}{B})")',
    ]


def with_history(net: Network) -> str:
    """The argument, where there is one."""
    return ", history=None" if net.lookback else ""


def _y0(states: int, batch: bool) -> str:
    if not batch:
        return take("y0", [("N", states)], False)
    return f'y0 = _array("y0", y0, ({states}, B), f"(N={states}, B={{B}})")'


def forward(net: Network, program: Program) -> str:
    batch = program.lane_width > 1
    states = len(net.states)
    tail = ", B" if batch else ""
    call = prepared(program, "forward_core", {"y": f"(T + 1)*{states}"}, net)
    body = [
        *_begin(net, batch),
        f'y = _result("y", out, (T + 1, {states}{tail}), (theta, x, y0{_read(net)}))',
        *call.lines,
        "return y",
    ]
    doc = ['"""States of every step: y (T+1, N), y[0] the initial state, y[t+1] from x[t]."""']
    head = f"def forward(theta, x, y0=None, out=None{with_history(net)}):"
    return function(head, doc, body, call.pointers)


def _read(net: Network) -> str:
    return ", history" if net.lookback else ""


def _default_mask(net: Network, tail: str) -> list[str]:
    """Targets at every time, in one row; or at the end of a sequence, if so stated."""
    n_T = len(net.objective.targets)
    if not any(net.objective.ends):
        return [
            "cdef Py_ssize_t mask_step = 0 if mask is None else 1",
            "if mask is None:",
            f"    mask = np.ones((1, {n_T}{tail}), dtype=DTYPE)",
        ]
    return [
        "cdef Py_ssize_t mask_step = 1",
        "if mask is None:",
        f"    mask = np.ones((T, {n_T}{tail}), dtype=DTYPE)",
        f"    mask[:-1, {at_the_end(net)}] = 0",
    ]


def at_the_end(net: Network) -> list[int]:
    """The columns whose targets are at the end of a sequence, where no mask is given."""
    return [j for j, late in enumerate(net.objective.ends) if late]


def gradient(net: Network, only: Program, everything: Program | None, algorithm: str) -> str:
    batch = only.lane_width > 1
    n_T, m, states = len(net.objective.targets), net.inputs, len(net.states)
    tail = ", B" if batch else ""
    comma = "" if batch else ","
    B = ", B={B}" if batch else ""
    both = f'(T, {n_T}{tail}), f"(T={{T}}, n_T={n_T}{B})"'
    body = [
        *_begin(net, batch),
        f'target = _array("target", target, {both})',
        *_default_mask(net, tail),
        "else:",
        f'    mask = _array("mask", mask, {both})',
        "cdef Py_ssize_t mask_rows = mask.shape[0]",
        "names, outs = _wanted(wrt, out)",
        *([] if everything is not None else _theta_only(algorithm)),
        f"read = (theta, x, target, mask, y0{_read(net)})",
        "cdef real J = 0",
        f'grad_theta = _result("theta", outs.get("theta"), ({net.size},), read)',
    ]
    accumulated = {"J": "1", "grad_theta": str(net.size)}
    # Every array is checked before any is written to: a refused call leaves them as they were.
    zeroed = ["grad_theta[...] = 0"] if batch else []
    call = prepared(only, "gradient_core", accumulated, net)
    more = with_history(net)
    head = f"def gradient(theta, x, target, mask=None, y0=None, wrt=None, out=None{more}):"
    if everything is None:
        body += [
            *zeroed,
            *call.lines,
            "if wrt is None:",
            "    return J, grad_theta",
            "return Gradient(J, grad_theta, None, None)",
        ]
        doc = ['"""J^total and the sum of the gradients by theta that the steps give."""']
        return function(head, doc, body, call.pointers)
    body.append('if names == ("theta",):')
    body += ["    " + line for line in (*zeroed, *call.lines)]
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
    whole = prepared(everything, "gradient_all_core", outs, net)
    body += whole.lines
    body += [
        "return _only(names, Gradient(J, grad_theta, grad_x, grad_y0))",
    ]
    doc = [
        '"""J^total and its gradient; J is maximised.',
        "",
        '(J, dJ/dtheta), or with wrt=("theta", "x", "y0") a named tuple (J, theta, x, y0).',
        '"""',
    ]
    return function(head, doc, body, call.pointers | whole.pointers)


def _theta_only(algorithm: str) -> list[str]:
    return [
        'if names != ("theta",):',
        f'    raise ValueError("wrt: algorithm {algorithm} gives the gradient by '
        'theta only, got %s; epochwise gives x and y0" % (names,))',
    ]


ROWS = {
    "x": "T*{m}",
    "target": "T*{n_T}",
    "mask": "mask_rows*{n_T}",
    "y0": "{states}",
    "history": "{history}",
}


@dataclass(frozen=True)
class Call:
    """How a core function is called: what stands before it, the call itself, what is freed.

    ``setup`` finds the caller's arrays and allocates scratch; ``run`` is done without the GIL, for
    each block of sequences in turn where there are several; ``pointers`` are to be declared.
    """

    setup: tuple[str, ...]
    run: tuple[str, ...]
    pointers: frozenset[str]

    @property
    def lines(self) -> list[str]:
        """Set up, run once, free."""
        inside = [f"    {line}" for line in (*self.run, "_release(work)")]
        return [*self.setup, "with nogil:", *inside]


def prepared(program: Program, name: str, outputs: Mapping[str, str], net: Network) -> Call:
    """The call of a core function, given the number of rows of each array that is packed."""
    lanes = program.lane_width > 1
    sizes = {
        "m": net.inputs, "n_T": len(net.objective.targets), "states": len(net.states),
        "history": net.lookback*(len(net.states) + net.inputs),
    }  # fmt: skip
    rows = {k: v.format(**sizes) for k, v in ROWS.items()} | dict(outputs)
    scratch: list[tuple[str, str]] = []
    wide: list[tuple[str, str]] = []
    kept = state_arrays(program)
    for a in passed(program):
        if a.role == "work" and element_type(program, a).startswith("wide"):
            wide.append((a.name, f"{_extent(program, a)}*{WIDE // program.itemsize}"))
        elif a.role == "work":
            scratch.append((a.name, _extent(program, a)))
        elif a.role != "state" and lanes and element_type(program, a) == "lane":
            scratch.append((a.name, f"({rows[a.name]})"))
    # At the beginning, where all is aligned as the larger numbers must be.
    scratch = wide + scratch
    factor = "*LANES" if lanes else ""
    total = " + ".join(f"{extent}{factor}" for _, extent in scratch) or "1"
    lines = []
    for a in passed(program):
        if a.role not in ("work", "state") and a.name not in SINGLE:
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
    pointers = frozenset(line.split(" = ")[0] for line in lines if " = " in line)
    arguments = []
    for a in passed(program):
        if a.name in SINGLE and not lanes:
            arguments.append(f"&{a.name}")
        elif a.name in kept:
            at = kept[a.name][0]
            block = f"(p_state + (b0//LANES*STATE_SIZE + {at})*LANES)"
            arguments.append(f"<lane *>{block}" if lanes else f"p_state + {at}")
        elif a.name in places:
            kind = element_type(program, a)
            plain = kind == "real"
            arguments.append(places[a.name] if plain else f"<{kind} *>{places[a.name]}")
        else:
            arguments.append(f"p_{a.name}")
    text = f"{name}({', '.join([*arguments, *program.sizes])})"
    if not lanes:
        return Call(tuple(lines), (text,), pointers)
    run = [f"for b0 in range(0, B, {program.lane_width}):"]
    for a in passed(program):
        if a.name in places and a.role == "in":
            run.append(f"    k_pack(w_{a.name}, p_{a.name}, {rows[a.name]}, B, b0)")
    run.append(f"    {text}")
    for a in passed(program):
        if a.role == "out" and a.name in GATHERED:
            to = f"&{a.name}" if a.name in SINGLE else f"p_{a.name}"
            run.append(f"    {GATHERED[a.name]}({to}, w_{a.name}, {rows[a.name]}, B, b0)")
        elif a.role == "out":
            run.append(f"    k_unpack(p_{a.name}, w_{a.name}, {rows[a.name]}, B, b0)")
    return Call(tuple(lines), tuple(run), pointers)


SINGLE = ("J", "change")
"""Results that are one number."""

GATHERED = {"J": "k_sum", "grad_theta": "k_sum", "change": "k_largest"}
"""How the results of the sequences of a batch become one."""


def function(head: str, doc: list[str], body: list[str], pointers: frozenset[str]) -> str:
    """A Python function of the module, its pointers declared first."""
    declared = [f"cdef real *{p}" for p in sorted(pointers)]
    return "\n".join([head, *(f"    {line}".rstrip() for line in (*doc, *declared, *body))])


def _extent(program: Program, a: Array) -> str:
    """The number of elements of a work array, as an expression of T."""

    def change(part: Index) -> Index | None:
        # What follows from T is known within the core function only.
        derived = program.derived.get(part.name) if isinstance(part, Var) else None
        return None if derived is None else rebuilt(derived, change)

    known, rest = 1, []
    for e in (rebuilt(e, change) for e in a.shape):
        if isinstance(e, int):
            known *= e
        else:
            rest.append(f"({index_text(e)})")
    return "*".join([*rest, str(known)]) if rest else str(known)
