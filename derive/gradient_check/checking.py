"""From a gradient function and its arguments to a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from derive.gradient_check import search
from derive.gradient_check.asked import Answer, Asked, GradientCheckError, coarser, floats, plain
from derive.gradient_check.conventions import factors
from derive.gradient_check.matching import Tested
from derive.gradient_check.names import entry_names, plain_names
from derive.gradient_check.problem import Problem, problem
from derive.gradient_check.reference import Own, Reference, of_net, of_quotients, rounding_of
from derive.gradient_check.report import Entry, GradientCheck
from derive.gradient_check.states import other_states
from derive.kernel import Kernel

Floats = Any

FIRST = 6
"""Steps to which a sequence is shortened to look for a mistake where the whole is too long."""


def gradcheck(
    kernel_or_callable: Any,
    theta: Any,
    x: Any,
    target: Any,
    *,
    net: Any = None,
    objective: Callable[..., Any] | None = None,
    forward: Callable[..., Any] | None = None,
    mask: Any = None,
    y0: Any = None,
    algorithm: Any = None,
    names: Sequence[str] | None = None,
    tolerance: float | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Whether a gradient function is right, which entries are not, and what mistake they show.

    Parameters
    ----------
    kernel_or_callable : Kernel or callable
        ``function(theta, x, target)`` gives ``(J, gradient)``, or the gradient alone; ``mask`` and
        ``y0`` are passed by name where it takes them. What it returns may be arrays of NumPy,
        PyTorch or JAX. A kernel is held against its Program and quotients of its J.
    theta : array
        Where to check. With ``net`` (P,), or the weight matrix (n, n+m) where that is all of
        theta; without one, any shape. Floats: of float32 less is asked.
    x, target, mask, y0 : arrays
        As for :meth:`derive.Kernel.gradient`; without ``net``, whatever the function takes.
    net : Network, dict or path of a spec, optional
        The network whose gradient is meant. The reference is then the derived gradient, exact to
        rounding; without it difference quotients of the objective, with an error bar each.
    objective : callable, optional
        ``objective(theta, x, target)`` gives J, for functions that do not return it.
    forward : callable, optional
        ``forward(theta, x)`` gives the states y (T+1, N[, B]); compared with those of ``net``.
    algorithm : str or dict, optional
        Whose gradient is meant: ``"epochwise"`` (the default, and what every exact algorithm
        gives), or ``{"name": "truncated", "h": 3}``.
    names : sequence of str, optional
        Names of theta's entries; those of the network, or indices, if not given.
    tolerance : float, optional
        The largest error let through, in terms of the largest entry of the right gradient and
        besides the error bars: 1e-9 with a net, 1e-7 without, 1e-4 in single precision.
    seed : int
        For the directions and places that are drawn.

    Returns
    -------
    GradientCheck
        It is true where ``ok``; prints as a paragraph and a table.

    Notes
    -----
    J is maximised here. A loss −J, a mean for a sum and other constants are recognised by the value
    of J and are compared as such, so give J if there is one. A known mistake is named where what
    it gives on these very numbers agrees with the gradient under test and differs from the right
    one; no formula of a gradient is typed anywhere.

    Raises
    ------
    GradientCheckError
        When the function raises, or returns what is no gradient of theta.
    TypeError, ValueError
        Naming the argument, what is expected and what was given.
    """
    function, subject = kernel_or_callable, _name(kernel_or_callable)
    if isinstance(function, Kernel):
        if net is not None or algorithm is not None:
            raise ValueError("net, algorithm: a kernel has its own; leave them out")
        net, algorithm = function.net, function.algorithm
        forward = forward or function.forward
        function = function.gradient
    if net is None and (forward is not None or algorithm is not None):
        raise ValueError("forward, algorithm: these need net, the network they are of")
    asked_for = _tolerance(tolerance)
    flat = floats("theta", theta).ravel()
    if not flat.size or not np.isfinite(flat).all():
        raise ValueError(
            f"theta: expected finite numbers, at least one, got shape {np.shape(theta)}"
        )
    given = {"x": x, "target": target, "mask": mask, "y0": y0}
    asked = Asked(function, "the gradient function", theta, given)
    stated = None if net is None else problem(net, algorithm, theta, x, target, mask, y0)
    first, second = asked.answer(flat), asked.answer(flat)
    dtype = coarser(_precision(theta), first.dtype)
    own = _own(asked, first, objective, stated is None)
    if stated is not None:
        reference = of_net(stated, own, first, dtype, seed)
    else:
        assert own is not None
        reference = of_quotients(own, flat, coarser(dtype, own.dtype), _usual(given), seed)
    limit = asked_for or _usual_tolerance(dtype, stated)
    problems = list(_remarks(asked, own, first))
    apart, chance = rounding_of(first, second)
    problems += [*chance, *reference.problems]
    # Where chance is drawn its size is known from one pair of calls only.
    apart = np.full_like(apart, 8 * apart.max()) if chance else apart
    if forward is not None and stated is not None:
        problems += other_states(forward, theta, given, stated, max(limit, 1e-9))
    labels = plain_names(asked.shape, names) if stated is None or names else entry_names(stated.net)
    report = _report(
        subject, first, reference, stated, labels, limit, apart, bool(chance), problems, asked,
        {"theta": plain(theta), "x": _array(x)},
    )  # fmt: skip

    searched = not report.mistakes and search.LARGE in report.notes
    if stated is None or not searched or stated.steps <= FIRST:
        return report

    def again(**first_steps: Any) -> GradientCheck:
        more = {"objective": objective, "y0": y0, "tolerance": tolerance, "seed": seed}
        own = {} if isinstance(kernel_or_callable, Kernel) else {"net": net, "algorithm": algorithm}
        return gradcheck(kernel_or_callable, theta, **first_steps, **more, **own)

    return _with_first_steps(report, again, given)


def _with_first_steps(
    report: GradientCheck, again: Callable[..., GradientCheck], given: Mapping[str, Any]
) -> GradientCheck:
    """A report on a sequence too long to search, with the mistakes its first steps show."""
    shorter = {k: given[k][:FIRST] for k in ("x", "target", "mask") if given[k] is not None}
    try:
        mistakes = again(**shorter).mistakes
    except (GradientCheckError, TypeError, ValueError):  # it takes sequences of one length only
        return report
    if not mistakes:
        return report
    told = f"the mistake was looked for on the first {FIRST} steps, where more can be tried"
    return replace(report, mistakes=mistakes, notes=(*report.notes, told))


def _report(
    subject: str,
    first: Answer,
    reference: Reference,
    stated: Problem | None,
    labels: Sequence[tuple[str, str]],
    tolerance: float,
    apart: Floats,
    chance: bool,
    problems: list[str],
    asked: Asked,
    seen: Mapping[str, Any],
) -> GradientCheck:
    """Entries judged, mistakes looked for where some are wrong."""
    entries = reference.entries
    assert first.gradient is not None
    given, right = first.gradient[entries], reference.right
    bars = reference.bars + apart[entries]
    size = float(np.abs(right).max(initial=0.0)) or 1.0
    tested = Tested(given, right, tolerance * size + bars, reference.usual)
    with np.errstate(invalid="ignore"):
        off = np.abs(given - right)
    wrong = [i for i in np.argsort(-np.nan_to_num(off, nan=np.inf), kind="stable").tolist()
             if not off[i] <= tested.limit[i]]  # fmt: skip
    found: tuple[Any, ...] = ()
    notes = [*reference.notes, *_unheard(asked)]
    # Of drawn entries, and of numbers that chance or NaN spoilt, no mistake can be told.
    whole = np.isfinite(given).all() and entries.size == first.gradient.size and not chance
    if wrong and whole:
        found, more = search.mistakes(tested, stated, reference.scale, asked.shape)
        notes += more
    table = tuple(
        Entry(
            int(entries[i]),
            labels[entries[i]][0],
            labels[entries[i]][1],
            float(given[i]),
            float(right[i]),
            float(given[i] - right[i]),
            float(bars[i]),
        )
        for i in wrong
    )
    return GradientCheck(
        subject, not wrong and not problems, table, found, tuple(problems), tuple(notes),
        tuple(search.blind(tested, stated, reference.scale, dict(seen))),
        bool(wrong) and bool(whole), int(entries.size), int(first.gradient.size),
        float(np.nan_to_num(off, nan=np.inf).max(initial=0.0)) / size, tolerance,
    )  # fmt: skip


def _own(asked: Asked, first: Answer, objective: Any, needed: bool) -> Own | None:
    """The user's J: that given as ``objective``, or what the function returns."""
    if objective is not None:
        other = Asked(objective, "objective", asked.theta, asked.arguments)
        _, dtype = other.number(plain(asked.theta).astype(np.float64).ravel())
        return Own(other, coarser(dtype, _precision(asked.theta)))
    if first.J is not None:
        return Own(asked, coarser(first.dtype, _precision(asked.theta)))
    if needed:
        raise ValueError(
            "objective: the function gives a gradient alone, so there is nothing to compare it "
            "with; return (J, gradient), or give objective=, a function of (theta, x, target) "
            "that gives J, or net="
        )
    return None


def _remarks(asked: Asked, own: Own | None, first: Answer) -> list[str]:
    found = []
    for function in [asked] + ([own.asked] if own is not None and own.asked is not asked else []):
        found += [
            f"{function.role} changes {name} in place: the caller's array is not the same "
            "afterwards; work on a copy"
            for name in function.changed
        ]
    assert first.gradient is not None
    bad = int((~np.isfinite(first.gradient)).sum())
    if bad:
        found.append(f"{bad} of {first.gradient.size} entries of the gradient are NaN or infinite")
    return found


def _unheard(asked: Asked) -> list[str]:
    return [
        f"{name} was given, and your function takes no argument of that name: it was called "
        "without it"
        for name in asked.unheard
    ]


def _usual(given: Mapping[str, Any]) -> list[tuple[float, str]]:
    """Constants between conventions, as far as the shapes of x and target tell."""
    x, target = (np.shape(_array(given[k])) for k in ("x", "target"))
    steps = x[0] if len(x) >= 2 else 1
    outputs = target[1] if len(target) >= 2 else 1
    return factors(steps, x[2] if len(x) == 3 else 1, outputs)


def _array(value: Any) -> Any:
    """An argument as an array, to look at; an empty one where it is none."""
    try:
        found = plain(value)
    except (TypeError, ValueError):
        return np.zeros(0)
    return found if found.dtype.kind in "biufc" else np.zeros(0)


def _precision(theta: Any) -> Any:
    return plain(theta).dtype


def _usual_tolerance(dtype: Any, stated: Problem | None) -> float:
    eps = float(np.finfo(dtype).eps)
    if eps > 1e-5:
        return 5e-2
    if eps > 1e-10:
        return 1e-4
    return 1e-7 if stated is None else 1e-9


def _tolerance(tolerance: Any) -> float | None:
    if tolerance is None:
        return None
    real = isinstance(tolerance, int | float | np.floating) and not isinstance(tolerance, bool)
    if not real or not 0 < tolerance < 1:
        raise ValueError(f"tolerance: expected a number between 0 and 1, got {tolerance!r}")
    return float(tolerance)


def _name(function: Any) -> str:
    if isinstance(function, Kernel):
        return repr(function)
    return str(getattr(function, "__name__", type(function).__name__))
