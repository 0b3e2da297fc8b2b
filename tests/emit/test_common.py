"""Claims about loops that cores have in common: one function does them all, and does the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy

import derive
from derive.emit import common
from derive.network import connect
from derive.network.library import LIBRARY
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.ir import Array, Assign, Loop, Program, Ref, Var, plus
from tests.strategies import data

A, B = sympy.symbols("a b")


def net_of(cell: str, units: int, density: float) -> Network:
    """A net of that cell."""
    pattern = connect.full() if density == 1 else connect.random(density, seed=4)
    return Network(LIBRARY[cell](), units, 3, pattern, SquaredError([units - 1, 0]), name="common")


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    ("cell", "units", "density"), [("lstm", 20, 1), ("lstm", 80, 0.2), ("gru", 24, 1)]
)
def test_every_bit_is_as_without_common_functions(
    cell: str, units: int, density: float, batch: bool,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    net = net_of(cell, units, density)
    theta, x, target, mask, y0 = data(net, 9, batch=5 if batch else 0)
    if batch:
        monkeypatch.setattr(common, "WORK", 0)
    results: list[Any] = []
    for name, longest in (("shared", common.LONG), ("each", 10**9)):
        monkeypatch.setenv("DERIVE_CACHE_DIR", str(tmp_path / name))
        monkeypatch.setattr(common, "LONG", longest)
        kernel = derive.compile(net, schedule="tables", batch=batch, profile="reproducible")
        functions = re.findall(r"^cdef void (common_\d+)\(", kernel.source, re.MULTILINE)
        called = re.findall(r"^ +(common_\d+)\(", kernel.source, re.MULTILINE)
        assert set(functions) == set(called)
        assert all(called.count(f) > 1 for f in functions)
        assert bool(functions) == (name == "shared")
        results.append(
            [kernel.forward(theta, x, y0), *kernel.gradient(theta, x, target, mask, y0),
             *kernel.gradient(theta, x, target, mask, y0, wrt=("theta", "x", "y0"))]
        )  # fmt: skip
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_gates_of_a_sparse_lstm_are_one_text() -> None:
    text = derive.compile(net_of("lstm", 80, 0.2), schedule="tables").source
    (times,) = {text.count(f"{name}_core(") for name in ("gradient", "gradient_all")}
    assert times == 2  # what it is and where it is called
    gates = [text.count(f"common_{i}(") - 1 for i in range(1, text.count("cdef void common_") + 1)]
    assert max(gates) >= 8  # four gates, by theta and by everything


def program(*body: Any, **shapes: tuple[int, ...]) -> Program:
    """One with arrays of these shapes, which are local variables where they have none."""
    arrays = {
        name: Array(name, shape, "work" if shape else "scalar") for name, shape in shapes.items()
    }
    return Program("p", ("T",), arrays, {}, tuple(body))


def loop(var: str, stop: Any, *body: Any, role: Any = "units") -> Loop:
    return Loop(var, 0, stop, tuple(body), role)


def put(target: Ref, *read: Ref, accumulate: bool = False) -> Assign:
    symbols = (A, B)[: len(read)]
    return Assign(target, sympy.Mul(*symbols), tuple(zip(symbols, read, strict=True)), accumulate)


def shared(monkeypatch: pytest.MonkeyPatch, *programs: Program) -> tuple[list[str], list[str]]:
    """The text of the functions, and the calls of those that are common."""
    monkeypatch.setattr(common, "LONG", 1)
    texts = common.cores({f"f{i}": p for i, p in enumerate(programs)})
    calls = [
        line.strip() for text in texts for line in text.split("\n") if line.startswith("    common")
    ]
    return texts, calls


def test_loops_that_differ_in_arrays_and_where_they_begin_are_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    k = Var("k")

    def one(to: str, begin: int, row: int) -> Loop:
        place = Ref(to, (row, k))
        return loop("k", 8, put(place, Ref("x", (plus(k, begin),)), place))

    p = program(one("a", 0, 1), one("b", 5, 0), x=(13,), a=(2, 8), b=(2, 8))
    texts, calls = shared(monkeypatch, p)
    assert calls == ["common_1(a + 8, x)", "common_1(b, x + 5)"]
    assert "a[k] = a[k]*x[k]" in texts[0] or "a[k] = x[k]*a[k]" in texts[0]


def test_nothing_points_before_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    t = Var("t")
    step = Loop("t", 1, Var("T"), (put(Ref("a", (t,)), Ref("a", (plus(t, -1),))),), "time")
    texts, calls = shared(monkeypatch, program(step, step, a=(9,)))
    assert calls == ["common_1(a, T)"] * 2 and "a[t] = a[t - 1]" in texts[0]


def test_other_numbers_other_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    k = Var("k")
    loops = [loop("k", n, put(Ref("a", (k,)), Ref("x", (k,)))) for n in (4, 5)]
    backward = Loop("k", 0, 4, loops[0].body, "units", backward=True)
    adds = loop("k", 4, put(Ref("a", (k,)), Ref("x", (k,)), accumulate=True))
    assert shared(monkeypatch, program(*loops, backward, adds, a=(5,), x=(5,)))[1] == []


def test_a_local_variable_that_is_handed_on_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    k, s = Var("k"), Ref("s")
    own = loop("k", 4, put(s, Ref("x", (k,))), put(Ref("a", (k,)), s))
    leaves = loop("k", 4, put(s, Ref("x", (k,))))
    takes = loop("k", 4, put(Ref("a", (k,)), s))
    sums = loop("k", 4, put(s, Ref("x", (k,)), accumulate=True))
    last = put(Ref("a", (0,)), s)
    shapes = {"x": (4,), "a": (4,), "s": ()}
    assert len(shared(monkeypatch, program(own, own, **shapes))[1]) == 2
    for beside in (takes, sums, last):
        assert shared(monkeypatch, program(own, own, beside, **shapes))[1] == []
        assert shared(monkeypatch, program(leaves, leaves, beside, **shapes))[1] == []
    # What an inner loop sets is not set if that has no turn.
    inside = loop("k", 4, loop("j", Var("T"), put(s, Ref("x", (k,)))), put(Ref("a", (k,)), s))
    assert shared(monkeypatch, program(inside, inside, **shapes))[1] == []


def test_short_loops_of_a_step_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    k = Var("k")

    def steps(n: int) -> Loop:
        one = loop("k", n, put(Ref("a", (k,)), Ref("x", (k,))))
        other = loop("k", n, put(Ref("b", (k,)), Ref("x", (k,))))
        return loop("t", Var("T"), one, other, role="time")

    few, many = common.WORK - 1, common.WORK
    for n, calls in ((few, 0), (many, 2)):
        p = program(steps(n), a=(n,), b=(n,), x=(n,))
        texts, _ = shared(monkeypatch, p)
        assert texts[-1].count("common_1(") == calls
