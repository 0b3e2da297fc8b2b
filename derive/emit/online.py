"""Functions of an online kernel: the state they work on is the caller's, from call to call."""

from __future__ import annotations

from derive.emit.calls import at_the_end, history, take, with_history
from derive.emit.cores import call_of, core_of, function, keyword, prepared, threads_check
from derive.network.network import Network
from derive.program.ir import Program


def start(net: Network, program: Program) -> str:
    """The state before the first step."""
    batch = program.lane_width > 1
    states = len(net.states)
    if batch:
        given = [
            f'y0 = _array("y0", y0, ({states}, -1), "(N={states}, B)")',
            "cdef Py_ssize_t B = y0.shape[1]",
        ]
    else:
        given = [take("y0", [("N", states)], False)]
    call = prepared(core_of(program, "start", row_counts(net), net))
    remembers = "history" in program.arrays
    given += history(net, batch) if remembers else []
    body = [*given, take_state(batch), *call.lines]
    doc = ['"""Set the state to that before the first step."""']
    head = f"def start(state, y0{with_history(net) if remembers else ''}):"
    return function(head, doc, body, call)


def take_state(batch: bool) -> str:
    """The check of the state's size, for B sequences."""
    blocks = "((B + LANES - 1)//LANES)*LANES" if batch else "1"
    return f"state = _state(state, STATE*{blocks}, {batch})"


def one_row(net: Network, batch: bool, x: bool = True) -> list[str]:
    """Checks of theta, of one row of x, target and mask, and of the state."""
    n_T, m = len(net.objective.targets), net.inputs
    B = ", B={B}" if batch else ","
    tail = ", B" if batch else ","
    lines = [take("theta", [("P", net.size)], False)]
    if not batch:
        lines += [f'x = _array("x_t", x, ({m},), "(m={m},)")'] if x else []
        lines.append(f'target = _array("target_t", target, ({n_T},), "(n_T={n_T},)")')
    elif x:
        lines += [
            f'x = _array("x_t", x, ({m}, -1), "(m={m}, B)")',
            "cdef Py_ssize_t B = x.shape[1]",
            f'target = _array("target_t", target, ({n_T}, B), f"(n_T={n_T}{B})")',
        ]
    else:
        lines += [
            f'target = _array("target_t", target, ({n_T}, -1), "(n_T={n_T}, B)")',
            "cdef Py_ssize_t B = target.shape[1]",
        ]
    return [
        *lines,
        "if mask is None:",
        f"    mask = np.ones(({n_T}{tail}), dtype=DTYPE)",
        *([f"    mask[{at_the_end(net)}] = 0"] if any(net.objective.ends) else []),
        "else:",
        f'    mask = _array("mask_t", mask, ({n_T}{tail}), f"(n_T={n_T}{B})")',
        take_state(batch),
    ]


def new_gradient(net: Network, batch: bool) -> str:
    """Where the gradient goes; that of a batch is summed there."""
    return f"grad_theta = np.{'zeros' if batch else 'empty'}({net.size}, dtype=DTYPE)"


def row_counts(net: Network) -> dict[str, str]:
    """How many numbers one row of each array has."""
    n_T = str(len(net.objective.targets))
    return {
        "x": str(net.inputs), "target": n_T, "mask": n_T, "y": str(len(net.states)),
        "y0": str(len(net.states)),
        "history": str(net.lookback*(len(net.states) + net.inputs)),
        "J": "1", "change": "1", "grad_theta": str(net.size),
    }  # fmt: skip


def step(net: Network, program: Program) -> str:
    """One step: outputs, J(t), and the gradient where every step has one."""
    batch = program.lane_width > 1
    learns = any(a.name == "grad_theta" for a in program.arrays.values())
    call = call_of(core_of(program, "step", row_counts(net), net))
    body = [
        *one_row(net, batch),
        *threads_check(program),
        f"y = np.empty(({len(net.states)}{', B' if batch else ','}), dtype=DTYPE)",
        "cdef real J = 0",
        *([new_gradient(net, batch)] if learns else []),
        *call.lines,
        f"return y, J{', grad_theta' if learns else ''}",
    ]
    doc = ['"""Step number t: outputs, J(t), and the gradient where each step has one."""']
    head = f"def step(state, Py_ssize_t t, theta, x, target, mask{keyword(program)}):"
    return function(head, doc, body, call)


def update(net: Network, program: Program) -> str:
    """The gradient of one window."""
    batch = program.lane_width > 1
    call = call_of(core_of(program, "update", row_counts(net), net))
    body = [
        take("theta", [("P", net.size)], False),
        take_state(batch),
        *threads_check(program),
        new_gradient(net, batch),
        *call.lines,
        "return grad_theta",
    ]
    doc = ['"""The gradient of window number b, whose last step is t."""']
    more = f", Py_ssize_t B{keyword(program)}" if batch else ""
    head = f"def update(state, Py_ssize_t b, Py_ssize_t t, theta{more}):"
    return function(head, doc, body, call)
