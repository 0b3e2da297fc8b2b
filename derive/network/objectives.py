"""Ready-made objectives: each only its stated expression. J is maximised, so losses are negative.

Where an expression has a corner the derivative there is that of one side, by the convention of
:mod:`derive.functions`; each class says which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from derive.errors import NetworkError
from derive.network.objective import Objective, SquaredError
from derive.network.topology import finite


class AbsoluteError(Objective):
    """J(t) = −Σ over k ∈ T(t) of |d_k(t) − y_k(t)|: the median (Laplace 1774).

    Where d = y the derivative is 0, between those of its two sides.
    """

    def __init__(self, targets: Sequence[int], at: str = "every") -> None:
        super().__init__("-abs(d - y)", targets, at=at)


class Huber(Objective):
    """J(t) = −Σ over k ∈ T(t) of ½e² where |e| ≤ δ, else δ(|e| − ½δ), e = d − y (Huber 1964).

    At |e| = δ the inner side holds; the derivatives of both sides agree there.
    """

    def __init__(self, targets: Sequence[int], delta: Any = 1.0, at: str = "every") -> None:
        values = delta if isinstance(delta, Sequence) and not isinstance(delta, str) else [delta]
        if not all(finite(v, "Huber: delta") > 0 for v in values):
            raise NetworkError(f"Huber: delta must be positive, got {delta!r}")
        super().__init__(
            "where(d - y > delta, delta*(delta/2 - (d - y)),"
            " where(y - d > delta, delta*(delta/2 - (y - d)), -(d - y)**2/2))",
            targets,
            constants={"delta": delta},
            at=at,
        )


class LogisticCrossEntropy(Objective):
    """J(t) = Σ over k ∈ T(t) of d·log p + (1 − d)·log(1 − p), where p = logistic(y) (Cox 1958).

    The output y is the logit; stated as d·y − softplus(y), which overflows for no y.
    """

    def __init__(self, targets: Sequence[int], at: str = "every") -> None:
        super().__init__("d*y - softplus(y)", targets, at=at)


class SoftmaxCrossEntropy(Objective):
    """J(t) = Σ over k ∈ T(t) of d_k·log p_k, where p is the softmax of all units (Bridle 1990).

    p_k = exp(y_k)/Σ_j exp(y_j) over the group ``targets``, whatever the mask; the mask selects
    whose terms count. The largest output is subtracted first, so that no exponential overflows.
    Two groups are two objectives, added.
    """

    def __init__(self, targets: Sequence[int], at: str = "every") -> None:
        super().__init__(
            "d*(y - c - log(P))",
            targets,
            pools={"c": ("max", "y"), "P": ("sum", "exp(y - c)")},
            at=at,
        )


class Activity(Objective):
    """A term of J(t) in outputs alone, at every time and whatever the mask, e.g. −½λ Σ y².

    Parameters
    ----------
    expression : str or sympy.Expr
        In y, constants and pools.
    units : sequence of int, optional
        The units it is over; all if not given.
    constants, pools : mapping, optional
        See :class:`Objective`.
    """

    def __init__(
        self,
        expression: Any,
        units: Sequence[int] | None = None,
        constants: Any = None,
        pools: Any = None,
    ) -> None:
        chosen = "all" if units is None else units
        super().__init__(expression, units=chosen, constants=constants, pools=pools)


class WeightDecay(Objective):
    """−½λ Σ_i w_i² over learned parameters, in **every** J(t) (Hinton 1987).

    So that the gradients of online steps sum to that of the sequence, it counts T times over T
    steps, and once for each sequence of a batch. A window of an online algorithm counts it once
    for each step whose errors it counts; it is exact in all of them. A shared weight counts once.

    Parameters
    ----------
    lam : float
        λ.
    parameters : sequence of str
        ``w`` for all learned weights, else cell parameters by name.
    """

    def __init__(self, lam: float, parameters: Sequence[str] = ("w",)) -> None:
        super().__init__("-lam*w**2/2", parameters=parameters, constants={"lam": lam})


LIBRARY: dict[str, Callable[..., Objective]] = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "logistic_cross_entropy": LogisticCrossEntropy,
    "softmax_cross_entropy": SoftmaxCrossEntropy,
    "weight_decay": WeightDecay,
}
"""By the names that a spec file has for them."""
