"""The ladder for settling nets: what one step forward and one step back are, and what follows.

At a fixed point y* = F(y*), the gradient of J(y*) is (∂J/∂y)(I − ∂F/∂y)⁻¹ ∂F/∂θ, by the implicit
function theorem. So three things are proved on symbols, for any y and ε:

    a step forward gives F(y),
    a step back takes ε to (∂F/∂y)ᵀ(e + ε), whose fixed point is what relaxing looks for,
    what is collected is (e + ε)ᵀ ∂F/∂θ.

F and J come from the network written out with every time before the last alike, and SymPy
differentiates them. That relaxing reaches the fixed points is checked with numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from derive.errors import ConvergenceError, ProgramError
from derive.interpreted import Interpreted
from derive.network.network import Network
from derive.program.algorithms import options_of, programs
from derive.program.ir import Program
from derive.settling import Settling
from derive.verify.ask import Ask, layout_of
from derive.verify.held import Held, control, plant
from derive.verify.induction.claim import inductions
from derive.verify.proof import corner_claims
from derive.verify.report import Claim, scoped
from derive.verify.samples import draw
from derive.verify.stated import stated_forward
from derive.verify.witness import witnesses

Programs = Mapping[str, Program]
SHRINK = 0.7
"""Of the weights, until the net settles."""


def claims(net: Network, algorithm: Mapping[str, Any], ask: Ask) -> tuple[Claim, ...]:
    """Every claim about a settling kernel, checked.

    Raises
    ------
    ProgramError
        For an unknown fault to plant, or one that has no place in this network's Programs.
    """
    mine = programs(net, algorithm)
    kernel = ask.kernel
    if ask.plant is not None:
        wrong = plant(mine, ask.plant, net)
        if wrong is None:
            raise ProgramError(f"plant: {ask.plant!r} has no place in the Programs of {net.name}")
        kernel = on_numpy(net, wrong, algorithm, ask.dtype)
    elif kernel is None and ask.numeric:
        kernel = ask.compiled(net, algorithm).module
    elif kernel is not None:
        kernel = kernel.module
    forced = bool(options_of(algorithm)["teacher_forcing"])
    held = [Held(w.net, forced) for w in witnesses(net)]

    def relaxing() -> list[Claim]:
        ask.tell("relaxing")
        return list(scoped(numbers(net, kernel, ask, forced), "these weights, one constant input"))

    def controls() -> list[Claim]:
        if ask.plant is not None:
            return []
        ask.tell("planting faults")
        made = (control(held[0], programs(held[0].net, algorithm)),)
        return list(scoped(made, f"{held[0].net.units} units, one step"))

    return (
        *ask.rung("induction", lambda: inductions(net, algorithm, ask)),
        *ask.rung("proof", lambda: _proofs(net, algorithm, held, ask)),
        *ask.rung("relaxing", relaxing),
        *ask.rung("controls", controls),
    )


def _proofs(
    net: Network, algorithm: Mapping[str, Any], held: list[Held], ask: Ask
) -> Iterator[Claim]:
    """The claims that are about one step, on symbols."""
    yield from corner_claims(net)
    laid_out = layout_of(net, algorithm, ask)
    for w, one in zip(witnesses(net), held, strict=True):
        ask.tell(f"proving on {w.words}")
        right = programs(w.net, algorithm)
        planted = None if ask.plant is None else plant(right, ask.plant, w.net)
        made = one.claims(laid_out(planted or right))
        made = [*made, Claim("proved on", "witness", None, None, True, w.words)]
        yield from scoped(made, f"witness: {w.net.units} units, any step, any weights")


def on_numpy(net: Network, of: Programs, algorithm: Mapping[str, Any], dtype: str) -> Settling:
    """Programs as they are, planted faults included, relaxed on NumPy."""
    options = options_of(algorithm)
    functions = Interpreted(net, of, dtype, False, "settling")
    return Settling(net, functions, dtype, False, options["tol"], options["max_steps"])


# --- numbers -------------------------------------------------------------------------------------


def numbers(net: Network, kernel: Settling, ask: Ask, forced: bool) -> list[Claim]:
    """That relaxing finds the fixed point, and that the gradient is the slope of J there."""
    sample = draw(net, ask.seed, ask.dtype)
    x, target, mask = sample.x[0], sample.target[0], np.ones_like(sample.mask[0])
    theta, y0 = sample.theta.copy(), sample.y0 * 0
    double = ask.dtype == "float64"
    tol, most = 1e-13 if double else 1e-6, max(kernel.max_steps, 5000)
    precise = Settling(net, kernel.functions, ask.dtype, False, tol, most)
    for tries in range(25):  # noqa: B007 - how often it shrank is told below
        try:
            found = _settled(precise, theta, x, target, mask, y0)
            break
        except ConvergenceError as error:
            reason = str(error)
            theta[: net.wiring.weights] *= SHRINK
    else:
        return [Claim("fixed point", "relaxing", None, None, False, reason)]
    shrunk = f"; weights drawn ×{SHRINK**tries:.2g}" if tries else ""
    detail = f"{found.steps} steps there, {found.steps_back} back, relative{shrunk}"
    limit = 1e-9 if double else 1e-3
    made = [Claim("fixed point", "relaxing", found.change, precise.tol, True, detail)]
    if not forced:
        held = np.repeat(x[None], found.steps + 20, axis=0)
        last = stated_forward(net, theta, held, y0)[-1]
        worst = _apart(found.y, last)
        made.append(Claim("y*", "equations as stated, in NumPy", worst, limit, worst <= limit))
    g = np.asarray(found.gradient, np.float64)
    h = 2.0**-12 if double else 2.0**-5
    slopes = np.zeros(net.size)
    for i in range(min(net.size, 40)):
        J = []
        for step in (h, -h, h / 2, -h / 2):
            moved = theta.copy()
            moved[i] += step
            J.append(float(_settled(precise, moved, x, target, mask, found.y).J))
        coarse, fine = (J[0] - J[1]) / (2 * h), (J[2] - J[3]) / h
        slopes[i] = (4 * fine - coarse) / 3
    tested = min(net.size, 40)
    worst = _apart(g[:tested], slopes[:tested])
    limit = 1e-6 if double else 3e-2
    method = "differences of J at the fixed points, extrapolated"
    detail = f"{tested} of {net.size} directions, relative"
    made.append(Claim("∂J/∂theta", method, worst, limit, bool(worst <= limit), detail))
    return made


def _settled(kernel: Settling, theta: Any, x: Any, target: Any, mask: Any, y0: Any) -> Any:
    state = kernel._state(())
    kernel.start(state, np.asarray(y0, kernel.check.dtype))
    return kernel.settle(state, theta, x, target, mask)


def _apart(a: Any, b: Any) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    scale = max(1e-8, float(np.abs(b).max(initial=0)))
    return float(np.abs(a - b).max(initial=0)) / scale
