"""Sums over time in float64: the same sums, and digits that float32 would lose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import derive
from derive.errors import DerivationError
from derive.interpreted import Interpreted
from derive.network import connect
from derive.network.library import semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.options import read_options
from derive.program.algorithms import programs, settle
from derive.program.interpret import EXACT, run
from derive.program.ir import Assign, Least, Loop, Plus, walk
from derive.program.wide_sums import STRETCH
from tests.strategies import data, fractions, networks

WIDE = {"accumulate": "float64"}
FORMS: dict[str, dict[str, Any]] = {
    "epochwise": {}, "realtime": {"capacity": 9}, "truncated": {"h": 3, "h_prime": 2},
    "rtrl": {}, "hybrid": {"h": 2},
}  # fmt: skip
NETS = {
    n: Network(semilinear("tanh"), n, 2, connect.full(), SquaredError([0, 1]), name="net")
    for n in (3, 12)
}


@settings(max_examples=25)
@given(
    networks(max_units=3, rational=True, longest_delay=2),
    st.sampled_from(sorted(FORMS)),
    st.integers(1, 5),
    st.booleans(),
)
def test_in_exact_arithmetic_nothing_changes(
    net: Network, algorithm: str, T: int, forced: bool
) -> None:
    given = fractions(data(net, T))._asdict()
    options = {**FORMS[algorithm], "teacher_forcing": forced}
    found = [
        run(programs(net, settle(net, algorithm, {**options, **more}))["gradient"], EXACT, given,
            {"T": T, "mask_step": 1, "mask_rows": T})
        for more in ({}, WIDE)
    ]  # fmt: skip
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value)


@pytest.mark.parametrize("delay", [1, 2])
@pytest.mark.parametrize("algorithm", [*FORMS, "from checkpoints"])
def test_every_algorithm_sums_j_and_the_gradient_so(algorithm: str, delay: int) -> None:
    wires = [(0, 0, delay), (1, 0), (0, 1), (0, 2), (1, 1)]
    net = Network(semilinear("tanh"), 2, 1, wires, SquaredError([1]), name="net")
    options = FORMS.get(algorithm, {"memory": 10_000})
    settled = settle(net, algorithm if algorithm in FORMS else "epochwise", {**options, **WIDE})
    gradient = programs(net, settled)["gradient"]
    assert {"wide_J", "wide_grad_theta"} <= {a.name for a in gradient.arrays.values() if a.wide}
    assert longest_alone(gradient.body, 1000) <= STRETCH


def longest_alone(body: tuple[Any, ...], T: int) -> int:
    """The most steps a loop over time that adds to the gradient, and has none within, can take."""
    found = [0]
    for s in body:
        if not isinstance(s, Loop):
            continue
        if s.role == "time" and not any(isinstance(i, Loop) and i.role == "time" for i in s.body):
            bounded = isinstance(s.stop, Least) and isinstance(s.stop.left, Plus)
            adds = any(isinstance(i, Assign) and i.accumulate and i.target.array == "grad_theta"
                       for i in walk(s.body))  # fmt: skip
            found.append(T if adds and not bounded else 0)
        else:
            found.append(longest_alone(s.body, T))
    return max(found)


def arguments(net: Network, T: int, batch: int) -> list[Any]:
    """θ, x, d such that J and the gradient are sums of many terms of one sign."""
    generator = np.random.default_rng(1)
    tail = (batch,) if batch else ()
    x = generator.normal(size=(T, net.inputs, *tail)) + 0.5
    return [net.init(0), x, generator.normal(size=(T, 2, *tail)) + 1.5]


def errors(gradient: Any, wanted: Any) -> tuple[float, float]:
    """Of J and of the gradient, relative to the largest entry."""
    by_theta = np.abs(gradient[1].astype(float) - wanted[1]).max() / np.abs(wanted[1]).max()
    return abs(gradient[0] / wanted[0] - 1), float(by_theta)


@pytest.mark.parametrize(
    ("units", "algorithm", "schedule", "batch"),
    [
        (3, "epochwise", "unrolled", 0),
        (12, "epochwise", "tables", 16),
        (3, "rtrl", "tables", 0),
    ],
)
def test_a_kernel_of_float32_keeps_an_order_of_magnitude_more(
    units: int, algorithm: str, schedule: str, batch: int
) -> None:
    net, T = NETS[units], 100_000 if not batch else 20_000
    given = [v.astype("float32") for v in arguments(net, T, batch)]
    how: dict[str, Any] = {"schedule": schedule, "batch": bool(batch)}
    exact = derive.compile(net, algorithm, **how)
    wanted = exact.gradient(*(v.astype("float64") for v in given))
    plain = derive.compile(net, algorithm, dtype="float32", **how).gradient(*given)
    wide = derive.compile(net, algorithm, dtype="float32", **how, **WIDE).gradient(*given)
    assert wide[1].dtype == np.float32 and type(wide[0]) is float
    for lost, kept in zip(errors(plain, wanted), errors(wide, wanted), strict=True):
        assert kept < lost / 10 if not batch else kept < lost / 5
        assert kept < 4e-7


def test_without_a_compiler_it_is_the_same() -> None:
    net, T = NETS[3], 3000
    given = [v.astype("float32") for v in arguments(net, T, 0)]

    def gradient(dtype: str, options: dict[str, Any]) -> Any:
        found = programs(net, settle(net, "epochwise", options))
        return Interpreted(net, found, dtype, False).gradient(*(v.astype(dtype) for v in given))

    wanted = gradient("float64", {})
    lost, kept = (errors(gradient("float32", o), wanted) for o in ({}, WIDE))
    assert kept[0] < lost[0] / 5 and kept[0] < 4e-7 and kept[1] < 4e-7


def test_where_all_is_float64_there_are_no_other_types() -> None:
    net, settled = NETS[3], settle(NETS[3], "epochwise", WIDE)
    texts = [
        derive.kernel.emit(net, settled, t, False, "auto").text for t in ("float32", "float64")
    ]
    assert ["cdef wide " in text for text in texts] == [True, False]
    assert ["typedef double wide;" in text for text in texts] == [True, False]


@pytest.mark.parametrize("value", ["float32", "float16", 64, True, float])
def test_another_type_of_sums_is_refused(value: Any) -> None:
    with pytest.raises(DerivationError, match="^accumulate: expected 'float64', got "):
        settle(NETS[3], "epochwise", {"accumulate": value})


def test_a_command_line_says_it_too() -> None:
    options = read_options(["accumulate=float64", "memory=sqrt"])
    settled = settle(NETS[3], "epochwise", options)
    assert settled == {"name": "epochwise", "memory": "sqrt", "accumulate": "float64"}
