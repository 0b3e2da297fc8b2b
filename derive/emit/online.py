"""Functions of an online kernel: the state they work on is the caller's, from call to call."""

from __future__ import annotations

from derive.emit.calls import at_the_end, axes, history, lanes_axis, take, with_history
from derive.emit.cores import call_of, core_of, function, keyword, prepared, threads_check
from derive.network.network import Network
from derive.program.ir import Program


def start(net: Network, program: Program) -> str:
    """The state before the first step."""
    batch = program.lane_width > 1
    states = len(net.states)
    given = [take("y0", [("N", states), *([("B", None)] if batch else [])], False)]
    given += ["cdef Py_ssize_t B = k_size(y0, 1)"] if batch else []
    call = prepared(core_of(program, "start", row_counts(net), net))
    remembers = "history" in program.arrays
    given += history(net, batch) if remembers else []
    body = [*given, take_state(batch), *call.lines]
    doc = ['"""Set the state to that before the first step."""']
    head = f"def start(state, y0{with_history(net) if remembers else ''}):"
    return function(head, doc, body, call)


def take_state(batch: bool) -> str:
    """The check of the state's size, for B sequences."""
    blocks = "((B + K_BLOCK - 1)//K_BLOCK)*K_BLOCK" if batch else "1"
    return f"k_state(state, STATE_SIZE*{blocks}, {batch})"


def one_row(net: Network, batch: bool, x: bool = True) -> list[str]:
    """Checks of theta, of one row of x, target and mask, and of the state."""
    n_T, m = len(net.objective.targets), net.inputs
    sequences: list[tuple[str, int | str | None]] = [("B", None)] if batch else []
    lines = [take("theta", [("P", net.size)], False)]
    if x:
        lines.append(take("x", [("m", m), *sequences], False, "x_t"))
    if x and batch:
        lines.append("cdef Py_ssize_t B = k_size(x, 1)")
    known = batch and x
    unknown = [] if known else sequences
    lines.append(take("target", [("n_T", n_T), *unknown], known, "target_t"))
    if batch and not x:
        lines.append("cdef Py_ssize_t B = k_size(target, 1)")
    return [
        *lines,
        "if mask is None:",
        f"    mask = k_filled(1, {axes([n_T, *lanes_axis(batch)])})",
        *([f"    mask[{at_the_end(net)}] = 0"] if any(net.objective.ends) else []),
        "else:",
        f"    {take('mask', [('n_T', n_T)], batch, 'mask_t')}",
        take_state(batch),
    ]


def new_outputs(net: Network, batch: bool) -> str:
    """Where the outputs of a step go."""
    return f"y = k_new({axes([len(net.states), *lanes_axis(batch)])})"


def new_gradient(net: Network, batch: bool) -> str:
    """Where the gradient goes; that of a batch is summed there."""
    return f"grad_theta = {'k_filled(0, ' if batch else 'k_new('}{axes([net.size])})"


def row_counts(net: Network) -> dict[str, str]:
    """How many numbers one row of each array has."""
    n_T = str(len(net.objective.targets))
    return {
        "x": str(net.inputs), "target": n_T, "mask": n_T, "y": str(len(net.states)),
        "y0": str(len(net.states)),
        "history": str(net.lookback*(len(net.states) + net.inputs)),
        "J": "1", "change": "1", "grad_theta": str(net.size),
    }  # fmt: skip


def step(net: Network, program: Program, several: bool) -> str:
    """One step: outputs, J(t), and the gradient where every step has one."""
    batch = program.lane_width > 1
    learns = any(a.name == "grad_theta" for a in program.arrays.values())
    call = call_of(core_of(program, "step", row_counts(net), net))
    body = [
        *one_row(net, batch),
        *threads_check(several),
        new_outputs(net, batch),
        "cdef real J = 0",
        *([new_gradient(net, batch)] if learns else []),
        *call.lines,
        f"return y, J{', grad_theta' if learns else ''}",
    ]
    doc = ['"""Step number t: outputs, J(t), and the gradient where each step has one."""']
    head = f"def step(state, Py_ssize_t t, theta, x, target, mask{keyword(several)}):"
    return function(head, doc, body, call)


def update(net: Network, program: Program, several: bool) -> str:
    """The gradient of one window."""
    batch = program.lane_width > 1
    call = call_of(core_of(program, "update", row_counts(net), net))
    body = [
        take("theta", [("P", net.size)], False),
        take_state(batch),
        *threads_check(several),
        new_gradient(net, batch),
        *call.lines,
        "return grad_theta",
    ]
    doc = ['"""The gradient of window number b, whose last step is t."""']
    more = (", Py_ssize_t B" if batch else "") + keyword(several)
    head = f"def update(state, Py_ssize_t b, Py_ssize_t t, theta{more}):"
    return function(head, doc, body, call)
