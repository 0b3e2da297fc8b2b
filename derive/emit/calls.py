"""What a caller calls: functions that check, allocate once, and run a core without the GIL."""

from __future__ import annotations

from collections.abc import Sequence

from derive.emit.cores import Call, call_of, core_of, function, keyword, threads_check
from derive.network.network import Network
from derive.program.ir import Program


def shape_of(dimensions: list[tuple[str, int | None]], batch: bool) -> tuple[str, str]:
    """A shape to check, (-1 for any) and the same in symbols."""
    dims = dimensions + ([("B", None)] if batch else [])
    numbers = ["-1" if v is None else str(v) for _, v in dims]
    symbols = [name if v is None else f"{name}={v}" for name, v in dims]
    comma = "," if len(dims) == 1 else ""
    return f"({', '.join(numbers)}{comma})", f"({', '.join(symbols)}{comma})"


def take(
    name: str, dimensions: list[tuple[str, int | str | None]], batch: bool, called: str = ""
) -> str:
    """The check of an argument; sizes are numbers, expressions, or None for any.

    ``batch`` adds an axis of B sequences, known by then.
    """
    dims = dimensions + ([("B", "B")] if batch else [])
    names = c_text(" ".join(symbol for symbol, _ in dims))
    sizes = axes(["-1" if size is None else size for _, size in dims])
    return f'{name} = k_array("{called or name}", {name}, {names}, {sizes})'


def c_text(text: str) -> str:
    """A C string in UTF-8, which Cython makes of a str for ASCII only."""
    return f'"{text}"' if text.isascii() else repr(text.encode())


def axes(sizes: Sequence[int | str]) -> str:
    """How many axes and the size of each, as C functions of up to three axes take them."""
    return ", ".join(map(str, [len(sizes), *sizes, *[0] * (3 - len(sizes))]))


def lanes_axis(batch: bool) -> list[str]:
    """The axis of sequences, if there is one."""
    return ["B"] if batch else []


def _begin(net: Network, batch: bool) -> list[str]:
    _, symbols = shape_of([("T", None), ("m", net.inputs)], batch)
    states = len(net.states)
    inputs: list[tuple[str, int | str | None]] = [("T", None), ("m", net.inputs)]
    lines = [
        take("theta", [("P", net.size)], False),
        take("x", inputs + ([("B", None)] if batch else []), False),
        "cdef Py_ssize_t T = k_size(x, 0)",
    ]
    if batch:
        lines += ["cdef Py_ssize_t B = k_size(x, 2)"]
    empty = "T < 1 or B < 1" if batch else "T < 1"
    least = "T, B ≥ 1" if batch else "T ≥ 1"
    lines += [
        f"if {empty}:",
        f'    k_refuse_shape("x", x, {c_text(f"{symbols} with {least}")})',
        "if y0 is None:",
        f"    y0 = k_filled(0, {axes([states, *lanes_axis(batch)])})",
        "else:",
        f"    {take('y0', [('N', states)], batch)}",
        *history(net, batch),
    ]
    return lines


def history(net: Network, batch: bool) -> list[str]:
    """The check of a history, where delays reach before time 0."""
    if not net.lookback:
        return []
    D, width = net.lookback, len(net.states) + net.inputs
    return [
        "if history is None:",
        f"    history = k_filled(0, {axes([D, width, *lanes_axis(batch)])})",
        "else:",
        f"    {take('history', [('D−1', D), ('N+m', width)], batch)}",
    ]


def with_history(net: Network) -> str:
    """The argument, where there is one."""
    return ", history=None" if net.lookback else ""


def forward(net: Network, program: Program, several: bool) -> str:
    batch = program.lane_width > 1
    states = len(net.states)
    call = call_of(core_of(program, "forward", {"y": f"(T + 1)*{states}"}, net))
    shape = axes(["T + 1", states, *lanes_axis(batch)])
    body = [
        *_begin(net, batch),
        *threads_check(several),
        f'y = k_result("y", <PyObject *>out, (theta, x, y0{_read(net)}), {shape})',
        *call.lines,
        "return y",
    ]
    doc = ['"""States of every step: y (T+1, N), y[0] the initial state, y[t+1] from x[t]."""']
    more = with_history(net) + keyword(several)
    return function(f"def forward(theta, x, y0=None, out=None{more}):", doc, body, call)


def _read(net: Network) -> str:
    return ", history" if net.lookback else ""


def _default_mask(net: Network, batch: bool) -> list[str]:
    """Targets at every time, in one row; or at the end of a sequence, if so stated."""
    n_T = len(net.objective.targets)
    if not any(net.objective.ends):
        return [
            "cdef Py_ssize_t mask_step = 0 if mask is None else 1",
            "if mask is None:",
            f"    mask = k_filled(1, {axes([1, n_T, *lanes_axis(batch)])})",
        ]
    return [
        "cdef Py_ssize_t mask_step = 1",
        "if mask is None:",
        f"    mask = k_filled(1, {axes(['T', n_T, *lanes_axis(batch)])})",
        f"    mask[:-1, {at_the_end(net)}] = 0",
    ]


def at_the_end(net: Network) -> list[int]:
    """The columns whose targets are at the end of a sequence, where no mask is given."""
    return [j for j, late in enumerate(net.objective.ends) if late]


def _zeroed(call: Call, batch: bool) -> list[str]:
    """What the blocks of a batch add to begins at zero."""
    return ["k_clear(grad_theta)"] if batch and not call.in_place else []


def gradient(
    net: Network, only: Program, everything: Program | None, algorithm: str, several: bool
) -> str:
    batch = only.lane_width > 1
    n_T, m, states = len(net.objective.targets), net.inputs, len(net.states)
    per_step: list[tuple[str, int | str | None]] = [("T", "T"), ("n_T", n_T)]
    named = "NULL" if everything is not None else f'"{algorithm}"'
    body = [
        *_begin(net, batch),
        take("target", per_step, batch),
        *_default_mask(net, batch),
        "else:",
        f"    {take('mask', per_step, batch)}",
        "cdef Py_ssize_t mask_rows = k_size(mask, 0)",
        "cdef PyObject *outs[3]",
        f"cdef int wanted = k_wanted(wrt, out, {named}, outs)",
        *threads_check(several),
        f"cdef tuple read = (theta, x, target, mask, y0{_read(net)})",
        "cdef real J = 0",
        f'grad_theta = k_result("theta", outs[0], read, {axes([net.size])})',
    ]
    accumulated = {"J": "1", "grad_theta": str(net.size)}
    # Every array is checked before any is written to: a refused call leaves them as they were.
    call = call_of(core_of(only, "gradient", accumulated, net))
    more = with_history(net) + keyword(several)
    head = f"def gradient(theta, x, target, mask=None, y0=None, wrt=None, out=None{more}):"
    if everything is None:
        body += [
            *_zeroed(call, batch),
            *call.lines,
            "if wrt is None:",
            "    return J, grad_theta",
            "return Gradient(J, grad_theta, None, None)",
        ]
        doc = ['"""J^total and the sum of the gradients by theta that the steps give."""']
        return function(head, doc, body, call)
    body.append("if wanted == 1:")
    body += ["    " + line for line in (*_zeroed(call, batch), *call.lines)]
    by_x = axes(["T", m, *lanes_axis(batch)])
    by_y0 = axes([states, *lanes_axis(batch)])
    body += [
        "    if wrt is None:",
        "        return J, grad_theta",
        "    return Gradient(J, grad_theta, None, None)",
        "read += (grad_theta,)",
        f'grad_x = k_result("x", outs[1], read, {by_x})',
        "read += (grad_x,)",
        f'grad_y0 = k_result("y0", outs[2], read, {by_y0})',
    ]
    results = {**accumulated, "grad_x": f"T*{m}", "grad_y0": str(states)}
    whole = call_of(core_of(everything, "gradient_all", results, net))
    body += [*_zeroed(whole, batch), *whole.lines]
    body += [
        "return Gradient(J, grad_theta if wanted & 1 else None, grad_x if wanted & 2 else None,",
        "                grad_y0 if wanted & 4 else None)",
    ]
    doc = [
        '"""J^total and its gradient; J is maximised.',
        "",
        '(J, dJ/dtheta), or with wrt=("theta", "x", "y0") a named tuple (J, theta, x, y0).',
        '"""',
    ]
    return function(head, doc, body, call, whole)
